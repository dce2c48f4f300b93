//! From patch embeddings to rows of the language model's width, at their final positions in a slot.

mod arrangement;
mod config;
mod downsample;
mod weights;

use std::ops::Range;
use std::sync::Arc;

use nanomind_hal::tabm::SlotWriter;
use nanomind_hal::{JobCost, Lane};
use nanomind_kernels::backend::Linear;
use nanomind_kernels::{self as kernels, Activations, Isa, Nonlinearity};

pub use arrangement::Arrangement;
pub use config::{Merge, ProjectorConfig, ProjectorKind};
pub(super) use weights::NEWLINES;

use self::arrangement::{Lines, Place};
use self::downsample::Peg;
use self::weights::Weights;
use super::error::VisionError;
use super::framing::TilePlan;
use super::slot::check_slot;
use crate::gguf::{Gguf, GgufError};
use crate::loader::{LoadProgress, ModelError};
use crate::shape::{MatrixShape, ProjectorShape};

/// The projector of an mmproj file: immutable weights, shared by all lanes.
///
/// The squares of a picture come one after the other, in the order in which they are encoded, each in as many jobs as
/// one likes. Every row is written once, by the kernel that computes it, where a prompt reads it: unpadding, learned
/// rows and interpolation move nothing afterwards.
pub struct Projector {
    isa: Isa,
    config: ProjectorConfig,
    weights: Weights,
    shape: ProjectorShape,
}

/// The patch embeddings of one square of a picture.
#[derive(Clone, Copy)]
pub struct Square<'a> {
    /// Where the rows of the picture go.
    pub arrangement: &'a Arrangement,
    /// Which of the picture's squares this is, in the order in which they are encoded.
    pub tile: usize,
    /// `[patches, patch_width]`.
    pub patches: &'a [f32],
}

/// The memory that projections compute in; it grows to the largest one and is then reused.
pub struct Projection {
    hidden: Vec<f32>,
    /// Rows before they are interpolated or taken together.
    projected: Vec<f32>,
    activations: Activations,
}

