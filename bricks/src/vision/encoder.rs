//! A vision encoder's weights, packed once for the kernels of one instruction set, and what its work costs.

use std::sync::Arc;

use nanomind_hal::{JobCost, Lane};
use nanomind_kernels::{self as kernels, Isa};

use super::config::VisionConfig;
use super::projector::NEWLINES;
use crate::gguf::Gguf;
use crate::loader::{Bias, Linear, LoadProgress, Loader, ModelError};

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

    /// Values of a row.
    pub(super) fn width(&self) -> usize {
        self.weight.len()
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
        let (up, down) = feed_forward_names(loader, config, &name("ffn_up"), &name("ffn_down"));
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
fn feed_forward_names(loader: &Loader<'_>, config: &VisionConfig, up: &str, down: &str) -> (String, String) {
    let second = loader.gguf().find_tensor(&format!("{down}.weight"));
    let exchanged = second.is_some_and(|tensor| tensor.cols() == config.width && config.width != config.feed_forward);
    let (up, down) = if exchanged { (down, up) } else { (up, down) };
    (up.to_owned(), down.to_owned())
}

/// A vision transformer of CLIP's or SigLIP's kind: immutable weights, shared by all encodings and lanes.
pub struct VisionEncoder {
    config: VisionConfig,
    isa: Isa,
    file: String,
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
        let ours = |name: &str| name.starts_with("v.") && !NEWLINES.contains(&name);
        let mut loader = Loader::new(gguf, isa, lane, ours, progress);
        let VisionConfig { width, patch_size, .. } = config;
        let patch = loader.convolution("v.patch_embd", width, 3, patch_size)?;
        let class = match config.class_token {
            true => Some(loader.vector("v.class_embd", width)?),
            false => None,
        };
        let positions = loader.numbers("v.position_embd.weight", config.tokens(), width)?;
        let pre_norm = Norm::find(&mut loader, &config, "v.pre_ln")?;
        let layers =
            (0..config.layers).map(|index| Layer::load(&mut loader, &config, index)).collect::<Result<_, _>>()?;
        let post_norm = Norm::find(&mut loader, &config, "v.post_ln")?;
        for index in config.layers..config.blocks {
            loader.pass_over(&format!("v.blk.{index}."));
        }
        loader.refuse_unknown()?;
        let file = gguf.file().to_owned();
        Ok(VisionEncoder { config, isa, file, patch, class, positions, pre_norm, layers, post_norm })
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

    /// Bytes of the packed matrices.
    pub fn packed_bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(Layer::linears);
        layers.chain([&self.patch]).map(|linear| linear.matrix.packed_bytes()).sum()
    }

    /// What it costs to embed the patches of a picture.
    pub(super) fn embed_cost(&self) -> JobCost {
        product_cost(&self.patch, self.config.patches())
    }

    /// What the layers `from..to` cost for one picture.
    pub(super) fn layers_cost(&self, from: usize, to: usize) -> JobCost {
        let tokens = self.config.tokens();
        let linears = self.layers[from..to].iter().flat_map(Layer::linears);
        let products = linears.map(|linear| product_cost(linear, tokens)).fold(NOTHING, sum);
        // Each position is multiplied with each other: for scores and for values.
        let attention = 4 * (to - from) as u64 * (tokens * tokens) as u64 * self.config.width as u64;
        JobCost { flops: products.flops + attention, ..products }
    }
}

/// The cost of no work.
pub(super) const NOTHING: JobCost = JobCost { flops: 0, bytes: 0 };

/// The cost of both.
pub(super) fn sum(a: JobCost, b: JobCost) -> JobCost {
    JobCost { flops: a.flops + b.flops, bytes: a.bytes + b.bytes }
}

/// The cost of a product with `rows` rows of input.
pub(super) fn product_cost(linear: &Linear, rows: usize) -> JobCost {
    let matrix = &linear.matrix;
    JobCost {
        flops: 2 * rows as u64 * matrix.rows() as u64 * matrix.cols() as u64,
        bytes: matrix.packed_bytes() as u64,
    }
}
