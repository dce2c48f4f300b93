//! What a model's steps cost by its shape alone: no weight is read, and none need be at hand.
//!
//! A shape is made of a GGUF file's header ([`ModelShape::of_gguf`]) or of what is published about a model
//! ([`ModelShape::find`]). The models that compute here cost what their shapes say: [`crate::language::LanguageModel`],
//! [`crate::vision::VisionEncoder`] and [`crate::vision::Projector`] hold theirs and ask it.
//!
//! - [`LanguageShape`]: load, prefill, decode
//! - [`VisionShape`]: an encoder ([`EncoderShape`]) and its projector ([`ProjectorShape`]), and how many squares and rows
//!   a picture makes
//! - [`SpeechShape`]: Whisper, which no brick computes yet
//!
//! Costs are [`nanomind_hal::JobCost`]: operations, a multiply-add being two, and bytes read, from storage when loading and from
//! memory otherwise.

mod catalogue;
mod language;
pub(crate) mod layers;
pub(crate) mod matrix;
mod speech;
mod vision;

pub use catalogue::{Published, published};
pub use language::LanguageShape;
pub(crate) use language::LanguageSizes;
pub use matrix::MatrixShape;
pub use speech::SpeechShape;
pub use vision::{EncoderShape, ProjectorShape, VisionShape};

use crate::gguf::{Gguf, GgufError};

/// The shape of a model of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelShape {
    /// A language model.
    Language(LanguageShape),
    /// A vision encoder, perhaps with its projector.
    Vision(VisionShape),
    /// A model that hears.
    Speech(SpeechShape),
}

impl ModelShape {
    /// The shape of the model in a file, from its header: hyperparameters, and types and sizes of tensors.
    ///
    /// # Errors
    /// The file is no model that is computed here, or a field or tensor is missing or out of bounds.
    pub fn of_gguf(gguf: &Gguf) -> Result<ModelShape, GgufError> {
        match gguf.architecture() {
            Ok("clip") => VisionShape::of_gguf(gguf).map(ModelShape::Vision),
            _ => LanguageShape::of_gguf(gguf).map(ModelShape::Language),
        }
    }

    /// The shape of a published model; see [`names`] for what they are called.
    pub fn find(name: &str) -> Option<ModelShape> {
        published().into_iter().find(|model| model.name == name).map(|model| model.shape)
    }
}

/// The names of the published models whose shapes are known, such as `llava-onevision-qwen2-0.5b`; those that end with
/// `/vision` are the encoder and projector of the model before.
pub fn names() -> impl Iterator<Item = &'static str> {
    published().into_iter().map(|model| model.name)
}
