//! How text is cut into words before merging: the named regular expressions of the model families.

use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

/// The words of a byte-level vocabulary, as `tokenizer.ggml.pre` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreTokenizer {
    /// GPT-2: words with their leading space, contractions apart, numbers whole.
    Gpt2,
    /// SmolLM and StarCoder: as GPT-2, but each digit alone.
    SmolLm,
    /// Llama 3: numbers in groups of three, and whole words of the vocabulary are not taken apart.
    LlamaBpe,
    /// Qwen 2: each digit alone, text composed (NFC) first.
    Qwen2,
}

/// Names in files, and what they stand for.
const NAMES: [(&str, PreTokenizer); 10] = [
    ("gpt-2", PreTokenizer::Gpt2),
    ("default", PreTokenizer::Gpt2),
    ("smollm", PreTokenizer::SmolLm),
    ("starcoder", PreTokenizer::SmolLm),
    ("refact", PreTokenizer::SmolLm),
    ("llama-bpe", PreTokenizer::LlamaBpe),
    ("llama-v3", PreTokenizer::LlamaBpe),
    ("llama3", PreTokenizer::LlamaBpe),
    ("qwen2", PreTokenizer::Qwen2),
    ("deepseek-r1-qwen", PreTokenizer::Qwen2),
];

/// The two differ in the digits that a number takes.
macro_rules! words {
    ($digits:literal) => {
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

const LLAMA_BPE: &str = words!(r"\p{N}{1,3}");
const QWEN2: &str = words!(r"\p{N}");

impl PreTokenizer {
    /// Every kind of words.
    pub(crate) const ALL: [PreTokenizer; 4] =
        [PreTokenizer::Gpt2, PreTokenizer::SmolLm, PreTokenizer::LlamaBpe, PreTokenizer::Qwen2];

    /// The name that is written: the first of [`NAMES`].
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|entry| entry.1 == self).map_or("default", |entry| entry.0)
    }

    /// The expression that cuts text, where it is not GPT-2's own.
    pub(crate) fn regex(self) -> Option<&'static str> {
        match self {
            PreTokenizer::Gpt2 | PreTokenizer::SmolLm => None,
            PreTokenizer::LlamaBpe => Some(LLAMA_BPE),
            PreTokenizer::Qwen2 => Some(QWEN2),
        }
    }

    pub(super) fn from_name(name: &str) -> Option<PreTokenizer> {
        NAMES.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        NAMES.map(|entry| format!("`{}`", entry.0)).join(", ")
    }

    /// Whether a word that is a token is taken whole, whatever its merges.
    pub(crate) fn takes_words_whole(self) -> bool {
        self == PreTokenizer::LlamaBpe
    }

    /// Whether the model was trained with a beginning-of-text token where its file does not say.
    pub(super) fn adds_bos(self) -> bool {
        self == PreTokenizer::LlamaBpe
    }

    pub(super) fn normalizer(self) -> Option<NormalizerWrapper> {
        (self == PreTokenizer::Qwen2).then(|| NFC.into())
    }

    pub(super) fn splitter(self) -> Result<PreTokenizerWrapper, tokenizers::Error> {
        let bytes = |use_regex| PreTokenizerWrapper::from(ByteLevel::new(false, false, use_regex));
        Ok(match self {
            PreTokenizer::Gpt2 => bytes(true),
            PreTokenizer::SmolLm => Sequence::new(vec![Digits::new(true).into(), bytes(true)]).into(),
            PreTokenizer::LlamaBpe => Sequence::new(vec![split(LLAMA_BPE)?, bytes(false)]).into(),
            PreTokenizer::Qwen2 => Sequence::new(vec![split(QWEN2)?, bytes(false)]).into(),
        })
    }
}

fn split(pattern: &str) -> Result<PreTokenizerWrapper, tokenizers::Error> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    Ok(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into())
}
