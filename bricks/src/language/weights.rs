//! The weights of a language model, packed once for the kernels of one instruction set.

use std::collections::HashSet;
use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::{self as kernels, Epilogue, Format, Isa, Matrix, Product};

use super::config::LanguageConfig;
use super::error::ModelError;
use crate::gguf::{Gguf, GgufError, GgufProblem, TensorInfo};
use crate::tokenizer::TokenId;

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the file that are packed.
    pub done_bytes: u64,
    /// Bytes of all tensors.
    pub total_bytes: u64,
}

/// A projection: `[rows, cols]` weights and perhaps a bias.
pub(super) struct Linear {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>,
}

impl Linear {
    /// The product with loaded activations, to go to `out`, `[tokens, rows]`.
    pub(super) fn product<'a>(&'a self, out: &'a mut [f32]) -> Product<'a> {
        Product::with(&self.matrix, out, self.epilogue())
    }

    /// What the product is stored with.
    pub(super) fn epilogue(&self) -> Epilogue<'_> {
        match &self.bias {
            Some(bias) => Epilogue::Bias(bias),
            None => Epilogue::Store,
        }
    }
}

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
        let mut loader = Loader { gguf, isa, lane, used: HashSet::new(), done_bytes: 0, total_bytes, progress };
        let layers = (0..config.layers).map(|index| loader.layer(config, index)).collect::<Result<_, _>>()?;
        let output_norm = loader.vector("output_norm.weight", config.width)?;
        let (head, embedding) = match loader.has("output.weight") {
            true => ("output", loader.embedding(config)?),
            false => ("token_embd", Embedding::Head),
        };
        let head = loader.linear(head, config.vocab, config.width, Bias::Optional)?;
        let rope_factors = match loader.has("rope_freqs.weight") {
            true => Some(loader.rope_factors(config.rope_dim / 2)?),
            false => None,
        };
        loader.refuse_unknown()?;
        let parameters = gguf.tensors().map(|info| info.elements() as u64).sum();
        Ok(Weights { embedding, layers, output_norm, head, rope_factors, parameters, file_bytes: total_bytes })
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

/// Whether a projection has a bias.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bias {
    Required,
    Optional,
}

/// Takes tensors out of a file one by one and remembers which.
struct Loader<'a> {
    gguf: &'a Arc<Gguf>,
    isa: Isa,
    lane: &'a Lane,
    used: HashSet<String>,
    done_bytes: u64,
    total_bytes: u64,
    progress: &'a mut dyn FnMut(LoadProgress),
}

