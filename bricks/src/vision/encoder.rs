//! A vision encoder's weights, packed once for the kernels of one instruction set, and what its work costs.

use std::sync::Arc;

use nanomind_hal::Lane;
use nanomind_kernels::backend::Linear;
use nanomind_kernels::{self as kernels, Activations, Cpu, Isa};

use super::config::VisionConfig;
use super::projector::NEWLINES;
use crate::gguf::{Gguf, GgufError};
use crate::loader::{Bias, LoadProgress, Loader, ModelError};
use crate::shape::{EncoderShape, MatrixShape};

/// A layer norm.
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    fn load(loader: &mut Loader<'_>, config: &VisionConfig, name: &str) -> Result<Norm, ModelError> {
        Ok(Norm {
            weight: loader.vector(&format!("{name}.weight"), config.width)?,
            bias: loader.vector(&format!("{name}.bias"), config.width)?,
            epsilon: config.norm_epsilon,
        })
    }

    fn find(loader: &mut Loader<'_>, config: &VisionConfig, name: &str) -> Result<Option<Norm>, ModelError> {
        match loader.has(&format!("{name}.weight")) {
            true => Norm::load(loader, config, name).map(Some),
            false => Ok(None),
        }
    }

    /// Loads the norm of the rows `x` for `linears`.
    pub(super) fn load_for<const N: usize>(
        &self,
        lane: &Lane,
        x: &[f32],
        linears: [&Linear; N],
        activations: &mut Activations,
    ) {
        let matrices = linears.map(|linear| &linear.matrix);
        activations.load_layer_norm(lane, x, &self.weight, &self.bias, self.epsilon, &matrices);
    }

    /// The norm of the rows `x`, written to `out`.
    pub(super) fn apply(&self, isa: Isa, x: &[f32], out: &mut [f32]) {
        kernels::layer_norm(isa, x, &self.weight, &self.bias, self.epsilon, out);
    }
}

/// Weights of one layer.
pub(super) struct Layer {
    pub(super) attention_norm: Norm,
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) feed_forward_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

impl Layer {
    fn load(loader: &mut Loader<'_>, config: &VisionConfig, index: usize) -> Result<Layer, ModelError> {
        let VisionConfig { width, feed_forward, .. } = *config;
        let name = |part: &str| format!("v.blk.{index}.{part}");
        let mut square = |part: &str| loader.linear(&name(part), width, width, Bias::Optional);
        let (query, key, value, output) =
            (square("attn_q")?, square("attn_k")?, square("attn_v")?, square("attn_out")?);
        let (up, down) = feed_forward_names(loader.gguf(), config, &name("ffn_up"), &name("ffn_down"));
        Ok(Layer {
            attention_norm: Norm::load(loader, config, &name("ln1"))?,
            query,
            key,
            value,
            output,
            feed_forward_norm: Norm::load(loader, config, &name("ln2"))?,
            up: loader.linear(&up, feed_forward, width, Bias::Optional)?,
            down: loader.linear(&down, width, feed_forward, Bias::Optional)?,
        })
    }

    fn linears(&self) -> [&Linear; 6] {
        [&self.query, &self.key, &self.value, &self.output, &self.up, &self.down]
    }
}

/// The names of the two projections of a feed-forward block. Early converters of llama.cpp exchanged them: then what is
/// called the second one takes rows of the model's width.
fn feed_forward_names(gguf: &Gguf, config: &VisionConfig, up: &str, down: &str) -> (String, String) {
    let second = gguf.find_tensor(&format!("{down}.weight"));
    let exchanged = second.is_some_and(|tensor| tensor.cols() == config.width && config.width != config.feed_forward);
    let (up, down) = if exchanged { (down, up) } else { (up, down) };
    (up.to_owned(), down.to_owned())
}

/// A vision transformer of CLIP's or SigLIP's kind: immutable weights, shared by all encodings and lanes.
pub struct VisionEncoder {
    config: VisionConfig,
    isa: Isa,
    file: String,
    shape: EncoderShape,
    pub(super) patch: Linear,
    pub(super) class: Option<Vec<f32>>,
    /// Embeddings of the positions, `[tokens, width]`; the class token's is the first.
    pub(super) positions: Vec<f32>,
    pub(super) pre_norm: Option<Norm>,
    pub(super) layers: Vec<Layer>,
    pub(super) post_norm: Option<Norm>,
}

