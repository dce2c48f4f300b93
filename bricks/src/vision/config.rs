//! The hyperparameters of a vision encoder, read from `clip.vision.*` metadata and bounded before anything is sized by
//! them.

use super::fields::Fields;
use super::framing::Framing;
use super::preprocess::Preprocess;
use super::projector::ProjectorKind;
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
    /// Side of a square of the picture in pixels.
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
    /// What the patch embeddings are made for; patches that are projected together stand together.
    pub projector: ProjectorKind,
    /// How a picture becomes squares.
    pub framing: Framing,
    /// Subtracted from each channel of a picture in 0..=1.
    pub mean: [f32; 3],
    /// Divides each channel of a picture.
    pub std: [f32; 3],
}

impl VisionConfig {
    /// Reads and checks the hyperparameters. Errors name the file, the key, what was expected and what was found.
    ///
    /// Without `clip.vision.feature_layer` the output is that of the second-to-last layer, as LLaVA's projectors want it,
    /// or for the projector `idefics3` that of the last one. A last norm (`v.post_ln`) is applied wherever the file has
    /// one, as llama.cpp does: a converter leaves it out where the rows are taken before it.
    pub fn from_gguf(gguf: &Gguf) -> Result<VisionConfig, GgufError> {
        check_kind(gguf)?;
        let fields = Fields { gguf };
        let projector = ProjectorKind::read(&fields)?;
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
        check_blocks(&fields, image_size / patch_size, projector)?;
        let class_token = gguf.find_tensor("v.class_embd").is_some();
        Ok(VisionConfig {
            image_size,
            patch_size,
            width,
            feed_forward: fields.size("feed_forward_length", 1..=1 << 16)?,
            blocks,
            layers: feature_layer(&fields, blocks, projector)?,
            heads,
            head_dim: width / heads,
            norm_epsilon: fields.epsilon("attention.layer_norm_epsilon")?,
            activation: activation(gguf)?,
            class_token,
            projector,
            framing: Framing::read(&fields, image_size, class_token, projector)?,
            mean: fields.channels("image_mean", -10.0..=10.0)?,
            std: fields.channels("image_std", 1e-3..=10.0)?,
        })
    }

    /// Patches of a square's side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of a square, which are the rows of the output.
    pub fn patches(&self) -> usize {
        self.side().pow(2)
    }

    /// Positions that are computed: the patches, and the class token if there is one.
    pub fn tokens(&self) -> usize {
        self.patches() + usize::from(self.class_token)
    }

    /// How pictures are prepared.
    pub fn preprocess(&self) -> Preprocess {
        Preprocess { size: self.image_size, framing: self.framing.clone(), mean: self.mean, std: self.std }
    }

    /// Bytes that are computed in, beside the weights and the rows: for a square on its way through the layers, and for the
    /// largest picture that is cut into squares.
    pub fn work_bytes(&self) -> u64 {
        let (tokens, patch) = (self.tokens(), 3 * self.patch_size * self.patch_size);
        let widest = self.feed_forward.max(patch).max(self.width);
        // Five rows in single precision and two in half, the hidden layer, the patches, and the input of a product.
        let encoding = 4 * tokens * (6 * self.width + self.feed_forward + patch + widest);
        let square = 3 * self.image_size * self.image_size;
        let squares = self.framing.largest_grids(self.image_size).iter().map(|(columns, rows)| columns * rows).max();
        // Two canvases of bytes for the tiles, one for the whole, and a square in single precision.
        let pictures = square * (2 * squares.unwrap_or(0) + 1 + 4);
        (encoding + pictures) as u64
    }

    /// The patch, in the order of lines, that row `row` of the output is: blocks of patches that are projected together
    /// stand together.
    pub(super) fn patch_of_row(&self, row: usize) -> usize {
        let (side, block) = (self.side(), self.projector.block());
        let (blocks, within) = (row / (block * block), row % (block * block));
        let (block_y, block_x) = (blocks / (side / block), blocks % (side / block));
        (block_y * block + within / block) * side + block_x * block + within % block
    }
}

/// Refuses files that are something else, or whose vision encoder is.
fn check_kind(gguf: &Gguf) -> Result<(), GgufError> {
    let problem = |expected: &str, found: String| GgufProblem::Inconsistent { expected: expected.into(), found };
    let architecture = gguf.architecture()?;
    if architecture != "clip" {
        return Err(gguf.error("general.architecture", problem("clip", architecture.to_owned())));
    }
    let key = "clip.has_vision_encoder";
    if !gguf.get_bool_or(key, true)? {
        return Err(gguf.error(key, problem("true", "false".to_owned())));
    }
    Ok(())
}

fn activation(gguf: &Gguf) -> Result<Activation, GgufError> {
    let gelu = gguf.get_bool_or("clip.use_gelu", false)?;
    let silu = gguf.get_bool_or("clip.use_silu", false)?;
    match (gelu, silu) {
        (true, true) => {
            let problem =
                GgufProblem::Inconsistent { expected: "one activation".into(), found: "clip.use_gelu as well".into() };
            Err(gguf.error("clip.use_silu", problem))
        }
        (true, false) => Ok(Activation::Gelu),
        (false, true) => Ok(Activation::Silu),
        (false, false) => Ok(Activation::QuickGelu),
    }
}

/// Layers to compute: the one feature layer that the file names; without it, all but the last, as LLaVA's projectors
/// want it, or all for Idefics3's.
fn feature_layer(fields: &Fields<'_>, blocks: usize, projector: ProjectorKind) -> Result<usize, GgufError> {
    const NAME: &str = "feature_layer";
    let Some(layers) = fields.sizes(NAME)? else {
        return Ok(match projector {
            ProjectorKind::Idefics3 { .. } => blocks,
            ProjectorKind::Mlp(_) | ProjectorKind::Ldpv2 => blocks - 1,
        });
    };
    match layers.as_slice() {
        [layer] if *layer <= blocks => Ok(*layer),
        found => Err(fields.wrong(NAME, format!("one layer from 0 to {blocks}"), format!("{found:?}"))),
    }
}

/// Patches of a side must be whole blocks of those that are projected together.
fn check_blocks(fields: &Fields<'_>, side: usize, projector: ProjectorKind) -> Result<(), GgufError> {
    let (name, block) = match projector {
        ProjectorKind::Mlp(_) => return Ok(()),
        ProjectorKind::Idefics3 { scale } => ("projector.scale_factor", scale),
        ProjectorKind::Ldpv2 => ("patch_size", 2),
    };
    if side.is_multiple_of(block) {
        return Ok(());
    }
    let expected = format!("whole blocks of {block} by {block} patches");
    Err(fields.wrong(name, expected, format!("{side} patches a side")))
}
