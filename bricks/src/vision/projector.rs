//! From patch embeddings to rows of the language model's width: the `mlp` projector of LLaVA 1.5.

use std::ops::Range;
use std::sync::Arc;

use nanomind_hal::tabm::SlotWriter;
use nanomind_hal::{JobCost, Lane};
use nanomind_kernels::{self as kernels, Activations, Isa};

use super::encoder::{product_cost, sum};
use super::error::VisionError;
use super::slot::check_slot;
use crate::gguf::{Gguf, GgufProblem};
use crate::loader::{Bias, Linear, LoadProgress, Loader, ModelError};

/// Rows that one task of the lane takes.
const ROWS_PER_TASK: usize = 8;

/// Two projections with a GELU between them; a row of output for each patch. Immutable, shared by all lanes.
pub struct Projector {
    isa: Isa,
    first: Linear,
    second: Linear,
}

/// The memory that projections compute in; it grows to the largest one and is then reused.
pub struct Projection {
    hidden: Vec<f32>,
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
        check_kind(gguf)?;
        let mut loader = Loader::new(gguf, isa, lane, |name| !name.starts_with("v."), progress);
        let (hidden, width) = (gguf.tensor("mm.0.weight")?.rows(), gguf.tensor("mm.0.weight")?.cols());
        let first = loader.linear("mm.0", hidden, width, Bias::Optional)?;
        let rows = gguf.tensor("mm.2.weight")?.rows();
        let second = loader.linear("mm.2", rows, hidden, Bias::Optional)?;
        loader.refuse_unknown()?;
        Ok(Projector { isa, first, second })
    }

    /// Width of the patch embeddings that it takes.
    pub fn patch_width(&self) -> usize {
        self.first.matrix.cols()
    }

    /// Width of its rows: that of the language model.
    pub fn width(&self) -> usize {
        self.second.matrix.rows()
    }

    /// Bytes of the packed matrices.
    pub fn packed_bytes(&self) -> usize {
        self.first.matrix.packed_bytes() + self.second.matrix.packed_bytes()
    }

    /// What `patches` rows cost.
    pub fn cost(&self, patches: usize) -> JobCost {
        sum(product_cost(&self.first, patches), product_cost(&self.second, patches))
    }

    /// Memory to project in.
    pub fn projection(&self) -> Projection {
        Projection { hidden: Vec::new(), activations: Activations::new(self.isa) }
    }

    /// Projects the patches `rows` of `patches`, `[patches, patch_width]`, straight into the same rows of `slot`: a job
    /// may take some of them and the next one the rest. Whoever has projected all of them publishes the slot.
    ///
    /// # Panics
    /// `rows` is not within the patches, or `work` was made for another instruction set.
    pub fn project(
        &self,
        lane: &Lane,
        work: &mut Projection,
        patches: &[f32],
        rows: Range<usize>,
        slot: &mut SlotWriter,
    ) -> Result<(), VisionError> {
        let (from, to) = (self.patch_width(), self.width());
        if !patches.len().is_multiple_of(from) {
            return Err(VisionError::PatchWidth { expected: from, found: patches.len() });
        }
        check_slot(slot, patches.len() / from, to)?;
        let out = &mut slot.rows_mut_f32()[rows.start * to..rows.end * to];
        work.hidden.resize(rows.len() * self.first.matrix.rows(), 0.0);
        let patches = &patches[rows.start * from..rows.end * from];
        work.activations.load_for(lane, patches, &[&self.first.matrix]);
        let epilogue = self.first.epilogue();
        kernels::matmul(lane, &self.first.matrix, &work.activations, &mut work.hidden, epilogue);
        let run = ROWS_PER_TASK * self.first.matrix.rows();
        lane.for_each_chunk_mut(&mut work.hidden, run, |_, rows| kernels::gelu_erf(self.isa, rows));
        work.activations.load_for(lane, &work.hidden, &[&self.second.matrix]);
        kernels::matmul(lane, &self.second.matrix, &work.activations, out, self.second.epilogue());
        Ok(())
    }
}

/// Refuses projectors of other types. A file that names none is of the time when there was but this one.
fn check_kind(gguf: &Gguf) -> Result<(), ModelError> {
    for key in ["clip.vision.projector_type", "clip.projector_type"] {
        match gguf.find_str(key)? {
            None | Some("mlp") => {}
            Some(found) => {
                let problem = GgufProblem::Inconsistent { expected: "mlp".into(), found: found.to_owned() };
                return Err(gguf.error(key, problem).into());
            }
        }
    }
    Ok(())
}
