//! The memory in which rows are computed on the CPU: sized once for a chunk, so that a step allocates nothing.

use super::Decoder;
use crate::{Activations, Isa, RopeAngles};

/// Intermediate rows of a chunk. Pages that no chunk has reached yet are not committed by the system.
pub struct CpuWorkspace {
    /// Residual stream, `[chunk, width]`.
    pub(super) residual: Vec<f32>,
    /// Input of the next projection, or its output where that cannot be added in place, `[chunk, width]`.
    pub(super) normed: Vec<f32>,
    /// Queries, `[chunk, heads * head_dim]`.
    pub(super) query: Vec<f32>,
    /// Keys before they enter the cache, `[chunk, kv_heads * head_dim]`.
    pub(super) key: Vec<f32>,
    /// Values before they enter the cache, `[chunk, kv_heads * head_dim]`.
    pub(super) value: Vec<f32>,
    /// Output of attention, `[chunk, heads * head_dim]`.
    pub(super) attended: Vec<f32>,
    /// Gate of the feed-forward layer, `[chunk, feed_forward]`.
    pub(super) gate: Vec<f32>,
    /// Up-projection of the feed-forward layer, `[chunk, feed_forward]`.
    pub(super) up: Vec<f32>,
    /// Inputs of a projection in the form that the kernels read.
    pub(super) activations: Activations,
    /// Sines and cosines of the chunk's positions.
    pub(super) angles: RopeAngles,
    /// Logits of which only the largest is wanted, `[rows, vocab]`; empty until such are.
    pub(super) logits: Vec<f32>,
}

impl CpuWorkspace {
    /// Memory for chunks of up to `chunk` rows; `None` when the system refuses it.
    pub(super) fn new(decoder: &Decoder, isa: Isa, chunk: usize) -> Option<CpuWorkspace> {
        let rows = |width: usize| bytemuck::allocation::try_zeroed_vec(chunk.checked_mul(width)?).ok();
        let (query, key_value) = (decoder.query_width(), decoder.kv_width());
        Some(CpuWorkspace {
            residual: rows(decoder.width)?,
            normed: rows(decoder.width)?,
            query: rows(query)?,
            key: rows(key_value)?,
            value: rows(key_value)?,
            attended: rows(query)?,
            gate: rows(decoder.feed_forward)?,
            up: rows(decoder.feed_forward)?,
            activations: Activations::new(isa),
            angles: RopeAngles::new(),
            logits: Vec::new(),
        })
    }

    /// Bytes that memory for chunks of up to `chunk` rows takes.
    pub(super) fn bytes(decoder: &Decoder, chunk: usize) -> usize {
        let widths = decoder.width + decoder.query_width() + decoder.kv_width() + decoder.feed_forward;
        chunk.saturating_mul(2 * widths * size_of::<f32>())
    }

    /// Makes room for passes of up to `rows` rows.
    pub(super) fn make_room(&mut self, decoder: &Decoder, rows: usize) {
        let (query, key_value) = (decoder.query_width(), decoder.kv_width());
        for (values, width) in [
            (&mut self.residual, decoder.width),
            (&mut self.normed, decoder.width),
            (&mut self.query, query),
            (&mut self.key, key_value),
            (&mut self.value, key_value),
            (&mut self.attended, query),
            (&mut self.gate, decoder.feed_forward),
            (&mut self.up, decoder.feed_forward),
        ] {
            if values.len() < rows * width {
                values.resize(rows * width, 0.0);
            }
        }
    }
}
