//! What a step costs: arithmetic and bytes read, from which an accelerator predicts its time.

use nanomind_hal::JobCost;

use super::config::LanguageConfig;
use super::weights::Weights;

/// Costs of one model, counted once.
#[derive(Debug, Clone, Copy)]
pub struct CostModel {
    /// Weights of all layers that each position is multiplied with.
    layer_weights: u64,
    /// Bytes of those weights, packed.
    layer_bytes: u64,
    /// Weights of the head.
    head_weights: u64,
    /// Bytes of the head, packed.
    head_bytes: u64,
    /// Multiplications of one position with one earlier position, over all layers: for scores and for values.
    attention: u64,
    /// Bytes of one position in the key-value cache.
    position_bytes: u64,
}

impl CostModel {
    pub(super) fn new(config: &LanguageConfig, weights: &Weights) -> CostModel {
        let head = &weights.head.matrix;
        let elements = |rows: usize, cols: usize| rows as u64 * cols as u64;
        CostModel {
            layer_weights: weights.linears().map(|it| elements(it.matrix.rows(), it.matrix.cols())).sum(),
            layer_bytes: weights.linears().map(|it| it.matrix.packed_bytes() as u64).sum(),
            head_weights: elements(head.rows(), head.cols()),
            head_bytes: head.packed_bytes() as u64,
            attention: 2 * (config.layers * config.heads * config.head_dim) as u64,
            position_bytes: config.kv_geometry().position_bytes() as u64,
        }
    }

    /// A prefill of `tokens` positions that begins at `position`, with logits of the last one.
    pub fn prefill(&self, tokens: usize, position: usize) -> JobCost {
        let (tokens, position) = (tokens as u64, position as u64);
        if tokens == 0 {
            return JobCost { flops: 0, bytes: 0 };
        }
        // Position i of the chunk reads position + i + 1 positions.
        let pairs = tokens * position + tokens * (tokens + 1) / 2;
        JobCost {
            flops: 2 * (tokens * self.layer_weights + self.head_weights + pairs * self.attention),
            bytes: self.layer_bytes + self.head_bytes + (position + tokens) * self.position_bytes,
        }
    }

    /// A decode of one token at `position`.
    pub fn decode(&self, position: usize) -> JobCost {
        self.prefill(1, position)
    }
}
