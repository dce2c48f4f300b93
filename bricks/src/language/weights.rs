//! The weights of a language model, taken once to where it is computed.

use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::backend::{Held, Table};
use nanomind_kernels::{self as kernels, Backend, BackendError, Format};

use super::config::LanguageConfig;
use crate::gguf::{Gguf, TensorInfo};
use crate::loader::{Bias, LoadProgress, Loader, ModelError};
use crate::tokenizer::TokenId;

/// Weights of one layer.
pub(super) struct Layer<B: Backend> {
    pub(super) attention_norm: B::Vector,
    pub(super) attention: B::Attention,
    pub(super) output: B::Linear,
    pub(super) feed_forward_norm: B::Vector,
    pub(super) gate: B::Gate,
    pub(super) down: B::Linear,
}

impl<B: Backend> Layer<B> {
    fn bytes(&self) -> u64 {
        self.attention.bytes() + self.output.bytes() + self.gate.bytes() + self.down.bytes()
    }
}

/// The token embedding in a mapped file: only rows that are looked up take memory.
struct FileTable {
    gguf: Arc<Gguf>,
    info: TensorInfo,
    format: Format,
    row_bytes: usize,
}

impl FileTable {
    fn row(&self, row: usize, out: &mut [f32]) {
        let start = row * self.row_bytes;
        let bytes = &self.gguf.tensor_bytes(&self.info)[start..start + self.row_bytes];
        kernels::dequantize(self.format, bytes, out).expect("rows were checked to have this width at load");
    }
}

/// All weights of a model.
pub(super) struct Weights<B: Backend> {
    /// None where the head shares the table and rows can be read back from it: there is never a second copy in memory.
    table: Option<FileTable>,
    pub(super) layers: Vec<Layer<B>>,
    pub(super) output_norm: B::Vector,
    pub(super) head: B::Linear,
    /// Whether the head shares the embedding table.
    pub(super) tied: bool,
    /// The format that most weights of the layers have.
    pub(super) main_format: Format,
    /// Llama 3's divisors of the RoPE frequencies, `[rope_dim / 2]`.
    pub(super) rope_factors: Option<Vec<f32>>,
    /// Number of weights in the file.
    pub(super) parameters: u64,
    /// Bytes of all tensors in the file.
    pub(super) file_bytes: u64,
    file: String,
}

impl<B: Backend> Weights<B> {
    /// Takes every tensor to `backend`, host work on `lane`. A tensor that is missing, of another shape or unknown is an error.
    pub(super) fn load(
        gguf: &Arc<Gguf>,
        config: &LanguageConfig,
        backend: &B,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Weights<B>, ModelError> {
        let total_bytes = gguf.tensors().map(|info| info.byte_len() as u64).sum();
        let mut loader = Loader::new(gguf, backend, lane, |_| true, progress);
        // The largest tensor comes first: while it is packed its mapped pages are in memory beside what is packed of it,
        // and nothing else is there yet.
        let tied = !loader.has("output.weight");
        let table = file_table(&mut loader, config)?;
        let head = if tied { "token_embd" } else { "output" };
        let head = loader.linear(head, config.vocab, config.width, Bias::Optional)?;
        let readable = tied && backend.row(&head, 0, &mut vec![0.0; config.width]);
        let table = (!readable).then_some(table);
        let layers = (0..config.layers).map(|index| layer(&mut loader, config, index)).collect::<Result<_, _>>()?;
        let output_norm = loader.vector("output_norm.weight", config.width)?;
        let rope_factors = match loader.has("rope_freqs.weight") {
            true => Some(rope_factors(&mut loader, config.rope_dim / 2)?),
            false => None,
        };
        loader.refuse_unknown()?;
        let parameters = gguf.tensors().map(|info| info.elements() as u64).sum();
        let file = gguf.file().to_owned();
        Ok(Weights {
            table,
            layers,
            output_norm,
            head,
            tied,
            main_format: loader.main_format(1),
            rope_factors,
            parameters,
            file_bytes: total_bytes,
            file,
        })
    }

    /// Bytes of all projections where they are computed with.
    pub(super) fn bytes(&self) -> u64 {
        self.head.bytes() + self.layers.iter().map(Layer::bytes).sum::<u64>()
    }

    /// Writes the embedding of `token`, which must be below the vocabulary size, to `out`, `[width]`.
    pub(super) fn embedding_row(&self, backend: &B, token: TokenId, out: &mut [f32]) {
        match &self.table {
            Some(table) => table.row(token as usize, out),
            None => {
                let read = backend.row(&self.head, token as usize, out);
                debug_assert!(read, "the backend gave a row of the head at load");
            }
        }
    }

    /// Calls `use_table` with where tokens are looked up.
    pub(super) fn with_table(&self, backend: &B, use_table: impl FnOnce(&Table<'_, B>)) {
        let host = |token, out: &mut [f32]| self.embedding_row(backend, token, out);
        use_table(&Table { host: &host, device: self.tied.then_some(&self.head) });
    }

    /// An error about the tensor `name` of the file.
    pub(super) fn refused(&self, name: &str, source: BackendError) -> ModelError {
        ModelError::Pack { file: self.file.clone(), tensor: name.to_owned(), source }
    }
}

/// The weights of layer `index`.
fn layer<B: Backend>(
    loader: &mut Loader<'_, B>,
    config: &LanguageConfig,
    index: usize,
) -> Result<Layer<B>, ModelError> {
    let LanguageConfig { width, feed_forward, heads, kv_heads, head_dim, .. } = *config;
    let (query, key_value) = (heads * head_dim, kv_heads * head_dim);
    let bias = if config.architecture.needs_attention_bias() { Bias::Required } else { Bias::Optional };
    let name = |part: &str| format!("blk.{index}.{part}");
    let [q, k, v, gate, up] = ["attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"].map(name);
    Ok(Layer {
        attention_norm: loader.vector(&name("attn_norm.weight"), width)?,
        attention: loader.attention([(&q, query), (&k, key_value), (&v, key_value)], width, bias)?,
        output: loader.linear(&name("attn_output"), width, query, Bias::Optional)?,
        feed_forward_norm: loader.vector(&name("ffn_norm.weight"), width)?,
        gate: loader.gate([&gate, &up], feed_forward, width)?,
        down: loader.linear(&name("ffn_down"), width, feed_forward, Bias::Optional)?,
    })
}

/// The divisors of RoPE's frequencies, which must not be zero.
fn rope_factors<B: Backend>(loader: &mut Loader<'_, B>, len: usize) -> Result<Vec<f32>, ModelError> {
    let factors = loader.numbers("rope_freqs.weight", 1, len)?;
    match factors.iter().find(|factor| **factor <= 0.0) {
        Some(found) => Err(loader.wrong("rope_freqs.weight", "numbers above 0".into(), format!("{found}"))),
        None => Ok(factors),
    }
}

/// The embedding table, as it lies in the file.
fn file_table<B: Backend>(loader: &mut Loader<'_, B>, config: &LanguageConfig) -> Result<FileTable, ModelError> {
    let (info, format) = loader.tensor("token_embd.weight", config.vocab, config.width)?;
    let row_bytes = info.byte_len() / config.vocab;
    Ok(FileTable { gguf: loader.gguf().clone(), info, format, row_bytes })
}
