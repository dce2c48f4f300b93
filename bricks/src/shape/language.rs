//! The shape of a language model: what loading it and moving a sequence forward cost.

use nanomind_hal::JobCost;
use nanomind_kernels::KvFormat;

use super::matrix::MatrixShape;
use crate::gguf::{Gguf, GgufError};
use crate::language::{KvGeometry, LanguageConfig};

/// The shape of a language model, counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanguageShape {
    /// Elements of an embedding row.
    pub width: usize,
    /// Positions that it was trained for.
    pub context_length: usize,
    /// Weights of the layers, which each position is multiplied with.
    layer_weights: u64,
    /// Bytes of those, packed.
    layer_bytes: u64,
    /// Weights of the head.
    head_weights: u64,
    /// Bytes of the head, packed.
    head_bytes: u64,
    /// Weights of an embedding table that the head does not share. It stays in the file.
    table_weights: u64,
    /// Bytes that loading reads from storage.
    stored_bytes: u64,
    /// Multiplications of one position with one earlier position, over all layers: for scores and for values.
    attention: u64,
    /// Layers, key-value heads of each and elements of a head.
    kv: KvGeometry,
    /// Bytes of one position in the key-value cache.
    position_bytes: u64,
}

/// The sizes that a language model's costs follow from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LanguageSizes {
    /// Elements of an embedding row.
    pub(crate) width: usize,
    /// Positions that it was trained for.
    pub(crate) context_length: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Layers, key-value heads of each and elements of a head.
    pub(crate) kv: KvGeometry,
    /// Weights of an embedding table that the head does not share, else 0.
    pub(crate) table_weights: u64,
    /// Bytes that loading reads from storage, of everything but `linears` and `head`: norms and biases.
    pub(crate) other_stored_bytes: u64,
}

impl LanguageShape {
    /// The shape of a model with these projections in its layers and this head.
    pub(crate) fn new(
        sizes: LanguageSizes,
        linears: impl Iterator<Item = MatrixShape>,
        head: MatrixShape,
    ) -> LanguageShape {
        let (mut weights, mut bytes, mut stored_bytes) = (0, 0, head.stored_bytes() + sizes.other_stored_bytes);
        for linear in linears {
            weights += linear.weights();
            bytes += linear.packed_bytes();
            stored_bytes += linear.stored_bytes();
        }
        LanguageShape {
            width: sizes.width,
            context_length: sizes.context_length,
            layer_weights: weights,
            layer_bytes: bytes,
            head_weights: head.weights(),
            head_bytes: head.packed_bytes(),
            table_weights: sizes.table_weights,
            stored_bytes,
            attention: 2 * (sizes.kv.layers * sizes.heads * sizes.kv.head_dim) as u64,
            kv: sizes.kv,
            position_bytes: position_bytes(sizes.kv, KvFormat::F16).unwrap_or_default(),
        }
    }

    /// The shape of the model in a file, from its header.
    ///
    /// # Errors
    /// The file holds no language model that is computed here, or a field or tensor is missing or out of bounds.
    pub fn of_gguf(gguf: &Gguf) -> Result<LanguageShape, GgufError> {
        const PROJECTIONS: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
        let config = LanguageConfig::from_gguf(gguf)?;
        let matrix = |name: &str| MatrixShape::of_tensor(gguf, name, gguf.tensor(name)?.rows());
        let names = (0..config.layers).flat_map(|layer| PROJECTIONS.map(|part| format!("blk.{layer}.{part}.weight")));
        let linears = names.map(|name| matrix(&name)).collect::<Result<Vec<_>, _>>()?;
        let table = gguf.tensor("token_embd.weight")?;
        let is_tied = gguf.find_tensor("output.weight").is_none();
        let head = matrix(if is_tied { "token_embd.weight" } else { "output.weight" })?;
        let (table_weights, table_bytes) = match is_tied {
            true => (0, 0),
            false => (table.elements() as u64, table.byte_len() as u64),
        };
        let matrices = head.stored_bytes() + linears.iter().map(MatrixShape::stored_bytes).sum::<u64>();
        let all: u64 = gguf.tensors().map(|tensor| tensor.byte_len() as u64).sum();
        let other_stored_bytes = all.saturating_sub(matrices + table_bytes);
        Ok(LanguageShape::new(config.sizes(table_weights, other_stored_bytes), linears.into_iter(), head))
    }

    /// Weights of all matrices.
    pub fn weights(&self) -> u64 {
        self.layer_weights + self.head_weights + self.table_weights
    }

    /// Bytes that the packed weights take in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.layer_bytes + self.head_bytes
    }

    /// The same model with its keys and values kept in `format`: a new shape keeps them in half precision. `None` where
    /// its heads are no whole number of the format's blocks.
    pub fn with_kv_cache(self, format: KvFormat) -> Option<LanguageShape> {
        Some(LanguageShape { position_bytes: position_bytes(self.kv, format)?, ..self })
    }

    /// Bytes that the keys and values of `positions` positions take.
    pub fn kv_bytes(&self, positions: usize) -> u64 {
        self.position_bytes * positions as u64
    }

    /// Loading the weights from storage.
    pub fn load(&self) -> JobCost {
        JobCost { flops: 0, bytes: self.stored_bytes }
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

    /// One step of several sequences: tokens that each reads, and the position that it has come to. Logits of each token.
    pub fn decode_batch(&self, readings: impl Iterator<Item = (usize, usize)>) -> JobCost {
        let mut cost = JobCost { flops: 0, bytes: 0 };
        for (tokens, position) in readings.filter(|(tokens, _)| *tokens > 0) {
            let alone = self.prefill(tokens, position);
            let weights = self.layer_bytes + self.head_bytes;
            cost.flops += alone.flops + 2 * (tokens as u64 - 1) * self.head_weights;
            // Weights are read once for all.
            cost.bytes = cost.bytes.max(weights) + alone.bytes - weights;
        }
        cost
    }

    /// Looking up the embeddings of `tokens` tokens.
    pub fn embed(&self, tokens: usize) -> JobCost {
        let values = (tokens * self.width) as u64;
        JobCost { flops: values, bytes: values * size_of::<f32>() as u64 }
    }
}

fn position_bytes(kv: KvGeometry, format: KvFormat) -> Option<u64> {
    kv.position_bytes(format).map(|bytes| bytes as u64)
}
