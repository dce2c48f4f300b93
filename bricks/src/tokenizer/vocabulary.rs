//! The vocabulary of a file: what each token stands for, its kind, and the tokens with a part to play.

use std::collections::HashMap;

use super::TokenId;
use super::byte_level::ByteAlphabet;
use super::error::TokenizerError;
use super::sentence_piece;
use crate::gguf::{Gguf, GgufProblem};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Text.
    Normal,
    /// Stands for what has no token.
    Unknown,
    /// Steers the model and is no text: begins or ends a turn, for example.
    Control,
    /// Text that is always one token.
    UserDefined,
    /// A place in the vocabulary that nothing uses.
    Unused,
    /// One byte.
    Byte,
}

/// How the texts of a vocabulary are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// In GPT-2's byte alphabet.
    ByteLevel,
    /// In plain text with `▁` for a space.
    SentencePiece,
}

/// Texts as the file has them, for building; borrowed from the file.
pub(super) struct Tokens<'a> {
    pub(super) texts: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
    /// By text; empty texts are left out.
    pub(super) ids: HashMap<&'a str, TokenId>,
}

pub(super) const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
/// Far beyond any model, and every index fits a [`TokenId`].
const MAX_TOKENS: usize = 1 << 24;
const TYPES_KEY: &str = "tokenizer.ggml.token_type";

impl<'a> Tokens<'a> {
    pub(super) fn read(gguf: &'a Gguf) -> Result<Tokens<'a>, TokenizerError> {
        let in_tokens = |problem| gguf.error(TOKENS_KEY, problem);
        let array = gguf.get_array(TOKENS_KEY)?;
        let texts = array.strings().and_then(|texts| texts.collect::<Result<Vec<_>, _>>()).map_err(in_tokens)?;
        if texts.is_empty() || texts.len() > MAX_TOKENS {
            let expected = format!("1 to {MAX_TOKENS} tokens");
            return Err(in_tokens(GgufProblem::Inconsistent { expected, found: texts.len().to_string() }).into());
        }
        let kinds = read_kinds(gguf, texts.len())?;
        let mut ids = HashMap::with_capacity(texts.len());
        for (id, &text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let id = id as TokenId;
            if let Some(first) = ids.insert(text, id) {
                let (file, token) = (gguf.file().to_owned(), text.to_owned());
                return Err(TokenizerError::DuplicateToken { file, token, first, second: id });
            }
        }
        Ok(Tokens { texts, kinds, ids })
    }

    pub(super) fn kind(&self, id: TokenId) -> TokenKind {
        self.kinds[id as usize]
    }
}

fn read_kinds(gguf: &Gguf, count: usize) -> Result<Vec<TokenKind>, TokenizerError> {
    let Some(array) = gguf.find_array(TYPES_KEY)? else {
        return Ok(vec![TokenKind::Normal; count]);
    };
    let numbers = array.to_i32s().map_err(|problem| gguf.error(TYPES_KEY, problem))?;
    if numbers.len() != count {
        let problem = GgufProblem::Inconsistent {
            expected: format!("as many entries as `{TOKENS_KEY}` has, {count}"),
            found: numbers.len().to_string(),
        };
        return Err(gguf.error(TYPES_KEY, problem).into());
    }
    let kinds = numbers.into_iter().map(|number| match number {
        // 0 is ggml's "undefined", which some converters write for plain tokens.
        0 | 1 => Ok(TokenKind::Normal),
        2 => Ok(TokenKind::Unknown),
        3 => Ok(TokenKind::Control),
        4 => Ok(TokenKind::UserDefined),
        5 => Ok(TokenKind::Unused),
        6 => Ok(TokenKind::Byte),
        other => {
            let problem = GgufProblem::Inconsistent { expected: "types from 0 to 6".into(), found: other.to_string() };
            Err(gguf.error(TYPES_KEY, problem).into())
        }
    });
    kinds.collect()
}

/// What remains of the vocabulary once the tokenizer is built: the bytes of each token, in one piece of memory.
pub(super) struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends: Vec<usize>,
    kinds: Vec<TokenKind>,
}

