//! Models made of kernels: weights, tokenizers, chat templates, language models. Knows no actor and no graph.
#![forbid(unsafe_code)]

mod gguf;
pub mod store;

pub use gguf::{
    Array, ArrayIter, Gguf, GgufError, GgufProblem, GgufWriter, TensorInfo, TensorType, Value, ValueType, WriteValue,
};
