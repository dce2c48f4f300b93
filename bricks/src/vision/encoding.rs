//! One square of a picture on its way through an encoder: state that any lane may move on by a few layers.

use std::ops::Range;
use std::sync::Arc;

use nanomind_hal::tabm::{SlotReader, SlotWriter};
use nanomind_hal::{JobCost, Lane};
use nanomind_kernels::{self as kernels, Activations, KvFormat, KvLayout, KvSide, KvView, Nonlinearity};

use super::config::{Activation, VisionConfig};
use super::encoder::{Layer, VisionEncoder};
use super::error::VisionError;
use super::preprocess::Pixels;
use super::slot::check_slot;
use crate::shape::matrix::{NOTHING, sum};

/// Rows that one task of the lane takes.
const ROWS_PER_TASK: usize = 8;

/// The state of one picture, and the memory that its encoder computes in: made once, used for picture after picture.
///
/// A job owns it while it runs and hands it back, so a job may run on another accelerator than the one before:
/// [`Encoding::begin`], then [`Encoding::advance`] until [`Encoding::is_complete`], then [`Encoding::publish`].
pub struct Encoding {
    encoder: Arc<VisionEncoder>,
    /// Layers that are done; `None` until a picture is there.
    done: Option<usize>,
    /// Unfolded patches, `[patches, 3 · patch_size²]`.
    unfolded: Vec<f32>,
    /// The residual stream, `[tokens, width]`.
    residual: Vec<f32>,
    /// The output of attention, `[tokens, width]`.
    rows: Vec<f32>,
    /// Queries, keys and values, `[tokens, width]` each.
    projected: [Vec<f32>; 3],
    /// Keys and values, as `kept` lays them.
    halves: [Vec<u8>; 2],
    kept: KvLayout,
    /// Hidden layer of the feed-forward block, `[tokens, feed_forward]`.
    hidden: Vec<f32>,
    activations: Activations,
}

