//! Why a question could not be asked.

use crate::chat::ChatError;
use crate::language::{SequenceError, StepError};

/// Why a question could not be asked. The conversation is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// A question is being answered; settle or abandon it first.
    #[error("expected the last answer to be settled before the next question")]
    Busy,
    /// The template refuses the messages.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// No sequence of the wanted context.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The conversation does not fit, even with all that may be forgotten forgotten.
    #[error("the conversation takes {needed} positions, expected at most the context of {context}")]
    ContextFull {
        /// Positions that the conversation takes.
        needed: usize,
        /// Positions that there are.
        context: usize,
    },
    /// More pictures than the conversation may hold, even with all that may be forgotten forgotten.
    #[error("the conversation shows {found} pictures, expected at most {most}")]
    TooManyPictures {
        /// Pictures that it shows.
        found: usize,
        /// Pictures that it may hold.
        most: usize,
    },
    /// The template repeats a question or leaves it out, so that its pictures have no one place.
    #[error("expected a chat template that shows each message once: it has {found} places for {expected} pictures")]
    PicturePlaces {
        /// Pictures that are to be shown.
        expected: usize,
        /// Places that the template's text has for them.
        found: usize,
    },
    /// The template's text cannot be read by the model.
    #[error(transparent)]
    Step(#[from] StepError),
}
