//! Why a language model could not take a step.

use std::ops::Range;

use nanomind_hal::tabm::ElementType;
use nanomind_kernels::BackendError;

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
    /// Rows that the slot does not hold.
    #[error("embedding rows {}..{} of a slot, expected them within its {found}", range.start, range.end)]
    RowRange {
        /// Rows of the prompt.
        range: Range<usize>,
        /// Rows that are published.
        found: usize,
    },
    /// The sequence was made for a model of another shape.
    #[error("the sequence was made for another model")]
    OtherModel,
    /// The device failed on the way. The sequence holds what it held before the chunk in which it did.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Nothing to read.
    #[error("expected at least one position to read, found none")]
    EmptyPrompt,
}
