//! The memory in which rows are computed: sized once for a chunk, so that a step allocates nothing.

use nanomind_kernels::{Activations, Isa, RopeAngles};

use super::config::LanguageConfig;

/// Intermediate rows of a chunk. Pages that no chunk has reached yet are not committed by the system.
pub(super) struct Workspace {
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
    /// Gate of the feed-forward layer, then its product with `up`, `[chunk, feed_forward]`.
    pub(super) gate: Vec<f32>,
    /// Up-projection of the feed-forward layer, `[chunk, feed_forward]`.
    pub(super) up: Vec<f32>,
    /// Inputs of a projection in the form that the kernels read.
    pub(super) activations: Activations,
    /// Sines and cosines of the chunk's positions.
    pub(super) angles: RopeAngles,
    /// Logits, `[vocab]`, or `[tokens, vocab]` after a prefill that asked for all.
    pub(super) logits: Vec<f32>,
}

impl Workspace {
    /// Memory for chunks of up to `chunk` positions; `None` when the system refuses it.
    pub(super) fn new(config: &LanguageConfig, isa: Isa, chunk: usize) -> Option<Workspace> {
        let rows = |width: usize| bytemuck::allocation::try_zeroed_vec(chunk.checked_mul(width)?).ok();
        let (query, key_value) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        Some(Workspace {
            residual: rows(config.width)?,
            normed: rows(config.width)?,
            query: rows(query)?,
            key: rows(key_value)?,
            value: rows(key_value)?,
            attended: rows(query)?,
            gate: rows(config.feed_forward)?,
            up: rows(config.feed_forward)?,
            activations: Activations::new(isa),
            angles: RopeAngles::new(),
            logits: bytemuck::allocation::try_zeroed_vec(config.vocab).ok()?,
        })
    }
    /// Makes room for passes of up to `rows` rows, if there is none: several sequences may bring more than a chunk.
    pub(super) fn make_room(&mut self, config: &LanguageConfig, rows: usize) {
        let (query, key_value) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        for (values, width) in [
            (&mut self.residual, config.width),
            (&mut self.normed, config.width),
            (&mut self.query, query),
            (&mut self.key, key_value),
            (&mut self.value, key_value),
            (&mut self.attended, query),
            (&mut self.gate, config.feed_forward),
            (&mut self.up, config.feed_forward),
        ] {
            if values.len() < rows * width {
                values.resize(rows * width, 0.0);
            }
        }
    }
}
