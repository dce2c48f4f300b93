//! The vision half of a folder: encoder, projector and preprocessing, in the keys of llama.cpp's `mmproj` files.
//!
//! Where llama.cpp's current converter and its older scripts differ, the current one wins: `mm.0`/`mm.2`,
//! `mm.model.fc`, `ffn_up` for the first matrix of the feed-forward block, and `v.image_newline`, not
//! `model.image_newline`, for LLaVA-OneVision's row. What llama.cpp has no converter for, LLaVA-OneVision as Hugging
//! Face writes it, has the keys of the LLaVA 1.6 script: `clip.vision.mm_patch_merge_type`,
//! `clip.vision.image_aspect_ratio`, `clip.vision.image_grid_pinpoints` (flat pairs of height and width). LLaVA 1.5 has
//! `image_aspect_ratio` too, so that its pictures are prepared here as its own processor does; llama.cpp passes it over.

use super::error::InputError;
use super::json::{Folder, Json, JsonFile};
use super::section::{CLIP, Defaults, IDEFICS3, SIGLIP, Section, positive};
use crate::gguf::GgufWriter;

/// The most patches of a picture.
const MAX_PATCHES: usize = 1 << 14;
/// The most sizes that a picture may be cut to.
const MAX_PINPOINTS: usize = 1024;
/// The longest side of such a size.
const MAX_SIDE: i32 = 1 << 16;

/// Families of vision encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With a class token and a norm before the layers.
    Clip,
    Siglip,
    /// SigLIP as SmolVLM and Idefics3 have it.
    Idefics3,
}

/// How rows get from the encoder to the language model.
#[derive(Debug, Clone)]
pub(super) enum ProjectorShape {
    /// LLaVA's two projections.
    Mlp { bias: bool, framing: Framing },
    /// Idefics3's: `scale` by `scale` patches make one row.
    PixelShuffle { scale: usize },
}

/// How LLaVA's processors make squares of a picture.
#[derive(Debug, Clone)]
pub(super) enum Framing {
    /// One square, as the encoder's own processor makes it.
    Square,
    /// One square of the whole picture and a margin.
    Pad,
    /// LLaVA-OneVision's.
    Tiles(Tiling),
}

impl Framing {
    /// `clip.vision.image_aspect_ratio`.
    fn aspect_ratio(&self) -> &str {
        match self {
            Framing::Square => "square",
            Framing::Pad => "pad",
            Framing::Tiles(tiling) => &tiling.aspect_ratio,
        }
    }
}

/// LLaVA-OneVision's way to cut a large picture into tiles.
#[derive(Debug, Clone)]
pub(super) struct Tiling {
    aspect_ratio: String,
    /// Heights and widths, in turn; llama.cpp reads them as `i32` only.
    pinpoints: Vec<i32>,
}

/// Hyperparameters of a vision encoder and its projector.
#[derive(Debug, Clone)]
pub(super) struct VisionShape {
    kind: Kind,
    pub(super) image_size: usize,
    pub(super) patch_size: usize,
    pub(super) width: usize,
    pub(super) feed_forward: usize,
    /// Layers up to the one whose output is taken; those after it are not written.
    pub(super) layers: usize,
    /// Width of the language model.
    pub(super) projected: usize,
    pub(super) projector: ProjectorShape,
    heads: usize,
    norm_epsilon: f64,
    activation: Activation,
    mean: Vec<f32>,
    std: Vec<f32>,
    /// The longest edge that a picture is scaled to before it is cut, of SmolVLM's preprocessing.
    longest_edge: Option<u32>,
}

/// What stands between the two matrices of the feed-forward block, as the file can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    QuickGelu,
    Gelu,
    Silu,
}

