//! The shapes of a vision encoder and of its projector: what loading them, preparing a picture, encoding its squares and
//! projecting their rows cost.

use nanomind_hal::JobCost;

use super::layers::LayersShape;
use super::matrix::{MatrixShape, NOTHING, sum};
use crate::gguf::{Gguf, GgufError};
use crate::vision::{Projector, ProjectorConfig, VisionConfig, VisionEncoder};

/// Bytes of a number of an embedding row.
const VALUE_BYTES: u64 = size_of::<f32>() as u64;

/// The shape of a vision encoder by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderShape {
    patches: usize,
    patch: MatrixShape,
    layers: LayersShape,
    /// Bytes that loading reads from storage: of all tensors that are the encoder's and are computed with.
    stored_bytes: u64,
}

impl EncoderShape {
    pub(crate) fn new(
        config: &VisionConfig,
        patch: MatrixShape,
        layers: impl Iterator<Item = [MatrixShape; 6]>,
        stored_bytes: u64,
    ) -> EncoderShape {
        let layers = LayersShape { tokens: config.tokens(), width: config.width, layers: layers.collect() };
        EncoderShape { patches: config.patches(), patch, layers, stored_bytes }
    }

    /// How many layers are computed.
    pub fn layer_count(&self) -> usize {
        self.layers.layers.len()
    }

    /// Weights of all matrices.
    pub fn weights(&self) -> u64 {
        self.patch.weights() + self.layers.linears().map(MatrixShape::weights).sum::<u64>()
    }

    /// Bytes that the packed weights take in memory.
    pub fn packed_bytes(&self) -> u64 {
        self.patch.packed_bytes() + self.layers.linears().map(MatrixShape::packed_bytes).sum::<u64>()
    }

    /// Loading the weights from storage.
    pub fn load(&self) -> JobCost {
        JobCost { flops: 0, bytes: self.stored_bytes }
    }

    /// Embedding the patches of a square.
    pub fn embed(&self) -> JobCost {
        self.patch.product(self.patches)
    }

    /// The layers `from..to` for a square.
    ///
    /// # Panics
    /// There are no such layers.
    pub fn layers(&self, from: usize, to: usize) -> JobCost {
        self.layers.cost(from, to)
    }

    /// Writing the patch embeddings of a square where the projector reads them: the last addition or norm of each value.
    pub fn publish(&self) -> JobCost {
        let values = self.patches as u64 * self.layers.width as u64;
        // Two numbers are read and one is written.
        JobCost { flops: values, bytes: 3 * values * VALUE_BYTES }
    }
}

/// The shape of a projector by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectorShape {
    linears: Vec<MatrixShape>,
    /// Bytes that loading reads from storage.
    stored_bytes: u64,
}

impl ProjectorShape {
    pub(crate) fn new(linears: impl Iterator<Item = MatrixShape>, stored_bytes: u64) -> ProjectorShape {
        ProjectorShape { linears: linears.collect(), stored_bytes }
    }

    /// Weights of all matrices.
    pub fn weights(&self) -> u64 {
        self.linears.iter().map(MatrixShape::weights).sum()
    }

    /// Bytes that the packed weights take in memory.
    pub fn packed_bytes(&self) -> u64 {
        self.linears.iter().map(MatrixShape::packed_bytes).sum()
    }

    /// Loading the weights from storage.
    pub fn load(&self) -> JobCost {
        JobCost { flops: 0, bytes: self.stored_bytes }
    }

    /// Projecting `blocks` blocks of patches.
    pub fn project(&self, blocks: usize) -> JobCost {
        self.linears.iter().map(|linear| linear.product(blocks)).fold(NOTHING, sum)
    }
}

/// The shape of a vision encoder, perhaps with its projector, and how it takes pictures in.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionShape {
    config: VisionConfig,
    encoder: EncoderShape,
    projector: Option<(ProjectorConfig, ProjectorShape)>,
}

impl VisionShape {
    pub(crate) fn new(
        config: VisionConfig,
        encoder: EncoderShape,
        projector: Option<(ProjectorConfig, ProjectorShape)>,
    ) -> VisionShape {
        VisionShape { config, encoder, projector }
    }

