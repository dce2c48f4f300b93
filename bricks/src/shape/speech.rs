//! The shape of a model that hears: an encoder over windows of sound and a decoder of text, as Whisper has them.

use nanomind_hal::JobCost;

use super::language::LanguageShape;
use super::layers::LayersShape;
use super::matrix::{MatrixShape, sum};

/// Positions of the encoder in a second of sound: frames of 10 ms, two taken together by the second convolution.
pub(super) const POSITIONS_PER_SECOND: usize = 50;
/// Whisper hears windows of this many seconds; what is shorter is filled up with silence.
pub(super) const WINDOW_SECONDS: usize = 30;

/// The shape of a Whisper model.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechShape {
    /// The two convolutions, each with the positions that it makes of a window.
    pub(super) convolutions: [(MatrixShape, usize); 2],
    /// The layers after them, over the positions of a window.
    pub(super) layers: LayersShape,
    /// Keys and values that the decoder's layers make of the encoder's positions.
    pub(super) cross: Vec<MatrixShape>,
    /// The decoder, its projections of queries and outputs of the cross attention among them.
    pub(super) decoder: LanguageShape,
    /// Multiplications of one token with one position of the encoder, over all layers: for scores and for values.
    pub(super) cross_attention: u64,
    /// Bytes of keys and values of one position of the encoder, over all of the decoder's layers.
    pub(super) cross_position_bytes: u64,
}

impl SpeechShape {
    /// Every matrix but the decoder's.
    fn matrices(&self) -> impl Iterator<Item = &MatrixShape> {
        let convolutions = self.convolutions.iter().map(|(matrix, _)| matrix);
        convolutions.chain(self.layers.linears()).chain(&self.cross)
    }

    /// Weights of all matrices.
    pub fn weights(&self) -> u64 {
        self.matrices().map(MatrixShape::weights).sum::<u64>() + self.decoder.weights()
    }

    /// Bytes that the packed weights take in memory.
    pub fn weight_bytes(&self) -> u64 {
        self.matrices().map(MatrixShape::packed_bytes).sum::<u64>() + self.decoder.weight_bytes()
    }

    /// Loading the weights from storage.
    pub fn load(&self) -> JobCost {
        let bytes = self.matrices().map(MatrixShape::stored_bytes).sum::<u64>() + self.decoder.load().bytes;
        JobCost { flops: 0, bytes }
    }

    /// Encoding `seconds` of sound, in windows of 30 seconds: a window costs what it costs however much of it is silence.
    pub fn encode(&self, seconds: f64) -> JobCost {
        let windows = (seconds / WINDOW_SECONDS as f64).ceil().max(1.0) as u64;
        let positions = WINDOW_SECONDS * POSITIONS_PER_SECOND;
        let convolutions = self.convolutions.iter().map(|(matrix, made)| matrix.product(*made));
        let cross = self.cross.iter().map(|matrix| matrix.product(positions));
        let layers = self.layers.cost(0, self.layers.layers.len());
        let window = convolutions.chain(cross).fold(layers, sum);
        JobCost { flops: windows * window.flops, bytes: windows * window.bytes }
    }

    /// A decode of one token at `position` of the text, looking at a window of sound.
    pub fn decode(&self, position: usize) -> JobCost {
        let positions = (WINDOW_SECONDS * POSITIONS_PER_SECOND) as u64;
        let JobCost { flops, bytes } = self.decoder.decode(position);
        JobCost {
            flops: flops + 2 * positions * self.cross_attention,
            bytes: bytes + positions * self.cross_position_bytes,
        }
    }

    /// Bytes that keys and values take: those of `positions` tokens, and those of a window of sound.
    pub fn kv_bytes(&self, positions: usize) -> u64 {
        let window = (WINDOW_SECONDS * POSITIONS_PER_SECOND) as u64;
        self.decoder.kv_bytes(positions) + window * self.cross_position_bytes
    }
}