impl Vocabulary {
    pub(super) fn new(tokens: &Tokens<'_>, spelling: Spelling) -> Vocabulary {
        let alphabet = ByteAlphabet::new();
        let mut bytes = Vec::with_capacity(tokens.texts.iter().map(|text| text.len()).sum());
        let mut ends = Vec::with_capacity(tokens.texts.len());
        for (text, kind) in tokens.texts.iter().zip(&tokens.kinds) {
            match (kind, spelling) {
                (TokenKind::Byte, _) if let Some(byte) = sentence_piece::byte_of(text) => bytes.push(byte),
                // Their text is what a user writes, not what the alphabet makes of it.
                (TokenKind::Control | TokenKind::UserDefined, Spelling::ByteLevel) => {
                    bytes.extend_from_slice(text.as_bytes());
                }
                (_, Spelling::ByteLevel) => alphabet.decode_into(text, &mut bytes),
                (_, Spelling::SentencePiece) => {
                    bytes.extend_from_slice(text.replace(sentence_piece::SPACE, " ").as_bytes());
                }
            }
            ends.push(bytes.len());
        }
        Vocabulary { bytes, ends, kinds: tokens.kinds.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes that a token stands for; none for a token beyond the vocabulary.
    pub(super) fn bytes(&self, token: TokenId) -> &[u8] {
        let token = token as usize;
        let Some(&end) = self.ends.get(token) else { return &[] };
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }

    pub(super) fn kind(&self, token: TokenId) -> Option<TokenKind> {
        self.kinds.get(token as usize).copied()
    }
}

/// Tokens with a part to play, as the file names them.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles {
    pub(super) bos: Option<TokenId>,
    pub(super) eos: Option<TokenId>,
    pub(super) eot: Option<TokenId>,
    pub(super) unknown: Option<TokenId>,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
    /// All tokens that end an answer.
    pub(super) ends: Vec<TokenId>,
}

/// Texts of tokens that end a turn or an answer in the families of models that run here, as llama.cpp knows them.
const END_TEXTS: [&str; 12] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<end_of_turn>",
    "</s>",
    "<EOT>",
    "[EOT]",
    "[EOS]",
];

/// Whether a token of this text ends an answer, whatever else the file says.
pub(crate) fn ends_by_its_text(text: &str) -> bool {
    END_TEXTS.contains(&text)
}

impl Roles {
    pub(super) fn read(gguf: &Gguf, tokens: &Tokens<'_>, defaults: &Roles) -> Result<Roles, TokenizerError> {
        let read = |name: &str, default: Option<TokenId>| -> Result<Option<TokenId>, TokenizerError> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let Some(id) = gguf.find_u32(&key)? else { return Ok(default) };
            if (id as usize) < tokens.texts.len() {
                return Ok(Some(id));
            }
            let expected = format!("a token below {}", tokens.texts.len());
            Err(gguf.error(&key, GgufProblem::Inconsistent { expected, found: id.to_string() }).into())
        };
        let mut roles = Roles {
            bos: read("bos", defaults.bos)?,
            eos: read("eos", defaults.eos)?,
            eot: read("eot", None)?,
            unknown: read("unknown", defaults.unknown)?,
            add_bos: gguf.get_bool_or("tokenizer.ggml.add_bos_token", defaults.add_bos)?,
            add_eos: gguf.get_bool_or("tokenizer.ggml.add_eos_token", defaults.add_eos)?,
            ends: Vec::new(),
        };
        let eom = read("eom", None)?;
        let by_text = END_TEXTS.iter().filter_map(|&text| tokens.ids.get(text).copied());
        let by_text = by_text.filter(|&id| matches!(tokens.kind(id), TokenKind::Control | TokenKind::UserDefined));
        roles.ends = [roles.eos, roles.eot, eom].into_iter().flatten().chain(by_text).collect();
        roles.ends.sort_unstable();
        roles.ends.dedup();
        Ok(roles)
    }
}
