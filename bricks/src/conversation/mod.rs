//! A chat with a language model over several turns: messages, template, and reuse of the key-value cache between turns.

mod error;
mod prompt;
mod turns;

pub use error::ConversationError;
pub use turns::{Conversation, ConversationOptions, OnFull, Shown, Turn};
