//! The hyperparameters of a vision encoder, read from `clip.vision.*` metadata and bounded before anything is sized by
//! them.

use std::fmt;
use std::ops::RangeInclusive;

use super::preprocess::{Framing, Preprocess};
use crate::gguf::{Gguf, GgufError, GgufProblem};

/// The widest head that the kernels take.
const MAX_HEAD_DIM: usize = 256;
/// The most patches of a picture.
const MAX_PATCHES: usize = 1 << 14;

/// What stands between the two matrices of the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by the hyperbolic tangent: `clip.use_gelu`.
    Gelu,
    /// `x · sigmoid(x)`: `clip.use_silu`.
    Silu,
    /// `x · sigmoid(1.702 x)`, of OpenAI's CLIP: the default.
    QuickGelu,
}

/// Hyperparameters of a vision encoder, all within bounds and consistent with each other.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Side of the picture in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Elements of a patch embedding.
    pub width: usize,
    /// Elements of the hidden layer of the feed-forward block.
    pub feed_forward: usize,
    /// Layers that the file speaks of.
    pub blocks: usize,
    /// Layers that are computed: the output is taken after them.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Added under the root of a layer norm.
    pub norm_epsilon: f32,
    /// Activation of the feed-forward block.
    pub activation: Activation,
    /// Whether a class token precedes the patches; it is not part of the output.
    pub class_token: bool,
    /// Subtracted from each channel of a picture in 0..=1.
    pub mean: [f32; 3],
    /// Divides each channel of a picture.
    pub std: [f32; 3],
}

impl VisionConfig {
    /// Reads and checks the hyperparameters. Errors name the file, the key, what was expected and what was found.
    ///
    /// Without `clip.vision.feature_layer` the output is that of the second-to-last layer, as LLaVA's projector
    /// wants it.
    pub fn from_gguf(gguf: &Gguf) -> Result<VisionConfig, GgufError> {
        let fields = Fields { gguf };
        fields.check_kind()?;
        let image_size = fields.size("image_size", 1..=4096)?;
        let patch_size = fields.size("patch_size", 1..=image_size.min(256))?;
        let width = fields.size("embedding_length", 2..=1 << 14)?;
        let blocks = fields.size("block_count", 1..=256)?;
        let heads = fields.size("attention.head_count", 1..=256)?;
        if !width.is_multiple_of(heads) || width / heads > MAX_HEAD_DIM {
            let expected = format!("a divisor of the embedding_length of {width} that leaves at most {MAX_HEAD_DIM}");
            return Err(fields.wrong("attention.head_count", expected, heads));
        }
        let patches = (image_size / patch_size).pow(2);
        if patches > MAX_PATCHES {
            let expected = format!("a size that makes at most {MAX_PATCHES} patches");
            return Err(fields.wrong("patch_size", expected, format!("{patches} of them")));
        }
        Ok(VisionConfig {
            image_size,
            patch_size,
            width,
            feed_forward: fields.size("feed_forward_length", 1..=1 << 16)?,
            blocks,
            layers: fields.feature_layer(blocks)?,
            heads,
            head_dim: width / heads,
            norm_epsilon: fields.epsilon()?,
            activation: fields.activation()?,
            class_token: gguf.find_tensor("v.class_embd").is_some(),
            mean: fields.channels("image_mean", -10.0..=10.0)?,
            std: fields.channels("image_std", 1e-3..=10.0)?,
        })
    }

    /// Patches of a picture, which are the rows of the output.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Positions that are computed: the patches, and the class token if there is one.
    pub fn tokens(&self) -> usize {
        self.patches() + usize::from(self.class_token)
    }

    /// How pictures are prepared: encoders with a class token (CLIP) crop, those without (SigLIP) stretch.
    pub fn preprocess(&self) -> Preprocess {
        let framing = if self.class_token { Framing::CentreCrop } else { Framing::Stretch };
        Preprocess { size: self.image_size, framing, mean: self.mean, std: self.std }
    }
}

/// Reads keys under `clip.vision`.
struct Fields<'a> {
    gguf: &'a Gguf,
}

impl Fields<'_> {
    fn key(name: &str) -> String {
        format!("clip.vision.{name}")
    }

    fn wrong(&self, name: &str, expected: String, found: impl fmt::Display) -> GgufError {
        self.gguf.error(&Self::key(name), GgufProblem::Inconsistent { expected, found: found.to_string() })
    }

    /// Refuses files that are something else, or whose vision encoder is.
    fn check_kind(&self) -> Result<(), GgufError> {
        let problem = |expected: &str, found: String| GgufProblem::Inconsistent { expected: expected.into(), found };
        let architecture = self.gguf.architecture()?;
        if architecture != "clip" {
            return Err(self.gguf.error("general.architecture", problem("clip", architecture.to_owned())));
        }
        let key = "clip.has_vision_encoder";
        if !self.gguf.get_bool_or(key, true)? {
            return Err(self.gguf.error(key, problem("true", "false".to_owned())));
        }
        Ok(())
    }

    fn size(&self, name: &str, bounds: RangeInclusive<usize>) -> Result<usize, GgufError> {
        let found = self.gguf.get_u32(&Self::key(name))? as usize;
        if bounds.contains(&found) {
            return Ok(found);
        }
        Err(self.wrong(name, format!("an integer from {} to {}", bounds.start(), bounds.end()), found))
    }

    fn epsilon(&self) -> Result<f32, GgufError> {
        const NAME: &str = "attention.layer_norm_epsilon";
        let found = self.gguf.get_f32(&Self::key(NAME))?;
        if found > 0.0 && found <= 1.0 {
            return Ok(found);
        }
        Err(self.wrong(NAME, "a number above 0 and at most 1".into(), found))
    }

    fn activation(&self) -> Result<Activation, GgufError> {
        let gelu = self.gguf.get_bool_or("clip.use_gelu", false)?;
        let silu = self.gguf.get_bool_or("clip.use_silu", false)?;
        match (gelu, silu) {
            (true, true) => {
                let problem = GgufProblem::Inconsistent {
                    expected: "one activation".into(),
                    found: "clip.use_gelu as well".into(),
                };
                Err(self.gguf.error("clip.use_silu", problem))
            }
            (true, false) => Ok(Activation::Gelu),
            (false, true) => Ok(Activation::Silu),
            (false, false) => Ok(Activation::QuickGelu),
        }
    }

    /// Layers to compute: the one feature layer that the file names, or all but the last.
    fn feature_layer(&self, blocks: usize) -> Result<usize, GgufError> {
        const NAME: &str = "feature_layer";
        let Some(array) = self.gguf.find_array(&Self::key(NAME))? else {
            return Ok(blocks - 1);
        };
        let layers = array.to_u32s().map_err(|problem| self.gguf.error(&Self::key(NAME), problem))?;
        match layers.as_slice() {
            [layer] if *layer as usize <= blocks => Ok(*layer as usize),
            found => Err(self.wrong(NAME, format!("one layer from 0 to {blocks}"), format!("{found:?}"))),
        }
    }

    fn channels(&self, name: &str, bounds: RangeInclusive<f32>) -> Result<[f32; 3], GgufError> {
        let array = self.gguf.get_array(&Self::key(name))?;
        let values = array.to_f32s().map_err(|problem| self.gguf.error(&Self::key(name), problem))?;
        match <[f32; 3]>::try_from(values) {
            Ok(values) if values.iter().all(|value| bounds.contains(value)) => Ok(values),
            _ => {
                let expected = format!("three numbers from {:?} to {:?}", bounds.start(), bounds.end());
                Err(self.wrong(name, expected, format!("{array:?}")))
            }
        }
    }
}
