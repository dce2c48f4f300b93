//! The weights of a language model, taken once to where it is computed.

use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::backend::{Table, WeightMatrix};
use nanomind_kernels::{self as kernels, Backend, Format, ShapeError};

use super::config::LanguageConfig;
use crate::gguf::{Gguf, TensorInfo};
use crate::loader::{Bias, Linear, LoadProgress, Loader, ModelError};
use crate::shape::{LanguageShape, MatrixShape};
use crate::tokenizer::TokenId;

/// Weights of one layer.
pub(super) struct Layer<B: Backend> {
    pub(super) attention_norm: B::Vector,
    pub(super) query: Linear<B>,
    pub(super) key: Linear<B>,
    pub(super) value: Linear<B>,
    pub(super) output: Linear<B>,
    pub(super) feed_forward_norm: B::Vector,
    pub(super) gate: Linear<B>,
    pub(super) up: Linear<B>,
    pub(super) down: Linear<B>,
}

/// The token embedding, of which there is never a second copy in memory.
enum Embedding {
    /// The head shares the table: rows are read back from its packed weights.
    Head,
    /// Read from the mapped file: only rows that are looked up take memory.
    File(FileTable),
}

/// A table in a mapped file.
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
    embedding: Embedding,
    pub(super) layers: Vec<Layer<B>>,
    pub(super) output_norm: B::Vector,
    pub(super) head: Linear<B>,
    /// Whether the head shares the embedding table.
    pub(super) tied: bool,
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
        let embedding = match tied && backend.row(&head.matrix, 0, &mut vec![0.0; config.width]) {
            true => Embedding::Head,
            false => Embedding::File(table),
        };
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
            embedding,
            layers,
            output_norm,
            head,
            tied,
            rope_factors,
            parameters,
            file_bytes: total_bytes,
            file,
        })
    }

    /// The shape of a model with these weights.
    pub(super) fn shape(&self, config: &LanguageConfig) -> LanguageShape {
        let head = MatrixShape::of(&self.head.matrix);
        let linears = || self.linears().map(|linear| MatrixShape::of(&linear.matrix));
        let (table_weights, table_bytes) = match &self.embedding {
            Embedding::File(table) if !self.tied => (table.info.elements() as u64, table.info.byte_len() as u64),
            _ => (0, 0),
        };
        let matrices = head.stored_bytes() + linears().map(|linear| linear.stored_bytes()).sum::<u64>();
        let other_stored_bytes = self.file_bytes.saturating_sub(matrices + table_bytes);
        LanguageShape::new(config.sizes(table_weights, other_stored_bytes), linears(), head)
    }

    /// Writes the embedding of `token`, which must be below the vocabulary size, to `out`, `[width]`.
    pub(super) fn embedding_row(&self, backend: &B, token: TokenId, out: &mut [f32]) {
        match &self.embedding {
            Embedding::Head => {
                let read = backend.row(&self.head.matrix, token as usize, out);
                debug_assert!(read, "the backend gave a row of this matrix at load");
            }
            Embedding::File(table) => table.row(token as usize, out),
        }
    }

    /// Calls `use_table` with where tokens are looked up.
    pub(super) fn with_table<R>(&self, use_table: impl FnOnce(Table<'_, B>) -> R) -> R {
        match &self.embedding {
            Embedding::Head => use_table(Table::Matrix(&self.head.matrix)),
            Embedding::File(table) => use_table(Table::Host(&|token, out| table.row(token as usize, out))),
        }
    }

    /// An error about the tensor `name` of the file.
    pub(super) fn refused(&self, name: &str, source: ShapeError) -> ModelError {
        ModelError::Pack { file: self.file.clone(), tensor: name.to_owned(), source }
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
    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear<B>> {
        self.layers.iter().flat_map(|layer| {
            [&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate, &layer.up, &layer.down]
        })
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