impl Encoding {
    /// Memory to encode one picture at a time in.
    pub fn new(encoder: Arc<VisionEncoder>) -> Result<Encoding, VisionError> {
        let config = encoder.config();
        let tokens = config.tokens();
        let memory = || VisionError::Memory { tokens };
        let floats = |rows: usize, width: usize| {
            bytemuck::allocation::try_zeroed_vec::<f32>(rows * width).map_err(|()| memory())
        };
        let kept = KvLayout::new(KvFormat::F16, config.heads, tokens, config.head_dim).map_err(|_| memory())?;
        let halves = || bytemuck::allocation::try_zeroed_vec::<u8>(kept.bytes()).map_err(|()| memory());
        let stream = || floats(tokens, config.width);
        Ok(Encoding {
            done: None,
            unfolded: floats(config.patches(), 3 * config.patch_size * config.patch_size)?,
            residual: stream()?,
            rows: stream()?,
            projected: [stream()?, stream()?, stream()?],
            halves: [halves()?, halves()?],
            kept,
            hidden: floats(tokens, config.feed_forward)?,
            activations: Activations::new(encoder.isa()),
            encoder,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &Arc<VisionEncoder> {
        &self.encoder
    }

    /// Takes a picture and embeds its patches; whatever was there before is forgotten.
    pub fn begin(&mut self, lane: &Lane, pixels: &Pixels) -> Result<(), VisionError> {
        let encoder = Arc::clone(&self.encoder);
        let VisionConfig { image_size, patch_size, width, .. } = *encoder.config();
        if pixels.size() != image_size {
            return Err(VisionError::PixelSize { expected: image_size, found: pixels.size() });
        }
        pixels.unfold(lane, patch_size, &mut self.unfolded);
        let first = encoder.config().tokens() - encoder.config().patches();
        self.activations.load_for(lane, &self.unfolded, &[&encoder.patch.matrix]);
        self.residual.copy_from_slice(&encoder.positions);
        let (class, patches) = self.residual.split_at_mut(first * width);
        if let Some(embedding) = &encoder.class {
            kernels::add(encoder.isa(), embedding, class);
        }
        kernels::matmul(lane, &encoder.patch.matrix, &self.activations, patches, encoder.patch.accumulate());
        if let Some(norm) = &encoder.pre_norm {
            let (run, residual) = (ROWS_PER_TASK * width, &self.residual);
            lane.for_each_chunk_mut(&mut self.rows, run, |task, out| {
                norm.apply(encoder.isa(), &residual[task * run..][..out.len()], out);
            });
            std::mem::swap(&mut self.residual, &mut self.rows);
        }
        self.done = Some(0);
        Ok(())
    }

    /// What [`Encoding::begin`] costs.
    pub fn begin_cost(&self) -> JobCost {
        self.encoder.shape().embed()
    }

    /// Computes up to `layers` more layers (at least one), if a picture is there.
    pub fn advance(&mut self, lane: &Lane, layers: usize) {
        let encoder = Arc::clone(&self.encoder);
        let range = self.next_layers(layers);
        for layer in &encoder.layers[range.clone()] {
            self.attend(lane, layer);
            self.feed_forward(lane, layer);
        }
        self.done = self.done.map(|_| range.end);
    }

    /// What [`Encoding::advance`] of up to `layers` layers costs.
    pub fn advance_cost(&self, layers: usize) -> JobCost {
        let range = self.next_layers(layers);
        if range.is_empty() { NOTHING } else { self.encoder.shape().layers(range.start, range.end) }
    }

    /// What [`Encoding::publish`] costs.
    pub fn publish_cost(&self) -> JobCost {
        self.encoder.shape().publish()
    }

    /// What the whole picture costs.
    pub fn cost(&self) -> JobCost {
        sum(self.begin_cost(), self.encoder.shape().layers(0, self.encoder.layers.len()))
    }

    /// Layers of the picture that are left; all of them until one is there.
    pub fn remaining(&self) -> usize {
        self.encoder.layers.len() - self.done.unwrap_or(0)
    }

    /// Whether a picture is there and all layers are done.
    pub fn is_complete(&self) -> bool {
        self.done == Some(self.encoder.layers.len())
    }

    /// Writes the patch embeddings to `out`, `[patches, width]`, through the last norm where there is one. They come in the
    /// order of the picture's lines, but those that are projected together stand together.
    ///
    /// # Panics
    /// The encoding is not complete, or `out` has another length.
    pub fn write(&self, lane: &Lane, out: &mut [f32]) {
        assert!(self.is_complete(), "{} layers are left", self.remaining());
        let config = self.encoder.config();
        let (isa, width) = (self.encoder.isa(), config.width);
        let first = (config.tokens() - config.patches()) * width;
        let residual = &self.residual[first..];
        assert_eq!(out.len(), residual.len(), "the values of all patch embeddings");
        lane.for_each_chunk_mut(out, ROWS_PER_TASK * width, |task, out| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let start = config.patch_of_row(task * ROWS_PER_TASK + row) * width;
                let residual = &residual[start..start + width];
                match &self.encoder.post_norm {
                    Some(norm) => norm.apply(isa, residual, out),
                    None => out.copy_from_slice(residual),
                }
            }
        });
    }

    /// Writes the patch embeddings straight into the rows of a slot and publishes it. The slot is free again on error.
    pub fn publish(&self, lane: &Lane, mut slot: SlotWriter) -> Result<SlotReader, VisionError> {
        if !self.is_complete() {
            return Err(VisionError::Incomplete { remaining: self.remaining() });
        }
        let config = self.encoder.config();
        check_slot(&slot, config.patches(), config.width)?;
        self.write(lane, &mut slot.rows_mut_f32()[..config.patches() * config.width]);
        Ok(slot.publish(config.patches()))
    }

    fn next_layers(&self, layers: usize) -> Range<usize> {
        let all = self.encoder.layers.len();
        let done = self.done.unwrap_or(all);
        done..all.min(done.saturating_add(layers.max(1)))
    }

    /// Norm, attention of every position to every other, output projection.
    fn attend(&mut self, lane: &Lane, layer: &Layer) {
        let isa = self.encoder.isa();
        let VisionConfig { width, heads, head_dim, .. } = *self.encoder.config();
        let tokens = self.residual.len() / width;
        let linears = [&layer.query, &layer.key, &layer.value];
        layer.attention_norm.load_for(lane, &self.residual, linears, &mut self.activations);
        let [query, key, value] = &mut self.projected;
        let mut products = [layer.query.product(query), layer.key.product(key), layer.value.product(value)];
        kernels::matmul_many(lane, &self.activations, &mut products);
        let kept = self.kept;
        let sides = [(KvSide::Keys, &*key), (KvSide::Values, &*value)];
        for ((side, rows), halves) in sides.into_iter().zip(&mut self.halves) {
            kept.store(lane, isa, side, 0, rows, halves);
        }
        let view = KvView::new(kept, heads, &self.halves[0], &self.halves[1]);
        kernels::attention_to_all(lane, isa, query, &view, tokens, 1.0 / (head_dim as f32).sqrt(), &mut self.rows);
        self.activations.load_for(lane, &self.rows, &[&layer.output.matrix]);
        kernels::matmul(lane, &layer.output.matrix, &self.activations, &mut self.residual, layer.output.accumulate());
    }

    /// Norm and the two projections with the activation between them.
    fn feed_forward(&mut self, lane: &Lane, layer: &Layer) {
        layer.feed_forward_norm.load_for(lane, &self.residual, [&layer.up], &mut self.activations);
        let function = match self.encoder.config().activation {
            Activation::Gelu => Nonlinearity::GeluTanh,
            Activation::Silu => Nonlinearity::Silu,
            Activation::QuickGelu => Nonlinearity::GeluQuick,
        };
        kernels::matmul(lane, &layer.up.matrix, &self.activations, &mut self.hidden, layer.up.activate(function));
        self.activations.load_for(lane, &self.hidden, &[&layer.down.matrix]);
        kernels::matmul(lane, &layer.down.matrix, &self.activations, &mut self.residual, layer.down.accumulate());
    }
}