impl VisionShape {
    /// Reads LLaVA's: `outer` is all of config.json, `projected` the width of the language model.
    pub(super) fn llava(outer: &Json<'_>, folder: &Folder, projected: usize) -> Result<VisionShape, InputError> {
        let shape = VisionShape::read(outer, folder, projected)?;
        let layers = feature_layer(outer, shape.layers)?;
        if let Some(activation) = outer.find("projector_hidden_act")
            && activation.as_str()? != "gelu"
        {
            return Err(activation.unlike("gelu"));
        }
        if let Some(strategy) = outer.find("vision_feature_select_strategy") {
            let expected = if shape.is_clip() { "default" } else { "full" };
            if strategy.as_str()? != expected {
                return Err(strategy.unlike(format!("{expected}: every patch gives a row, and nothing else does")));
            }
        }
        let bias = outer.find_bool("multimodal_projector_bias")?.unwrap_or(true);
        let preprocessing = preprocessing(folder)?;
        let pad = image_processor(&preprocessing.root()).find_bool("do_pad")?.unwrap_or(false);
        let framing = if pad { Framing::Pad } else { Framing::Square };
        Ok(VisionShape { layers, projector: ProjectorShape::Mlp { bias, framing }, ..shape })
    }

    /// Reads LLaVA-OneVision's.
    pub(super) fn llava_onevision(
        outer: &Json<'_>,
        folder: &Folder,
        projected: usize,
    ) -> Result<VisionShape, InputError> {
        let shape = VisionShape::llava(outer, folder, projected)?;
        let ProjectorShape::Mlp { bias, .. } = shape.projector else { return Ok(shape) };
        let framing = Framing::Tiles(Tiling::read(outer)?);
        Ok(VisionShape { projector: ProjectorShape::Mlp { bias, framing }, ..shape })
    }

    /// Reads SmolVLM's or Idefics3's.
    pub(super) fn idefics3(outer: &Json<'_>, folder: &Folder, projected: usize) -> Result<VisionShape, InputError> {
        let shape = VisionShape::read(outer, folder, projected)?;
        let scale = Section::new(outer.clone(), &[("scale_factor", 2.0)]).size("scale_factor", 1..=16)?;
        let side = shape.image_size / shape.patch_size;
        if !side.is_multiple_of(scale) {
            let section = outer.find("scale_factor").unwrap_or_else(|| outer.clone());
            return Err(section.unlike_found(format!("a divisor of the {side} patches a side"), scale.to_string()));
        }
        let preprocessing = preprocessing(folder)?;
        let edge = image_processor(&preprocessing.root()).find("size").and_then(|size| size.find("longest_edge"));
        let longest_edge = match edge {
            Some(edge) => edge.as_u32()?,
            None => shape.image_size as u32,
        };
        let projector = ProjectorShape::PixelShuffle { scale };
        Ok(VisionShape { projector, longest_edge: Some(longest_edge), ..shape })
    }

    fn read(outer: &Json<'_>, folder: &Folder, projected: usize) -> Result<VisionShape, InputError> {
        let config = outer.get("vision_config", "the configuration of the vision encoder")?;
        let (kind, defaults) = family(&config)?;
        let section = Section::new(config.clone(), defaults);
        let image_size = section.size("image_size", 1..=4096)?;
        let patch_size = section.size("patch_size", 1..=image_size.min(256))?;
        if (image_size / patch_size).pow(2) > MAX_PATCHES {
            return Err(config.unlike_found(
                format!("sizes that make at most {MAX_PATCHES} patches"),
                format!("an image_size of {image_size} and a patch_size of {patch_size}"),
            ));
        }
        let channels = section.size("num_channels", 1..=1 << 10)?;
        if channels != 3 {
            return Err(config.unlike_found("num_channels of 3", channels.to_string()));
        }
        let width = section.size("hidden_size", 2..=1 << 14)?;
        let heads = section.size("num_attention_heads", 1..=256)?;
        if !width.is_multiple_of(heads) || width / heads > 256 {
            let expected = format!("heads that divide the hidden_size of {width} into at most 256 each");
            return Err(config.unlike_found(expected, format!("{heads} heads")));
        }
        let preprocessing = preprocessing(folder)?;
        Ok(VisionShape {
            kind,
            image_size,
            patch_size,
            width,
            feed_forward: section.size("intermediate_size", 1..=1 << 16)?,
            layers: section.size("num_hidden_layers", 1..=256)?,
            projected,
            projector: ProjectorShape::Mlp { bias: true, framing: Framing::Square },
            heads,
            norm_epsilon: section.number("layer_norm_eps", 1.0)?,
            activation: Activation::read(&config, kind)?,
            mean: channel_values(&preprocessing.root(), "image_mean")?,
            std: channel_values(&preprocessing.root(), "image_std")?,
            longest_edge: None,
        })
    }

