//! The language model of a folder: its hyperparameters, as `general.architecture` names and orders them.

use super::error::InputError;
use super::json::Json;
use super::rope::Rope;
use super::section::{Defaults, LLAMA, QWEN2, Section};
use crate::gguf::GgufWriter;
use crate::language::Architecture;

/// Hyperparameters of a language model, in the terms of Hugging Face's configurations.
#[derive(Debug, Clone)]
pub(super) struct LanguageShape {
    pub(super) architecture: Architecture,
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) feed_forward: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) vocab: usize,
    /// Whether queries, keys and values have biases.
    pub(super) query_bias: bool,
    /// Whether the output of attention has one.
    pub(super) output_bias: bool,
    pub(super) feed_forward_bias: bool,
    /// Whether the head is the embedding table where the file has no head.
    pub(super) tied: bool,
    pub(super) rope: Rope,
    context: usize,
    norm_epsilon: f64,
    /// The head's width where the configuration says it.
    stated_head_dim: Option<usize>,
}

impl LanguageShape {
    /// Reads `config`; `outer` is what holds it, or the same again.
    pub(super) fn read(config: &Json<'_>, outer: &Json<'_>) -> Result<LanguageShape, InputError> {
        let (architecture, defaults) = family(config)?;
        let section = Section::new(config.clone(), defaults);
        refuse_what_is_not_computed(&section)?;
        let heads = section.size("num_attention_heads", 1..=1024)?;
        let kv_heads = section.size_or("num_key_value_heads", 1..=1024, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            let found = kv_heads.to_string();
            return Err(unlike(config, "num_key_value_heads", format!("a divisor of the {heads} heads"), found));
        }
        let width = section.size("hidden_size", 2..=1 << 16)?;
        let stated_head_dim = config.find("head_dim").map(|_| section.size("head_dim", 2..=256)).transpose()?;
        let head_dim = stated_head_dim.unwrap_or(width / heads);
        if !head_dim.is_multiple_of(2) || head_dim == 0 || (stated_head_dim.is_none() && !width.is_multiple_of(heads)) {
            let expected = format!("heads of an even width within the hidden_size of {width}");
            return Err(unlike(config, "num_attention_heads", expected, format!("{heads} heads of {head_dim}")));
        }
        let is_qwen2 = architecture == Architecture::Qwen2;
        let attention_bias = section.flag("attention_bias")?;
        let tied = |json: &Json<'_>| Ok::<_, InputError>(json.find_bool("tie_word_embeddings")?.unwrap_or(false));
        Ok(LanguageShape {
            architecture,
            layers: section.size("num_hidden_layers", 1..=1024)?,
            width,
            feed_forward: section.size("intermediate_size", 1..=1 << 20)?,
            heads,
            kv_heads,
            head_dim,
            vocab: section.size("vocab_size", 1..=1 << 22)?,
            query_bias: is_qwen2 || attention_bias,
            output_bias: !is_qwen2 && attention_bias,
            feed_forward_bias: section.flag("mlp_bias")?,
            tied: tied(config)? || tied(outer)?,
            rope: Rope::read(config, head_dim)?,
            context: section.size("max_position_embeddings", 1..=1 << 24)?,
            norm_epsilon: section.number("rms_norm_eps", 1.0)?,
            stated_head_dim,
        })
    }

    /// The keys of the architecture, as llama.cpp's converter writes them.
    pub(super) fn describe(&self, writer: GgufWriter) -> GgufWriter {
        let name = self.architecture.name();
        let key = |key: &str| format!("{name}.{key}");
        let size = |size: usize| size as u32;
        let mut writer = writer
            .metadata(key("block_count"), size(self.layers))
            .metadata(key("context_length"), size(self.context))
            .metadata(key("embedding_length"), size(self.width))
            .metadata(key("feed_forward_length"), size(self.feed_forward))
            .metadata(key("attention.head_count"), size(self.heads))
            .metadata(key("attention.head_count_kv"), size(self.kv_heads))
            .metadata(key("rope.freq_base"), self.rope.base as f32)
            .metadata(key("attention.layer_norm_rms_epsilon"), self.norm_epsilon as f32);
        if let Some(head_dim) = self.stated_head_dim {
            writer = writer
                .metadata(key("attention.key_length"), size(head_dim))
                .metadata(key("attention.value_length"), size(head_dim));
        }
        if let Some(factor) = self.rope.linear {
            writer =
                writer.metadata(key("rope.scaling.type"), "linear").metadata(key("rope.scaling.factor"), factor as f32);
        }
        if self.architecture == Architecture::Llama {
            writer = writer
                .metadata(key("vocab_size"), size(self.vocab))
                .metadata(key("rope.dimension_count"), size(self.head_dim));
        }
        writer
    }
}

/// The architecture that `model_type` names, and the defaults of its configuration.
fn family(config: &Json<'_>) -> Result<(Architecture, Defaults), InputError> {
    let Some(model_type) = config.find("model_type") else {
        // Idefics3's and SmolVLM's text is Llama where they do not say otherwise.
        return Ok((Architecture::Llama, LLAMA));
    };
    match model_type.as_str()? {
        "llama" => Ok((Architecture::Llama, LLAMA)),
        "qwen2" => Ok((Architecture::Qwen2, QWEN2)),
        _ => Err(model_type.unlike("a language model of the supported types llama and qwen2")),
    }
}

/// What would be computed in another way than the model was trained is refused, not ignored.
fn refuse_what_is_not_computed(section: &Section<'_>) -> Result<(), InputError> {
    let config = section.json();
    if let Some(activation) = config.find("hidden_act")
        && activation.as_str()? != "silu"
    {
        return Err(activation.unlike("silu"));
    }
    if section.flag("use_sliding_window")? {
        let found = "true";
        return Err(unlike(
            config,
            "use_sliding_window",
            "false: attention to a window is not supported".into(),
            found,
        ));
    }
    if let Some(quantised) = config.find("quantization_config") {
        return Err(quantised.unlike("weights in F32, F16 or BF16, which have no such field"));
    }
    Ok(())
}

fn unlike(config: &Json<'_>, name: &str, expected: String, found: impl Into<String>) -> InputError {
    match config.find(name) {
        Some(value) => value.unlike_found(expected, found),
        None => config.unlike_found(expected, found),
    }
}
