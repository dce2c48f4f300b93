//! Models made of kernels: weights, tokenizers, chat templates, language models, vision encoders. Knows no actor and no
//! graph.
//!
//! From file to answer:
//!
//! - [`store`]: which models there are, where they lie on this machine, and how they get there
//! - [`Gguf`]: a model file, mapped and checked; [`GgufWriter`] makes one
//! - [`mod@convert`]: Hugging Face's model folders to such files
//! - [`Tokenizer`] and [`StreamDecoder`]: text to tokens and back
//! - [`ChatTemplate`]: messages to the text that a model was trained on
//! - [`language`]: the forward pass, its key-value cache, and generation step by step
//! - [`vision`]: pictures to rows that a language model reads in place
//! - [`shape`]: what steps of models cost, by their files' headers or by what is published of them
//! - [`Sampler`]: logits to the next token
//! - [`Conversation`]: turns of a chat on one sequence, with the pictures that they show
//!
//! Everything here runs on the lane that it is lent: this crate starts no thread.
#![forbid(unsafe_code)]

mod chat;
mod conversation;
pub mod convert;
mod gguf;
pub mod language;
mod loader;
mod sampler;
pub mod shape;
pub mod store;
mod tokenizer;
pub mod vision;

pub use chat::{ChatError, ChatTemplate, Message, RenderOptions, Role};
pub use conversation::{Conversation, ConversationError, ConversationOptions, History, OnFull, Reader, Shown, Turn};
pub use gguf::{
    Array, ArrayIter, Gguf, GgufError, GgufProblem, GgufStream, GgufWriter, TensorInfo, TensorType, Value, ValueType,
    WriteValue,
};
pub use sampler::{Sampler, Sampling, SamplingError};
pub use tokenizer::{PreTokenizer, Special, StreamDecoder, TokenId, TokenKind, Tokenizer, TokenizerError};
