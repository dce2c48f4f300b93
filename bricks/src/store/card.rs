//! What a model file is: architecture, shapes, quantisation and the memory that it needs, read from its header alone.
use std::collections::BTreeMap;

use serde::Serialize;

use nanomind_kernels::KvFormat;

use crate::{
    Gguf, GgufError, Tokenizer, TokenizerError,
    language::{DEFAULT_CHUNK, LanguageConfig, memory_bytes},
};

/// What a model file is.
#[derive(Debug, Serialize)]
pub struct ModelCard {
    /// The file, as it was opened.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Version of the GGUF format.
    pub gguf_version: u32,
    /// The name its makers gave it.
    pub name: Option<String>,
    /// The licence its makers gave it.
    pub licence: Option<String>,
    /// Family: `llama`, `qwen2`, ….
    pub architecture: String,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Shape of the language model; nothing where the file holds none that runs here.
    pub language: Option<LanguageShape>,
    /// The tokenizer.
    pub tokenizer: Option<TokenizerCard>,
    /// Whether the file brings its own chat template.
    pub chat_template: bool,
    /// Tensors by type, the type with the most bytes first.
    pub quantisation: Vec<TypeShare>,
    /// Memory that answering takes, by context.
    pub memory: Vec<MemoryNeed>,
    /// All tensors, in the order of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorCard>,
}

/// Shape of a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LanguageShape {
    /// Positions it was trained for.
    pub context_length: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key-value heads of a layer.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Elements of an embedding row.
    pub width: usize,
    /// Elements of the hidden layer of the feed-forward block.
    pub feed_forward: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
}

/// What tokenizer a file brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenizerCard {
    /// `gpt2` (byte-level BPE), `llama` (SentencePiece), ….
    pub model: String,
    /// How words are cut before merging, for byte-level BPE.
    pub pre_tokenizer: Option<String>,
    /// Number of tokens.
    pub tokens: usize,
}

/// The tensors of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeShare {
    /// The type's name, as ggml writes it.
    #[serde(rename = "type")]
    pub tensor_type: &'static str,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their elements.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Memory that a language model takes with one sequence of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryNeed {
    /// Positions of the sequence.
    pub context: usize,
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Bytes of the key-value cache when the context is full.
    pub cache_bytes: u64,
    /// Bytes of activations and logits.
    pub workspace_bytes: u64,
    /// Bytes altogether.
    pub total_bytes: u64,
}

/// One tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorCard {
    /// Its name.
    pub name: String,
    /// Its type's name, as ggml writes it.
    #[serde(rename = "type")]
    pub tensor_type: &'static str,
    /// Its dimensions, the fastest first, as in the file.
    pub dims: Vec<u64>,
    /// Its bytes.
    pub bytes: u64,
}

/// Why a model file has no complete card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The file, or its hyperparameters, are broken.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Its tokenizer is broken.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl ModelCard {
    /// Reads the card of an open file.
    ///
    /// A language model of an architecture that does not run here has a card without `language` and `memory`. The
    /// memory needed is told for each of `contexts` and, where it is empty, for 2048 positions and the whole context.
    ///
    /// # Errors
    /// Together with the card of everything that can be read: what is wrong with hyperparameters or tokenizer.
    /// Without a card: the file names no architecture.
    pub fn of(gguf: &Gguf, contexts: &[usize]) -> Result<(ModelCard, Option<CardError>), CardError> {
        let text = |key: &str| gguf.find_str(key).ok().flatten().map(str::to_owned);
        let mut card = ModelCard {
            file: gguf.file().into(),
            bytes: gguf.byte_len() as u64,
            gguf_version: gguf.version(),
            name: text("general.name"),
            licence: text("general.license"),
            architecture: gguf.architecture()?.into(),
            parameters: gguf.tensors().map(|tensor| tensor.elements() as u64).sum(),
            language: None,
            tokenizer: None,
            chat_template: gguf.find("tokenizer.chat_template").is_some(),
            quantisation: quantisation(gguf),
            memory: Vec::new(),
            tensors: tensors(gguf),
        };
        let problem = match LanguageConfig::from_gguf(gguf) {
            Ok(config) => {
                card.language = Some(LanguageShape::of(&config));
                card.memory = memory(&card, &config, contexts);
                card.read_tokenizer(gguf).err()
            }
            // Another architecture is no fault of the file.
            Err(error) if error.field().contains("general.architecture") => None,
            Err(error) => Some(error.into()),
        };
        Ok((card, problem))
    }

    fn read_tokenizer(&mut self, gguf: &Gguf) -> Result<(), CardError> {
        let tokenizer = Tokenizer::from_gguf(gguf)?;
        self.tokenizer = Some(TokenizerCard {
            model: gguf.get_str("tokenizer.ggml.model")?.into(),
            pre_tokenizer: gguf.find_str("tokenizer.ggml.pre")?.map(str::to_owned),
            tokens: tokenizer.vocab_len(),
        });
        Ok(())
    }

    /// Bytes of all tensors.
    pub fn weights_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }
}

impl LanguageShape {
    fn of(config: &LanguageConfig) -> LanguageShape {
        LanguageShape {
            context_length: config.context_length,
            layers: config.layers,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            width: config.width,
            feed_forward: config.feed_forward,
            vocabulary: config.vocab,
        }
    }
}

fn tensors(gguf: &Gguf) -> Vec<TensorCard> {
    let card = |tensor: &crate::TensorInfo| TensorCard {
        name: tensor.name().into(),
        tensor_type: tensor.tensor_type().name(),
        dims: tensor.dims().into(),
        bytes: tensor.byte_len() as u64,
    };
    gguf.tensors().map(card).collect()
}

fn quantisation(gguf: &Gguf) -> Vec<TypeShare> {
    let mut shares = BTreeMap::<&'static str, TypeShare>::new();
    for tensor in gguf.tensors() {
        let tensor_type = tensor.tensor_type().name();
        let empty = TypeShare { tensor_type, tensors: 0, parameters: 0, bytes: 0 };
        let share = shares.entry(tensor_type).or_insert(empty);
        share.tensors += 1;
        share.parameters += tensor.elements() as u64;
        share.bytes += tensor.byte_len() as u64;
    }
    let mut shares: Vec<TypeShare> = shares.into_values().collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    shares
}

fn memory(card: &ModelCard, config: &LanguageConfig, contexts: &[usize]) -> Vec<MemoryNeed> {
    let mut contexts = contexts.to_vec();
    if contexts.is_empty() {
        contexts = vec![config.context_length.min(2048), config.context_length];
    }
    contexts.sort_unstable();
    contexts.dedup();
    let need = |context: usize| {
        let cache = KvFormat::F16;
        let position_bytes = config.kv_geometry().position_bytes(cache).unwrap_or_default() as u64;
        let cache_bytes = position_bytes.saturating_mul(context as u64);
        let sequence = memory_bytes(config, cache, context, DEFAULT_CHUNK).unwrap_or(u64::MAX);
        let weights_bytes = card.weights_bytes();
        let workspace_bytes = sequence.saturating_sub(cache_bytes);
        let total_bytes = weights_bytes.saturating_add(sequence);
        MemoryNeed { context, weights_bytes, cache_bytes, workspace_bytes, total_bytes }
    };
    contexts.into_iter().map(need).collect()
}
