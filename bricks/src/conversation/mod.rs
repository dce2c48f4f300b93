//! A chat with a language model over several turns: messages, template, and reuse of the key-value cache between turns.

mod error;
mod history;
mod prompt;
mod reader;
mod turns;

pub use error::ConversationError;
pub use history::{ConversationOptions, History, OnFull, Shown, Turn};
pub use reader::Reader;
pub use turns::Conversation;
