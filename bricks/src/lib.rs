//! Models made of kernels: weights, tokenizers, chat templates, language models. Knows no actor and no graph.
#![forbid(unsafe_code)]

mod chat;
mod conversation;
mod gguf;
pub mod language;
mod sampler;
pub mod store;
mod tokenizer;

pub use chat::{ChatError, ChatTemplate, Message, RenderOptions, Role};
pub use conversation::{Conversation, ConversationError, ConversationOptions, OnFull, Shown};
pub use gguf::{
    Array, ArrayIter, Gguf, GgufError, GgufProblem, GgufWriter, TensorInfo, TensorType, Value, ValueType, WriteValue,
};
pub use sampler::{Sampler, Sampling, SamplingError};
pub use tokenizer::{PreTokenizer, Special, StreamDecoder, TokenId, TokenKind, Tokenizer, TokenizerError};
