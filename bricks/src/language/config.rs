//! The hyperparameters of a language model, read from GGUF metadata and bounded before anything is sized by them.

use std::fmt;
use std::ops::RangeInclusive;

use nanomind_kernels::RopeLayout;
use nanomind_kernels::backend::{Decoder, KvGeometry};

use crate::gguf::{Gguf, GgufError, GgufProblem, Value};
use crate::shape::LanguageSizes;

/// The widest head that the kernels take.
const MAX_HEAD_DIM: usize = 256;

/// Families of language models that are computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, SmolLM2, Mistral and others that the converters call `llama`.
    Llama,
    /// Qwen2 and Qwen2.5: biases on queries, keys and values.
    Qwen2,
}

impl Architecture {
    const ALL: [Architecture; 2] = [Architecture::Llama, Architecture::Qwen2];

    /// The name in `general.architecture`, which prefixes the keys of the hyperparameters.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
        }
    }

    /// How the elements of a head pair up for RoPE in files of this architecture.
    pub fn rope_layout(self) -> RopeLayout {
        match self {
            // The converters permute the projections of Llama so that pairs lie side by side.
            Architecture::Llama => RopeLayout::Interleaved,
            Architecture::Qwen2 => RopeLayout::Halves,
        }
    }

    /// Whether queries, keys and values always have a bias.
    pub(super) fn needs_attention_bias(self) -> bool {
        self == Architecture::Qwen2
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Hyperparameters of a language model, all within bounds and consistent with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageConfig {
    /// Family of the model.
    pub architecture: Architecture,
    /// Number of layers.
    pub layers: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Elements of an embedding row and of the residual stream.
    pub width: usize,
    /// Elements of the hidden layer of the feed-forward block.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Leading elements of a head that RoPE turns; even.
    pub rope_dim: usize,
    /// Rows of the embedding table.
    pub vocab: usize,
    /// Added under the root of an RMS norm.
    pub norm_epsilon: f32,
    /// Base of the RoPE frequencies.
    pub rope_base: f32,
    /// Divisor of every position before RoPE: 1, or more where linear scaling stretches the context.
    pub rope_scale: f32,
}

impl LanguageConfig {
    /// Reads and checks the hyperparameters. Errors name the file, the key, what was expected and what was found.
    pub fn from_gguf(gguf: &Gguf) -> Result<LanguageConfig, GgufError> {
        let architecture = architecture(gguf)?;
        let fields = Fields { gguf, prefix: architecture.name() };
        fields.refuse_experts()?;
        let layers = fields.size("block_count", 1..=1024)?;
        let context_length = fields.size("context_length", 1..=1 << 24)?;
        let width = fields.size("embedding_length", 2..=1 << 16)?;
        let feed_forward = fields.size("feed_forward_length", 1..=1 << 20)?;
        let heads = fields.size("attention.head_count", 1..=1024)?;
        let kv_heads = fields.size_or("attention.head_count_kv", 1..=1024, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} heads of attention.head_count");
            return Err(fields.wrong("attention.head_count_kv", expected, kv_heads));
        }
        let head_dim = fields.head_dim(width, heads)?;
        let rope_dim = fields.size_or("rope.dimension_count", 2..=head_dim, head_dim)?;
        if !rope_dim.is_multiple_of(2) {
            return Err(fields.wrong("rope.dimension_count", "an even number".into(), rope_dim));
        }
        Ok(LanguageConfig {
            architecture,
            layers,
            context_length,
            width,
            feed_forward,
            heads,
            kv_heads,
            head_dim,
            rope_dim,
            vocab: fields.vocab()?,
            norm_epsilon: fields.number("attention.layer_norm_rms_epsilon", 0.0..=1.0)?,
            rope_base: fields.number_or("rope.freq_base", 1.0..=1e12, 10_000.0)?,
            rope_scale: fields.rope_scale()?,
        })
    }

    /// What the shape of such a model is made of beside its matrices.
    pub(crate) fn sizes(&self, table_weights: u64, other_stored_bytes: u64) -> LanguageSizes {
        LanguageSizes {
            width: self.width,
            context_length: self.context_length,
            heads: self.heads,
            kv: self.kv_geometry(),
            table_weights,
            other_stored_bytes,
        }
    }

    /// What its layers have in common, as the kernels want to know it.
    pub(super) fn decoder(&self) -> Decoder {
        Decoder {
            width: self.width,
            feed_forward: self.feed_forward,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            vocab: self.vocab,
            norm_epsilon: self.norm_epsilon,
        }
    }

    /// Shape of the key-value cache.
    pub fn kv_geometry(&self) -> KvGeometry {
        KvGeometry { layers: self.layers, kv_heads: self.kv_heads, head_dim: self.head_dim }
    }
}

fn architecture(gguf: &Gguf) -> Result<Architecture, GgufError> {
    const KEY: &str = "general.architecture";
    let name = gguf.architecture()?;
    Architecture::ALL.into_iter().find(|architecture| architecture.name() == name).ok_or_else(|| {
        let expected = Architecture::ALL.map(Architecture::name).join(" or ");
        gguf.error(KEY, GgufProblem::Inconsistent { expected, found: name.to_owned() })
    })
}

