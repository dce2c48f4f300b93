//! Why a language model could not be loaded, or could not take a step.

use nanomind_hal::tabm::ElementType;
use nanomind_kernels::ShapeError;

use crate::gguf::GgufError;

/// Why a language model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A field or tensor of the file is missing, out of bounds or contradicts another.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The kernels refuse a tensor.
    #[error("{file}: tensor `{tensor}`: {source}")]
    Pack {
        /// The model file.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// What the kernels expected.
        source: ShapeError,
    },
    /// The file holds a tensor that this architecture has no use for.
    #[error("{file}: tensor `{tensor}`: expected only tensors of the architecture, found one that would be ignored")]
    UnknownTensor {
        /// The model file.
        file: String,
        /// Name of the tensor.
        tensor: String,
    },
}

/// Why a step was not taken. The sequence is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The step needs more positions than are free: cut, forget, or begin a new sequence.
    #[error("context is full: {needed} more positions needed, {free} of {context} free")]
    ContextFull {
        /// Positions that the step needs.
        needed: usize,
        /// Positions that are free.
        free: usize,
        /// Positions of the sequence.
        context: usize,
    },
    /// A token that the model does not have.
    #[error("token {token}: expected an id below the vocabulary size of {vocab}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Rows of the embedding table.
        vocab: usize,
    },
    /// Embedding rows of another width.
    #[error("embedding rows are {found} wide, expected the model's width of {expected}")]
    RowWidth {
        /// Width of the model.
        expected: usize,
        /// Width of the slot.
        found: usize,
    },
    /// Embedding rows of another precision.
    #[error("embedding rows are {found:?}, expected F32")]
    RowElement {
        /// What the rows are made of.
        found: ElementType,
    },
    /// The sequence was made for a model of another shape.
    #[error("the sequence was made for another model")]
    OtherModel,
    /// Nothing to read.
    #[error("expected at least one position to read, found none")]
    EmptyPrompt,
}
