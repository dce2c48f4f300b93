//! One configuration of config.json: its fields, bounded, with the defaults that its class has in transformers.

use std::ops::RangeInclusive;

use super::error::InputError;
use super::json::Json;

/// What transformers takes for a field that the file leaves out: its writers leave out whatever is the default, so
/// that LLaVA 1.5 says nothing of the width of its Llama.
pub(super) type Defaults = &'static [(&'static str, f64)];

/// `LlamaConfig`. Key-value heads default to the heads.
pub(super) const LLAMA: Defaults = &[
    ("hidden_size", 4096.0),
    ("intermediate_size", 11008.0),
    ("num_hidden_layers", 32.0),
    ("num_attention_heads", 32.0),
    ("max_position_embeddings", 2048.0),
    ("rms_norm_eps", 1e-6),
    ("vocab_size", 32000.0),
];

/// `Qwen2Config`.
pub(super) const QWEN2: Defaults = &[
    ("hidden_size", 4096.0),
    ("intermediate_size", 22016.0),
    ("num_hidden_layers", 32.0),
    ("num_attention_heads", 32.0),
    ("num_key_value_heads", 32.0),
    ("max_position_embeddings", 32768.0),
    ("rms_norm_eps", 1e-6),
    ("vocab_size", 151936.0),
];

/// `CLIPVisionConfig`.
pub(super) const CLIP: Defaults = &[
    ("hidden_size", 768.0),
    ("intermediate_size", 3072.0),
    ("num_hidden_layers", 12.0),
    ("num_attention_heads", 12.0),
    ("num_channels", 3.0),
    ("image_size", 224.0),
    ("patch_size", 32.0),
    ("layer_norm_eps", 1e-5),
];

/// `SiglipVisionConfig`.
pub(super) const SIGLIP: Defaults = &[
    ("hidden_size", 768.0),
    ("intermediate_size", 3072.0),
    ("num_hidden_layers", 12.0),
    ("num_attention_heads", 12.0),
    ("num_channels", 3.0),
    ("image_size", 224.0),
    ("patch_size", 16.0),
    ("layer_norm_eps", 1e-6),
];

/// `Idefics3VisionConfig` and `SmolVLMVisionConfig`.
pub(super) const IDEFICS3: Defaults = &[
    ("hidden_size", 1152.0),
    ("intermediate_size", 3072.0),
    ("num_hidden_layers", 12.0),
    ("num_attention_heads", 16.0),
    ("num_channels", 3.0),
    ("image_size", 224.0),
    ("patch_size", 32.0),
    ("layer_norm_eps", 1e-6),
];

/// The fields of one configuration.
pub(super) struct Section<'a> {
    json: Json<'a>,
    defaults: Defaults,
}

impl<'a> Section<'a> {
    pub(super) fn new(json: Json<'a>, defaults: Defaults) -> Section<'a> {
        Section { json, defaults }
    }

    pub(super) fn json(&self) -> &Json<'a> {
        &self.json
    }

    fn default(&self, name: &str) -> Option<f64> {
        self.defaults.iter().find(|(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// An integer within `bounds`.
    pub(super) fn size(&self, name: &str, bounds: RangeInclusive<usize>) -> Result<usize, InputError> {
        match (self.json.find(name), self.default(name)) {
            (Some(value), _) => {
                let found = value.as_u32()? as usize;
                let expected = || format!("an integer from {} to {}", bounds.start(), bounds.end());
                if bounds.contains(&found) { Ok(found) } else { Err(value.unlike(expected())) }
            }
            (None, Some(default)) => Ok(default as usize),
            (None, None) => Err(self.json.missing(name, "an integer")),
        }
    }

    /// An integer within `bounds`, or `default` where there is none.
    pub(super) fn size_or(
        &self,
        name: &str,
        bounds: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, InputError> {
        let known = self.json.find(name).is_some() || self.default(name).is_some();
        if known { self.size(name, bounds) } else { Ok(default) }
    }

    /// A number above 0 and at most `most`.
    pub(super) fn number(&self, name: &str, most: f64) -> Result<f64, InputError> {
        match (self.json.find(name), self.default(name)) {
            (Some(value), _) => positive(&value, most),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.json.missing(name, "a number")),
        }
    }

    /// Whether a flag is set; without it, it is not.
    pub(super) fn flag(&self, name: &str) -> Result<bool, InputError> {
        Ok(self.json.find_bool(name)?.unwrap_or(false))
    }
}

/// A number above 0 and at most `most`.
pub(super) fn positive(value: &Json<'_>, most: f64) -> Result<f64, InputError> {
    let number = value.as_f64()?;
    // As `f32` too: that is what is stored.
    if number as f32 > 0.0 && number <= most {
        Ok(number)
    } else {
        Err(value.unlike(format!("a number above 0 and at most {most}")))
    }
}
