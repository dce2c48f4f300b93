//! Models made of kernels: weights, tokenizers, chat templates, language models. Knows no actor and no graph.
#![forbid(unsafe_code)]

pub mod store;
