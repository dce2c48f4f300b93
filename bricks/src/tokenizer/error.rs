//! Why a file gives no tokenizer.

use crate::gguf::GgufError;

/// A GGUF file whose tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A key is missing, of another type, or contradicts another.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A kind of tokenizer that is not known here.
    #[error("{file}: key `tokenizer.ggml.model`: expected `gpt2` or `llama`, found `{found}`")]
    UnknownModel {
        /// The file.
        file: String,
        /// What it names.
        found: String,
    },
    /// A pre-tokenizer that is not known here.
    #[error("{file}: key `tokenizer.ggml.pre`: expected one of {expected}, found `{found}`")]
    UnknownPreTokenizer {
        /// The file.
        file: String,
        /// The names that are known.
        expected: String,
        /// What the file names.
        found: String,
    },
    /// Two tokens of the same text.
    #[error("{file}: key `tokenizer.ggml.tokens`: expected each token once, found {token:?} as {first} and {second}")]
    DuplicateToken {
        /// The file.
        file: String,
        /// The text of both.
        token: String,
        /// The first token.
        first: u32,
        /// The second token.
        second: u32,
    },
    /// A merge of something that is no token, or into something that is none.
    #[error(
        "{file}: key `tokenizer.ggml.merges`: expected two tokens that join to a third, found {merge:?} at {index}"
    )]
    UnknownMerge {
        /// The file.
        file: String,
        /// The merge as the file has it.
        merge: String,
        /// Its place in the list.
        index: usize,
    },
    /// The merging engine refused what was checked before.
    #[error("{file}: the tokenizer cannot be built: {source}")]
    Build {
        /// The file.
        file: String,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
