//! The weights of a language model, packed once for the kernels of one instruction set.

use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::{self as kernels, Format, Isa};

use super::config::LanguageConfig;
use crate::gguf::{Gguf, TensorInfo};
use crate::loader::{Bias, Linear, LoadProgress, Loader, ModelError};
use crate::shape::{LanguageShape, MatrixShape};
use crate::tokenizer::TokenId;

/// Weights of one layer.
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) feed_forward_norm: Vec<f32>,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// The token embedding, of which there is never a second copy.
enum Embedding {
    /// The head shares the table: rows are read back from its packed weights.
    Head,
    /// A table of its own, read from the mapped file: only rows that are looked up take memory.
    File { gguf: Arc<Gguf>, info: TensorInfo, format: Format, row_bytes: usize },
}

/// All weights of a model.
pub(super) struct Weights {
    embedding: Embedding,
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Vec<f32>,
    pub(super) head: Linear,
    /// Llama 3's divisors of the RoPE frequencies, `[rope_dim / 2]`.
    pub(super) rope_factors: Option<Vec<f32>>,
    /// Number of weights in the file.
    pub(super) parameters: u64,
    /// Bytes of all tensors in the file.
    pub(super) file_bytes: u64,
}

impl Weights {
    /// Packs every tensor on `lane`. A tensor that is missing, of another shape or unknown is an error.
    pub(super) fn load(
        gguf: &Arc<Gguf>,
        config: &LanguageConfig,
        isa: Isa,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Weights, ModelError> {
        let total_bytes = gguf.tensors().map(|info| info.byte_len() as u64).sum();
        let mut loader = Loader::new(gguf, isa, lane, |_| true, progress);
        // The largest tensor comes first: while it is packed its mapped pages are in memory beside what is packed of it,
        // and nothing else is there yet.
        let (head, embedding) = match loader.has("output.weight") {
            true => ("output", embedding(&mut loader, config)?),
            false => ("token_embd", Embedding::Head),
        };
        let head = loader.linear(head, config.vocab, config.width, Bias::Optional)?;
        let layers = (0..config.layers).map(|index| layer(&mut loader, config, index)).collect::<Result<_, _>>()?;
        let output_norm = loader.vector("output_norm.weight", config.width)?;
        let rope_factors = match loader.has("rope_freqs.weight") {
            true => Some(rope_factors(&mut loader, config.rope_dim / 2)?),
            false => None,
        };
        loader.refuse_unknown()?;
        let parameters = gguf.tensors().map(|info| info.elements() as u64).sum();
        Ok(Weights { embedding, layers, output_norm, head, rope_factors, parameters, file_bytes: total_bytes })
    }

    /// The shape of a model with these weights.
    pub(super) fn shape(&self, config: &LanguageConfig) -> LanguageShape {
        let head = MatrixShape::of(&self.head.matrix);
        let linears = || self.linears().map(|linear| MatrixShape::of(&linear.matrix));
        let (table_weights, table_bytes) = match &self.embedding {
            Embedding::Head => (0, 0),
            Embedding::File { info, .. } => (info.elements() as u64, info.byte_len() as u64),
        };
        let matrices = head.stored_bytes() + linears().map(|linear| linear.stored_bytes()).sum::<u64>();
        let other_stored_bytes = self.file_bytes.saturating_sub(matrices + table_bytes);
        LanguageShape::new(config.sizes(table_weights, other_stored_bytes), linears(), head)
    }

    /// Whether the head shares the embedding table.
    pub(super) fn is_tied(&self) -> bool {
        matches!(self.embedding, Embedding::Head)
    }

    /// Writes the embedding of `token`, which must be below the vocabulary size, to `out`, `[width]`.
    pub(super) fn embedding_row(&self, token: TokenId, out: &mut [f32]) {
        match &self.embedding {
            Embedding::Head => self.head.matrix.row(token as usize, out),
            Embedding::File { gguf, info, format, row_bytes } => {
                let start = token as usize * row_bytes;
                let bytes = &gguf.tensor_bytes(info)[start..start + row_bytes];
                kernels::dequantize(*format, bytes, out).expect("rows were checked to have this width at load");
            }
        }
    }

    /// The format that most weights of the layers have.
    pub(super) fn main_format(&self) -> Format {
        let weights = |format| {
            let same = self.linears().map(|linear| &linear.matrix).filter(|matrix| matrix.format() == format);
            same.map(|matrix| matrix.rows() * matrix.cols()).sum::<usize>()
        };
        self.linears().map(|linear| linear.matrix.format()).max_by_key(|format| weights(*format)).unwrap_or(Format::F32)
    }

    /// Every projection of the layers.
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(|layer| {
            [&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate, &layer.up, &layer.down]
        })
    }
}

/// The weights of layer `index`.
fn layer(loader: &mut Loader<'_>, config: &LanguageConfig, index: usize) -> Result<Layer, ModelError> {
    let LanguageConfig { width, feed_forward, heads, kv_heads, head_dim, .. } = *config;
    let (query, key_value) = (heads * head_dim, kv_heads * head_dim);
    let bias = if config.architecture.needs_attention_bias() { Bias::Required } else { Bias::Optional };
    let name = |part: &str| format!("blk.{index}.{part}");
    Ok(Layer {
        attention_norm: loader.vector(&name("attn_norm.weight"), width)?,
        query: loader.linear(&name("attn_q"), query, width, bias)?,
        key: loader.linear(&name("attn_k"), key_value, width, bias)?,
        value: loader.linear(&name("attn_v"), key_value, width, bias)?,
        output: loader.linear(&name("attn_output"), width, query, Bias::Optional)?,
        feed_forward_norm: loader.vector(&name("ffn_norm.weight"), width)?,
        gate: loader.linear(&name("ffn_gate"), feed_forward, width, Bias::Optional)?,
        up: loader.linear(&name("ffn_up"), feed_forward, width, Bias::Optional)?,
        down: loader.linear(&name("ffn_down"), width, feed_forward, Bias::Optional)?,
    })
}

/// The divisors of RoPE's frequencies, which must not be zero.
fn rope_factors(loader: &mut Loader<'_>, len: usize) -> Result<Vec<f32>, ModelError> {
    let factors = loader.vector("rope_freqs.weight", len)?;
    match factors.iter().find(|factor| **factor <= 0.0) {
        Some(found) => Err(loader.wrong("rope_freqs.weight", "numbers above 0".into(), format!("{found}"))),
        None => Ok(factors),
    }
}

/// The embedding table, which stays in the file.
fn embedding(loader: &mut Loader<'_>, config: &LanguageConfig) -> Result<Embedding, ModelError> {
    let (info, format) = loader.tensor("token_embd.weight", config.vocab, config.width)?;
    let row_bytes = info.byte_len() / config.vocab;
    Ok(Embedding::File { gguf: loader.gguf().clone(), info, format, row_bytes })
}
