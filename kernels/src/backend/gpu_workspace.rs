//! The memory in which rows are computed on a device: made once for a chunk, so that a step makes none.

use nanomind_hal::gpu::GpuError;

use super::Decoder;
use crate::gpu::{Kernels, Results, Rows, Tokens};

/// Intermediate rows of a chunk, and what they begin and end as on the host.
#[derive(Debug)]
pub struct GpuWorkspace {
    rows: usize,
    /// Residual stream, `[chunk, width]`.
    pub(super) residual: Rows,
    /// Queries, keys and values of each row, `[chunk, (heads + 2 · kv_heads) · head_dim]`.
    pub(super) projected: Rows,
    /// Output of attention, `[chunk, heads · head_dim]`.
    pub(super) attended: Rows,
    /// Hidden layer, `[chunk, feed_forward]`.
    pub(super) hidden: Rows,
    /// What gates let through, where that cannot be kept from being written, `[chunk, feed_forward]`.
    pub(super) spare: Rows,
    /// What is looked up, `[chunk]`.
    pub(super) tokens: Tokens,
    /// Rows that come from the host.
    pub(super) staged: Vec<f32>,
    /// Tokens that come from the host.
    pub(super) looked_up: Vec<u32>,
    /// What is picked, and its way to the host, `[chunk]`.
    pub(super) picks: (Tokens, Results),
    /// Logits, `[rows, vocab]`; as many rows as ever had an answer.
    pub(super) logits: Option<Rows>,
    /// The way of logits to the host.
    pub(super) fetched: Option<Results>,
}

impl GpuWorkspace {
    /// Memory for chunks of up to `chunk` rows.
    pub(super) fn new(kernels: &Kernels, decoder: &Decoder, chunk: usize) -> Result<GpuWorkspace, GpuError> {
        let rows = |width: usize| Rows::new(kernels, chunk, width);
        Ok(GpuWorkspace {
            rows: chunk,
            residual: rows(decoder.width)?,
            projected: rows(decoder.query_width() + 2 * decoder.kv_width())?,
            attended: rows(decoder.query_width())?,
            hidden: rows(decoder.feed_forward)?,
            spare: rows(decoder.feed_forward)?,
            tokens: Tokens::new(kernels, chunk)?,
            staged: Vec::new(),
            looked_up: Vec::new(),
            picks: (Tokens::new(kernels, chunk)?, Results::new(kernels, chunk)?),
            logits: Some(Rows::new(kernels, 1, decoder.vocab)?),
            fetched: None,
        })
    }

    /// Rows of a chunk.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Room for the logits of `rows` rows, and for their way to the host where they are `fetched`.
    pub(super) fn make_logits(
        &mut self,
        kernels: &Kernels,
        rows: usize,
        vocab: usize,
        fetched: bool,
    ) -> Result<(), GpuError> {
        if self.logits.as_ref().is_none_or(|logits| logits.rows() < rows) {
            self.logits = None;
            self.logits = Some(Rows::new(kernels, rows, vocab)?);
        }
        if fetched && self.fetched.as_ref().is_none_or(|fetched| fetched.words() < rows * vocab) {
            self.fetched = None;
            self.fetched = Some(Results::new(kernels, rows * vocab)?);
        }
        Ok(())
    }
}