impl Loader<'_> {
    fn layer(&mut self, config: &LanguageConfig, index: usize) -> Result<Layer, ModelError> {
        let LanguageConfig { width, feed_forward, heads, kv_heads, head_dim, .. } = *config;
        let (query, key_value) = (heads * head_dim, kv_heads * head_dim);
        let bias = if config.architecture.needs_attention_bias() { Bias::Required } else { Bias::Optional };
        let name = |part: &str| format!("blk.{index}.{part}");
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm.weight"), width)?,
            query: self.linear(&name("attn_q"), query, width, bias)?,
            key: self.linear(&name("attn_k"), key_value, width, bias)?,
            value: self.linear(&name("attn_v"), key_value, width, bias)?,
            output: self.linear(&name("attn_output"), width, query, Bias::Optional)?,
            feed_forward_norm: self.vector(&name("ffn_norm.weight"), width)?,
            gate: self.linear(&name("ffn_gate"), feed_forward, width, Bias::Optional)?,
            up: self.linear(&name("ffn_up"), feed_forward, width, Bias::Optional)?,
            down: self.linear(&name("ffn_down"), width, feed_forward, Bias::Optional)?,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.gguf.find_tensor(name).is_some()
    }

    /// The tensor `name`, whose shape must be `[rows, cols]`.
    fn tensor(&mut self, name: &str, rows: usize, cols: usize) -> Result<(TensorInfo, Format), ModelError> {
        let info = self.gguf.tensor(name)?.clone();
        let dims = info.dims();
        let flat = rows == 1 && dims.len() == 1;
        if info.cols() != cols || info.rows() != rows || !(flat || dims.len() == 2) {
            let expected = if rows == 1 { format!("shape [{cols}]") } else { format!("shape [{rows}, {cols}]") };
            let found: Vec<u64> = dims.iter().rev().copied().collect();
            return Err(self.wrong(name, expected, format!("{found:?}")));
        }
        let Some(format) = info.tensor_type().format() else {
            let found = info.tensor_type().name().to_owned();
            return Err(self.wrong(name, "a type that there are kernels for".into(), found));
        };
        self.used.insert(name.to_owned());
        Ok((info, format))
    }

    fn wrong(&self, name: &str, expected: String, found: String) -> ModelError {
        GgufError::new(self.gguf.file(), format!("tensor `{name}`"), GgufProblem::Inconsistent { expected, found })
            .into()
    }

    /// A tensor of `len` numbers as f32.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        let (info, format) = self.tensor(name, 1, len)?;
        let mut out = vec![0.0; len];
        kernels::dequantize(format, self.gguf.tensor_bytes(&info), &mut out)
            .map_err(|source| self.shape_error(name, source))?;
        if let Some(found) = out.iter().find(|number| !number.is_finite()) {
            return Err(self.wrong(name, "finite numbers".into(), format!("{found}")));
        }
        self.advance(&info);
        Ok(out)
    }

    /// The divisors of RoPE's frequencies, which must not be zero.
    fn rope_factors(&mut self, len: usize) -> Result<Vec<f32>, ModelError> {
        let factors = self.vector("rope_freqs.weight", len)?;
        match factors.iter().find(|factor| **factor <= 0.0) {
            Some(found) => Err(self.wrong("rope_freqs.weight", "numbers above 0".into(), format!("{found}"))),
            None => Ok(factors),
        }
    }

    /// The projection `NAME.weight` `[rows, cols]` with its bias `NAME.bias` `[rows]`.
    fn linear(&mut self, name: &str, rows: usize, cols: usize, bias: Bias) -> Result<Linear, ModelError> {
        let weight = format!("{name}.weight");
        let (info, format) = self.tensor(&weight, rows, cols)?;
        let matrix = Matrix::pack(self.isa, self.lane, format, rows, cols, self.gguf.tensor_bytes(&info))
            .map_err(|source| self.shape_error(&weight, source))?;
        self.gguf.release_tensor(&info);
        self.advance(&info);
        let name = format!("{name}.bias");
        let bias = match bias == Bias::Required || self.has(&name) {
            true => Some(self.vector(&name, rows)?),
            false => None,
        };
        Ok(Linear { matrix, bias })
    }

    fn embedding(&mut self, config: &LanguageConfig) -> Result<Embedding, ModelError> {
        let (info, format) = self.tensor("token_embd.weight", config.vocab, config.width)?;
        let row_bytes = info.byte_len() / config.vocab;
        Ok(Embedding::File { gguf: self.gguf.clone(), info, format, row_bytes })
    }

    fn shape_error(&self, tensor: &str, source: kernels::ShapeError) -> ModelError {
        ModelError::Pack { file: self.gguf.file().to_owned(), tensor: tensor.to_owned(), source }
    }

    fn advance(&mut self, info: &TensorInfo) {
        self.done_bytes += info.byte_len() as u64;
        (self.progress)(LoadProgress { done_bytes: self.done_bytes, total_bytes: self.total_bytes });
    }

    /// A tensor that nothing here uses would silently change the answers: so it is an error.
    fn refuse_unknown(&self) -> Result<(), ModelError> {
        match self.gguf.tensors().find(|info| !self.used.contains(info.name())) {
            Some(info) => {
                Err(ModelError::UnknownTensor { file: self.gguf.file().to_owned(), tensor: info.name().to_owned() })
            }
            None => Ok(()),
        }
    }
}