    pub(super) fn is_clip(&self) -> bool {
        self.kind == Kind::Clip
    }

    /// Whether the last norm stands before the projector. LLaVA takes the rows of a layer as they are.
    pub(super) fn takes_post_norm(&self) -> bool {
        matches!(self.projector, ProjectorShape::PixelShuffle { .. })
    }

    /// Rows of the position embedding.
    pub(super) fn positions(&self) -> usize {
        (self.image_size / self.patch_size).pow(2) + usize::from(self.is_clip())
    }

    /// `clip.projector_type`.
    pub(super) fn projector_type(&self) -> &'static str {
        match self.projector {
            ProjectorShape::Mlp { .. } => "mlp",
            ProjectorShape::PixelShuffle { .. } => "idefics3",
        }
    }

    /// The `clip.*` keys.
    pub(super) fn describe(&self, writer: GgufWriter) -> GgufWriter {
        let size = |size: usize| size as u32;
        let mut writer = writer
            .metadata("clip.has_vision_encoder", true)
            .metadata("clip.projector_type", self.projector_type())
            .metadata("clip.vision.projection_dim", size(self.projected))
            .metadata("clip.vision.image_size", size(self.image_size))
            .metadata("clip.vision.patch_size", size(self.patch_size))
            .metadata("clip.vision.embedding_length", size(self.width))
            .metadata("clip.vision.feed_forward_length", size(self.feed_forward))
            .metadata("clip.vision.block_count", size(self.layers))
            .metadata("clip.vision.attention.head_count", size(self.heads))
            .metadata("clip.vision.attention.layer_norm_epsilon", self.norm_epsilon as f32)
            .metadata("clip.vision.image_mean", self.mean.clone())
            .metadata("clip.vision.image_std", self.std.clone())
            .metadata("clip.use_gelu", self.activation == Activation::Gelu);
        if self.activation == Activation::Silu {
            writer = writer.metadata("clip.use_silu", true);
        }
        match &self.projector {
            ProjectorShape::Mlp { framing, .. } => {
                writer = writer
                    // The file ends with the layer whose output is taken.
                    .metadata("clip.vision.feature_layer", vec![self.layers as i32])
                    .metadata("clip.vision.image_aspect_ratio", framing.aspect_ratio());
                if let Framing::Tiles(tiling) = framing {
                    writer = writer
                        .metadata("clip.vision.mm_patch_merge_type", "spatial_unpad")
                        .metadata("clip.vision.image_grid_pinpoints", tiling.pinpoints.clone());
                }
            }
            ProjectorShape::PixelShuffle { scale } => {
                writer = writer.metadata("clip.vision.projector.scale_factor", size(*scale));
                if let Some(edge) = self.longest_edge {
                    writer = writer.metadata("clip.vision.preproc_image_size", edge);
                }
            }
        }
        writer
    }
}

impl Activation {
    /// `gelu` is computed by the hyperbolic tangent too, as llama.cpp does: no file can tell the two apart.
    fn read(config: &Json<'_>, kind: Kind) -> Result<Activation, InputError> {
        let Some(activation) = config.find("hidden_act") else {
            return Ok(if kind == Kind::Clip { Activation::QuickGelu } else { Activation::Gelu });
        };
        match activation.as_str()? {
            "quick_gelu" => Ok(Activation::QuickGelu),
            "gelu" | "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::Gelu),
            "silu" => Ok(Activation::Silu),
            _ => Err(activation.unlike("one of quick_gelu, gelu, gelu_new, gelu_pytorch_tanh, silu")),
        }
    }
}