/// Reads keys under the prefix of an architecture.
struct Fields<'a> {
    gguf: &'a Gguf,
    prefix: &'static str,
}

impl<'a> Fields<'a> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn value(&self, name: &str) -> Option<Value<'a>> {
        self.gguf.find(&self.key(name))
    }

    fn wrong(&self, name: &str, expected: String, found: impl fmt::Display) -> GgufError {
        let found = found.to_string();
        self.gguf.error(&self.key(name), GgufProblem::Inconsistent { expected, found })
    }

    fn size(&self, name: &str, bounds: RangeInclusive<usize>) -> Result<usize, GgufError> {
        let found = self.gguf.get_u32(&self.key(name))? as usize;
        if bounds.contains(&found) {
            return Ok(found);
        }
        Err(self.wrong(name, format!("an integer from {} to {}", bounds.start(), bounds.end()), found))
    }

    fn size_or(&self, name: &str, bounds: RangeInclusive<usize>, default: usize) -> Result<usize, GgufError> {
        if self.value(name).is_some() { self.size(name, bounds) } else { Ok(default) }
    }

    /// A number above the start of `bounds`, which it excludes when that is zero.
    fn number(&self, name: &str, bounds: RangeInclusive<f32>) -> Result<f32, GgufError> {
        let found = self.gguf.get_f32(&self.key(name))?;
        if bounds.contains(&found) && found > 0.0 {
            return Ok(found);
        }
        let (start, end) = (bounds.start(), bounds.end());
        let least = if *start == 0.0 { "above 0".to_owned() } else { format!("of at least {start}") };
        Err(self.wrong(name, format!("a number {least} and at most {end}"), format_args!("{found:?}")))
    }

    fn number_or(&self, name: &str, bounds: RangeInclusive<f32>, default: f32) -> Result<f32, GgufError> {
        if self.value(name).is_some() { self.number(name, bounds) } else { Ok(default) }
    }

    fn refuse_experts(&self) -> Result<(), GgufError> {
        match self.size_or("expert_count", 0..=usize::MAX, 0)? {
            0 => Ok(()),
            found => Err(self.wrong("expert_count", "0: mixtures of experts are not supported".into(), found)),
        }
    }

    /// Elements of a head: explicit, or the width over the heads. Keys and values must agree.
    fn head_dim(&self, width: usize, heads: usize) -> Result<usize, GgufError> {
        let head_dim = match self.value("attention.key_length") {
            Some(_) => self.size("attention.key_length", 2..=MAX_HEAD_DIM)?,
            None if width.is_multiple_of(heads) => width / heads,
            None => {
                let expected = format!("a divisor of the embedding_length of {width}, as there is no key_length");
                return Err(self.wrong("attention.head_count", expected, heads));
            }
        };
        if !head_dim.is_multiple_of(2) || head_dim > MAX_HEAD_DIM {
            let expected = format!("an even number of elements a head, from 2 to {MAX_HEAD_DIM}");
            return Err(self.wrong("attention.key_length", expected, head_dim));
        }
        let value_dim = self.size_or("attention.value_length", 1..=MAX_HEAD_DIM, head_dim)?;
        if value_dim != head_dim {
            let expected = format!("{head_dim}, the elements of a key");
            return Err(self.wrong("attention.value_length", expected, value_dim));
        }
        Ok(head_dim)
    }

    /// Rows of the embedding table; an explicit `vocab_size` must agree.
    fn vocab(&self) -> Result<usize, GgufError> {
        let rows = self.gguf.tensor("token_embd.weight")?.rows();
        if rows > 1 << 22 {
            let problem =
                GgufProblem::Inconsistent { expected: "at most 4194304 rows".into(), found: rows.to_string() };
            return Err(GgufError::new(self.gguf.file(), "tensor `token_embd.weight`", problem));
        }
        let stated = self.size_or("vocab_size", 1..=1 << 22, rows)?;
        if stated != rows {
            return Err(self.wrong("vocab_size", format!("{rows}, the rows of token_embd.weight"), stated));
        }
        Ok(rows)
    }

    /// Linear scaling of positions under its current and its older key; other kinds of scaling are refused.
    fn rope_scale(&self) -> Result<f32, GgufError> {
        let kind = match self.value("rope.scaling.type") {
            Some(_) => self.gguf.get_str(&self.key("rope.scaling.type"))?,
            None if self.value("rope.scaling.factor").is_some() => "linear",
            None => {
                return self.number_or("rope.scale_linear", 1.0..=1e6, 1.0);
            }
        };
        match kind {
            "none" => Ok(1.0),
            "linear" => self.number_or("rope.scaling.factor", 1.0..=1e6, 1.0),
            found => Err(self.wrong("rope.scaling.type", "none or linear".into(), found)),
        }
    }
}