    /// The shape of the encoder in an mmproj file, and of its projector if there is one, from the header.
    ///
    /// # Errors
    /// The file holds no encoder that is computed here, or a field or tensor is missing or out of bounds.
    pub fn of_gguf(gguf: &Gguf) -> Result<VisionShape, GgufError> {
        let config = VisionConfig::from_gguf(gguf)?;
        let encoder = VisionEncoder::shape_of(gguf, &config)?;
        let projector = match ProjectorConfig::is_in(gguf)? {
            true => {
                let projector = ProjectorConfig::from_gguf(gguf)?;
                let shape = Projector::shape_of(gguf, &projector)?;
                Some((projector, shape))
            }
            false => None,
        };
        Ok(VisionShape { config, encoder, projector })
    }

    /// The hyperparameters of the encoder.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// The encoder by itself.
    pub fn encoder(&self) -> &EncoderShape {
        &self.encoder
    }

    /// The projector by itself, where there is one.
    pub fn projector(&self) -> Option<&ProjectorShape> {
        self.projector.as_ref().map(|(_, shape)| shape)
    }

    /// What the projector makes of patch embeddings, where there is one.
    pub fn projector_config(&self) -> Option<&ProjectorConfig> {
        self.projector.as_ref().map(|(config, _)| config)
    }

    /// Weights of all matrices.
    pub fn weights(&self) -> u64 {
        self.encoder.weights() + self.projector().map_or(0, ProjectorShape::weights)
    }

    /// Patches of a square, which are the rows that the encoder makes of it.
    pub fn patches(&self) -> usize {
        self.config.patches()
    }

    /// Elements of a row that the encoder makes.
    pub fn encoder_width(&self) -> usize {
        self.config.width
    }

    /// Elements of a row that the projector makes: the width of the language model; 0 without projector.
    pub fn width(&self) -> usize {
        self.projector_config().map_or(0, |config| config.width)
    }

    /// How many layers of the encoder are computed.
    pub fn layer_count(&self) -> usize {
        self.encoder.layer_count()
    }

    /// How many squares a picture of this size is cut into.
    pub fn squares(&self, width: usize, height: usize) -> usize {
        self.config.preprocess().plan(width, height).count()
    }

    /// Rows that a picture of this size puts into the prompt; 0 without projector.
    pub fn rows(&self, width: usize, height: usize) -> usize {
        let plan = self.config.preprocess().plan(width, height);
        self.projector_config().map_or(0, |config| config.arrange(plan).rows())
    }

    /// The most rows that any picture makes; 0 without projector.
    pub fn most_rows(&self) -> usize {
        self.projector_config().map_or(0, |config| config.most_rows)
    }

    /// Blocks of patches of a square, which jobs of the projector take some of; 0 without projector.
    pub fn blocks(&self) -> usize {
        self.projector_config().map_or(0, ProjectorConfig::blocks)
    }

    /// Bytes that the encoder's packed weights take in memory.
    pub fn encoder_bytes(&self) -> u64 {
        self.encoder.packed_bytes()
    }

    /// Bytes that the projector's packed weights take in memory.
    pub fn projector_bytes(&self) -> u64 {
        self.projector().map_or(0, ProjectorShape::packed_bytes)
    }

    /// Loading the encoder from storage.
    pub fn load_encoder(&self) -> JobCost {
        self.encoder.load()
    }

    /// Loading the projector from storage; nothing where there is none.
    pub fn load_projector(&self) -> JobCost {
        self.projector().map_or(NOTHING, ProjectorShape::load)
    }

    /// Resizing a picture of this size and cutting it into squares, all of it; it is done in jobs of some milliseconds.
    pub fn prepare(&self, width: usize, height: usize) -> JobCost {
        self.config.preprocess().cost(width, height)
    }

    /// Embedding the patches of a square.
    pub fn embed(&self) -> JobCost {
        self.encoder.embed()
    }

    /// The layers `from..to` for a square.
    ///
    /// # Panics
    /// There are no such layers.
    pub fn layers(&self, from: usize, to: usize) -> JobCost {
        self.encoder.layers(from, to)
    }

    /// Writing the patch embeddings of a square where the projector reads them.
    pub fn publish(&self) -> JobCost {
        self.encoder.publish()
    }

    /// Projecting `blocks` blocks of patches; nothing without projector.
    pub fn project(&self, blocks: usize) -> JobCost {
        self.projector().map_or(NOTHING, |projector| projector.project(blocks))
    }
}
