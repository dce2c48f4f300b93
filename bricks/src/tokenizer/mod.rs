//! From text to tokens and back, with the vocabulary that a GGUF file carries.
//!
//! Byte-level BPE (`gpt2`) and SentencePiece's BPE (`llama`), merged by the `tokenizers` crate. A tokenizer is
//! immutable and shared; it holds nothing of the file that it came from.

mod byte_level;
mod error;
mod merger;
mod pre_tokenizer;
mod sentence_piece;
mod special;
mod stream;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "the noun of the folder")]
mod tokenizer;
mod vocabulary;

pub use error::TokenizerError;
pub use pre_tokenizer::PreTokenizer;
pub use special::Special;
pub use stream::StreamDecoder;
pub use tokenizer::Tokenizer;
pub use vocabulary::TokenKind;
pub(crate) use vocabulary::ends_by_its_text;

/// The number of a token: an index into the vocabulary, the embedding rows and the logits.
pub type TokenId = u32;