impl Tiling {
    fn read(outer: &Json<'_>) -> Result<Tiling, InputError> {
        let aspect_ratio = outer.find_str("vision_aspect_ratio")?.unwrap_or("anyres_max_9").to_owned();
        let field = outer.get("image_grid_pinpoints", "the sizes that a picture may be cut to")?;
        let points = field.items()?;
        if points.is_empty() || points.len() > MAX_PINPOINTS {
            let found = points.len().to_string();
            return Err(field.unlike_found(format!("1 to {MAX_PINPOINTS} sizes"), found));
        }
        let mut pinpoints = Vec::with_capacity(2 * points.len());
        for point in points {
            let pair = point.items()?;
            if pair.len() != 2 {
                return Err(point.unlike("a height and a width"));
            }
            for side in pair {
                match i32::try_from(side.as_u32()?) {
                    Ok(pixels) if (1..=MAX_SIDE).contains(&pixels) => pinpoints.push(pixels),
                    _ => return Err(side.unlike(format!("pixels, from 1 to {MAX_SIDE}"))),
                }
            }
        }
        Ok(Tiling { aspect_ratio, pinpoints })
    }
}

/// The kind of encoder that `model_type` names, and the defaults of its configuration.
fn family(config: &Json<'_>) -> Result<(Kind, Defaults), InputError> {
    let Some(model_type) = config.find("model_type") else {
        // Only SmolVLM's and Idefics3's may go without, as there is one kind of encoder for them.
        return Ok((Kind::Idefics3, IDEFICS3));
    };
    match model_type.as_str()? {
        "clip_vision_model" => Ok((Kind::Clip, CLIP)),
        "siglip_vision_model" => Ok((Kind::Siglip, SIGLIP)),
        "idefics3" | "idefics3_vision" | "smolvlm" | "smolvlm_vision" => Ok((Kind::Idefics3, IDEFICS3)),
        _ => Err(model_type.unlike(
            "a vision encoder of the supported types clip_vision_model, siglip_vision_model, idefics3_vision, \
             smolvlm_vision",
        )),
    }
}

/// The layer whose output LLaVA takes, counted from 1; negative numbers count from the end.
fn feature_layer(outer: &Json<'_>, layers: usize) -> Result<usize, InputError> {
    let Some(field) = outer.find("vision_feature_layer") else { return Ok(layers - 1) };
    let one = match field.value().as_array().map(Vec::as_slice) {
        Some([one]) => one.as_i64(),
        Some(_) => None,
        None => field.value().as_i64(),
    };
    let from_start = one.map(|layer| if layer < 0 { layers as i64 + 1 + layer } else { layer });
    match from_start.and_then(|layer| usize::try_from(layer).ok()) {
        Some(layer) if (1..=layers).contains(&layer) => Ok(layer),
        _ => Err(field.unlike(format!("one layer, from 1 to {layers} or from -{layers} to -1"))),
    }
}

/// preprocessor_config.json, or what newer folders have in its place.
fn preprocessing(folder: &Folder) -> Result<JsonFile, InputError> {
    let what = "how pictures are prepared";
    match folder.json("preprocessor_config.json")? {
        Some(file) => Ok(file),
        None if folder.file("processor_config.json").exists() => folder.required_json("processor_config.json", what),
        None => folder.required_json("preprocessor_config.json", what),
    }
}

/// The part about pictures: processor_config.json has it one level down.
fn image_processor<'a>(root: &Json<'a>) -> Json<'a> {
    root.find("image_processor").unwrap_or_else(|| root.clone())
}

/// Three numbers, one for each channel.
fn channel_values(root: &Json<'_>, name: &str) -> Result<Vec<f32>, InputError> {
    let root = image_processor(root);
    if let Some(factor) = root.find("rescale_factor")
        && (positive(&factor, 1.0)? * 255.0 - 1.0).abs() > 1e-3
    {
        return Err(factor.unlike("1/255"));
    }
    let field = root.get(name, "three numbers")?;
    let numbers = field.items()?;
    if numbers.len() != 3 {
        return Err(field.unlike("three numbers"));
    }
    let bounds = if name == "image_std" { 1e-3..=10.0 } else { -10.0..=10.0 };
    let number = |json: &Json<'_>| match json.as_f64()? {
        number if bounds.contains(&number) => Ok(number as f32),
        _ => Err(json.unlike(format!("a number from {} to {}", bounds.start(), bounds.end()))),
    };
    numbers.iter().map(number).collect()
}