impl Projector {
    /// Loads and packs the projector of an `mmproj` file on `lane`. A tensor that is neither the encoder's nor known is
    /// an error.
    pub fn load(
        gguf: &Arc<Gguf>,
        isa: Isa,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Projector, ModelError> {
        let config = ProjectorConfig::from_gguf(gguf)?;
        let weights = Weights::load(gguf, &config, isa, lane, progress)?;
        let linears = weights.linears().map(|linear| MatrixShape::of(&linear.matrix));
        let shape = ProjectorShape::new(linears, Weights::stored_bytes(gguf));
        Ok(Projector { isa, config, weights, shape })
    }

    /// What it makes of patch embeddings.
    pub fn config(&self) -> &ProjectorConfig {
        &self.config
    }

    /// Width of the patch embeddings that it takes.
    pub fn patch_width(&self) -> usize {
        self.config.patch_width
    }

    /// Width of its rows: that of the language model.
    pub fn width(&self) -> usize {
        self.config.width
    }

    /// What its work costs.
    pub fn shape(&self) -> &ProjectorShape {
        &self.shape
    }

    /// Bytes of the packed matrices.
    pub fn packed_bytes(&self) -> usize {
        self.shape.packed_bytes() as usize
    }

    /// What `blocks` blocks of patches cost.
    pub fn cost(&self, blocks: usize) -> JobCost {
        self.shape.project(blocks)
    }

    /// The shape of the projector in an mmproj file, from the header.
    pub(crate) fn shape_of(gguf: &Gguf, config: &ProjectorConfig) -> Result<ProjectorShape, GgufError> {
        let linears = config.kind.linears().iter().map(|name| {
            let name = format!("{name}.weight");
            MatrixShape::of_tensor(gguf, &name, gguf.tensor(&name)?.rows())
        });
        let linears = linears.collect::<Result<Vec<_>, _>>()?;
        Ok(ProjectorShape::new(linears.into_iter(), Weights::stored_bytes(gguf)))
    }

    /// Memory to project in.
    pub fn projection(&self) -> Projection {
        Projection { hidden: Vec::new(), projected: Vec::new(), activations: Activations::new(self.isa) }
    }

    /// Where the rows of a picture go that was cut into squares like this.
    pub fn arrange(&self, plan: TilePlan) -> Arrangement {
        self.config.arrange(plan)
    }

    /// Projects the blocks `blocks` of a square into their rows of `slot`. Squares and blocks come in order, from the
    /// first; a job may take some and the next one the rest. Whoever has projected all of them publishes
    /// [`Arrangement::rows`] rows.
    ///
    /// # Panics
    /// The square is not one of the arrangement or `blocks` are not within it, or `work` was made for another instruction
    /// set.
    pub fn project(
        &self,
        lane: &Lane,
        work: &mut Projection,
        square: Square<'_>,
        blocks: Range<usize>,
        slot: &mut SlotWriter,
    ) -> Result<(), VisionError> {
        let Square { arrangement, tile, patches } = square;
        let block = self.config.block_len() * self.config.patch_width;
        let expected = self.config.patches() * self.config.patch_width;
        if patches.len() != expected {
            return Err(VisionError::Patches { expected, found: patches.len() });
        }
        assert!(tile < arrangement.plan().count(), "square {tile} of {}", arrangement.plan().count());
        check_slot(slot, arrangement.rows(), self.config.width)?;
        let out = slot.rows_mut_f32();
        if (tile, blocks.start) == (0, 0) {
            self.prepare(arrangement, out);
        }
        let input = &patches[blocks.start * block..blocks.end * block];
        match &self.weights {
            Weights::Mlp { first, second, .. } => {
                self.hide(lane, work, first, input);
                self.place_mlp(lane, work, second, square, blocks, out);
            }
            Weights::Idefics3 { fc } => {
                let Place::Run(row) = arrangement.place(tile) else { return Ok(()) };
                work.activations.load_for(lane, input, &[&fc.matrix]);
                self.multiply(lane, &work.activations, fc, row + blocks.start..row + blocks.end, out);
            }
            Weights::Ldpv2 { first, second, peg } => {
                let Place::Run(row) = arrangement.place(tile) else { return Ok(()) };
                self.hide(lane, work, first, input);
                self.project_hidden(lane, work, second, blocks.clone(), self.config.patches());
                if blocks.end == self.config.patches() {
                    self.downsample(lane, &work.projected, peg, row, out);
                }
            }
        }
        Ok(())
    }

    /// Writes the learned rows, and zeros where rows are to be summed up.
    fn prepare(&self, arrangement: &Arrangement, out: &mut [f32]) {
        let Weights::Mlp { newline: Some(newline), .. } = &self.weights else { return };
        let width = self.config.width;
        let mut end_line = |row: usize| out[row * width..][..width].copy_from_slice(newline);
        if arrangement.closed {
            end_line(arrangement.rows() - 1);
        }
        let Some(lines) = &arrangement.lines else { return };
        let line = lines.out.1 + 1;
        lines.range().skip(lines.out.1).step_by(line).for_each(&mut end_line);
        if let Place::Interpolated = arrangement.place(1) {
            for row in lines.range().filter(|row| (row - lines.first) % line < lines.out.1) {
                out[row * width..][..width].fill(0.0);
            }
        }
    }

    /// The first projection of `input` and what follows it, into `work.hidden`.
    fn hide(&self, lane: &Lane, work: &mut Projection, first: &Linear, input: &[f32]) {
        let hidden = first.matrix.rows();
        work.hidden.resize(input.len() / first.matrix.cols() * hidden, 0.0);
        work.activations.load_for(lane, input, &[&first.matrix]);
        kernels::matmul(
            lane,
            &first.matrix,
            &work.activations,
            &mut work.hidden,
            first.activate(Nonlinearity::GeluErf),
        );
    }

    /// The second projection of the hidden rows of `blocks`, into their final rows.
    fn place_mlp(
        &self,
        lane: &Lane,
        work: &mut Projection,
        second: &Linear,
        Square { arrangement, tile, .. }: Square<'_>,
        blocks: Range<usize>,
        out: &mut [f32],
    ) {
        let hidden = second.matrix.cols();
        match (arrangement.place(tile), &arrangement.lines) {
            (Place::Lines, Some(lines)) => {
                for (run, row) in lines.runs(tile - 1, blocks.clone()) {
                    let input = &work.hidden[(run.start - blocks.start) * hidden..(run.end - blocks.start) * hidden];
                    work.activations.load_for(lane, input, &[&second.matrix]);
                    self.multiply(lane, &work.activations, second, row..row + run.len(), out);
                }
            }
            (Place::Interpolated, Some(lines)) => {
                self.project_hidden(lane, work, second, 0..blocks.len(), blocks.len());
                self.interpolate(lane, &work.projected, lines, tile - 1, blocks, out);
            }
            (Place::Run(row), _) => {
                work.activations.load_for(lane, &work.hidden, &[&second.matrix]);
                self.multiply(lane, &work.activations, second, row + blocks.start..row + blocks.end, out);
            }
            (Place::Lines | Place::Interpolated, None) => {}
        }
    }

    /// The product with what is loaded, into the rows `rows` of `out`.
    fn multiply(&self, lane: &Lane, input: &Activations, linear: &Linear, rows: Range<usize>, out: &mut [f32]) {
        let out = &mut out[rows.start * self.config.width..rows.end * self.config.width];
        kernels::matmul(lane, &linear.matrix, input, out, linear.epilogue());
    }

    /// The second projection of the hidden rows into rows `rows` of the `count` of `work.projected`.
    fn project_hidden(&self, lane: &Lane, work: &mut Projection, second: &Linear, rows: Range<usize>, count: usize) {
        work.projected.resize(count * self.config.width, 0.0);
        work.activations.load_for(lane, &work.hidden, &[&second.matrix]);
        self.multiply(lane, &work.activations, second, rows, &mut work.projected);
    }

    /// Adds what the rows of the patches `blocks` weigh in the interpolated rows. A row's terms come in the order of
    /// the patches, however they are cut into jobs.
    fn interpolate(
        &self,
        lane: &Lane,
        projected: &[f32],
        lines: &Lines,
        tile: usize,
        blocks: Range<usize>,
        out: &mut [f32],
    ) {
        let width = self.config.width;
        let range = lines.range();
        let out = &mut out[range.start * width..range.end * width];
        lane.for_each_chunk_mut(out, width, |row, out| {
            for (patch, weight) in lines.taps(row, tile).filter(|(patch, _)| blocks.contains(patch)) {
                let term = &projected[(patch - blocks.start) * width..][..width];
                out.iter_mut().zip(term).for_each(|(out, value)| *out += weight * value);
            }
        });
    }

    /// The means of the projected rows of a square with the convolution of these added, from `row` on.
    fn downsample(&self, lane: &Lane, projected: &[f32], peg: &Peg, row: usize, out: &mut [f32]) {
        let (width, side) = (self.config.width, self.config.side / 2);
        let out = &mut out[row * width..(row + side * side) * width];
        lane.for_each_chunk_mut(out, width, |at, out| peg.row(projected, side, at, out));
    }
}
