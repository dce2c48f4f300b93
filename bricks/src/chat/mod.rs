//! Chat templates: from messages to the text that a model was trained on.
//!
//! Templates are Jinja text inside of model files, so they are hostile: they run with bounded work and see nothing but
//! the messages. Rendered as Hugging Face's `apply_chat_template` does.

mod date;
mod error;
mod generation_tags;
mod json;
mod message;
mod template;
#[cfg(test)]
mod tests;

pub use error::ChatError;
pub use message::{Message, Role};
pub use template::{ChatTemplate, RenderOptions};