impl VisionEncoder {
    /// Loads and packs the encoder of an `mmproj` file on `lane`. A tensor of its own that is missing, of another shape
    /// or unknown is an error; layers after the one whose output is taken are left in the file.
    pub fn load(
        gguf: &Arc<Gguf>,
        isa: Isa,
        lane: &Lane,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<VisionEncoder, ModelError> {
        let config = VisionConfig::from_gguf(gguf)?;
        let cpu = Cpu::new(isa);
        let mut loader = Loader::new(gguf, &cpu, lane, is_ours, progress);
        let VisionConfig { width, patch_size, .. } = config;
        let patch = loader.convolution("v.patch_embd", width, 3, patch_size)?;
        let class = match config.class_token {
            true => Some(loader.vector("v.class_embd", width)?),
            false => None,
        };
        let positions = loader.numbers("v.position_embd.weight", config.tokens(), width)?;
        let pre_norm = Norm::find(&mut loader, &config, "v.pre_ln")?;
        let layers =
            (0..config.layers).map(|index| Layer::load(&mut loader, &config, index)).collect::<Result<Vec<_>, _>>()?;
        let post_norm = Norm::find(&mut loader, &config, "v.post_ln")?;
        for index in config.layers..config.blocks {
            loader.pass_over(&format!("v.blk.{index}."));
        }
        loader.refuse_unknown()?;
        let file = gguf.file().to_owned();
        let of = |linear: &Linear| MatrixShape::of(&linear.matrix);
        let linears = layers.iter().map(|layer| layer.linears().map(of));
        let shape = EncoderShape::new(&config, of(&patch), linears, stored_bytes(gguf, &config));
        Ok(VisionEncoder { config, isa, file, shape, patch, class, positions, pre_norm, layers, post_norm })
    }

    /// The hyperparameters.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// The instruction set that the weights are packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The file that the encoder came from, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What its work costs.
    pub fn shape(&self) -> &EncoderShape {
        &self.shape
    }

    /// Bytes of the packed matrices.
    pub fn packed_bytes(&self) -> usize {
        self.shape.packed_bytes() as usize
    }

    /// The shape of the encoder in an mmproj file, from the header.
    pub(crate) fn shape_of(gguf: &Gguf, config: &VisionConfig) -> Result<EncoderShape, GgufError> {
        let matrix = |name: &str| {
            let name = format!("{name}.weight");
            MatrixShape::of_tensor(gguf, &name, gguf.tensor(&name)?.rows())
        };
        let layer = |index: usize| -> Result<[MatrixShape; 6], GgufError> {
            let name = |part: &str| format!("v.blk.{index}.{part}");
            let (up, down) = feed_forward_names(gguf, config, &name("ffn_up"), &name("ffn_down"));
            let [query, key, value, output] =
                ["attn_q", "attn_k", "attn_v", "attn_out"].map(|part| matrix(&name(part)));
            Ok([query?, key?, value?, output?, matrix(&up)?, matrix(&down)?])
        };
        let layers = (0..config.layers).map(layer).collect::<Result<Vec<_>, _>>()?;
        let patch = MatrixShape::of_tensor(gguf, "v.patch_embd.weight", config.width)?;
        Ok(EncoderShape::new(config, patch, layers.into_iter(), stored_bytes(gguf, config)))
    }
}

/// Whether the tensor of this name is the encoder's.
fn is_ours(name: &str) -> bool {
    name.starts_with("v.") && !NEWLINES.contains(&name)
}

/// Bytes of the encoder's tensors, but those of layers that are left in the file.
fn stored_bytes(gguf: &Gguf, config: &VisionConfig) -> u64 {
    let left: Vec<String> = (config.layers..config.blocks).map(|index| format!("v.blk.{index}.")).collect();
    let is_left = |name: &str| left.iter().any(|prefix| name.starts_with(prefix));
    let tensors = gguf.tensors().filter(|info| is_ours(info.name()) && !is_left(info.name()));
    tensors.map(|info| info.byte_len() as u64).sum()
}
