//! The tokenizer of a model: encodes, decodes, and knows which tokens begin and end what.

use std::fmt;

use super::TokenId;
use super::error::TokenizerError;
use super::merger::Merger;
use super::pre_tokenizer::PreTokenizer;
use super::sentence_piece;
use super::special::{Piece, Special, SpecialFinder};
use super::vocabulary::{Roles, Spelling, TokenKind, Tokens, Vocabulary};
use crate::gguf::Gguf;

/// Text to tokens and back, with the vocabulary of one model.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    roles: Roles,
    spelling: Spelling,
    /// SentencePiece only: text begins with a space that is not the user's.
    leading_space: bool,
    finder: SpecialFinder,
    merger: Merger,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("tokens", &self.vocab_len())
            .field("spelling", &self.spelling)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Builds the tokenizer that the metadata of `gguf` describes. Nothing of the file is needed afterwards.
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, TokenizerError> {
        match gguf.get_str("tokenizer.ggml.model")? {
            "gpt2" => Tokenizer::byte_level(gguf),
            "llama" => Tokenizer::sentence_piece(gguf),
            other => Err(TokenizerError::UnknownModel { file: gguf.file().to_owned(), found: other.to_owned() }),
        }
    }

    fn byte_level(gguf: &Gguf) -> Result<Tokenizer, TokenizerError> {
        let name = gguf.find_str("tokenizer.ggml.pre")?.unwrap_or_else(|| {
            tracing::warn!(file = gguf.file(), "the file names no pre-tokenizer: words are cut as GPT-2 does");
            "default"
        });
        let words = PreTokenizer::from_name(name).ok_or_else(|| TokenizerError::UnknownPreTokenizer {
            file: gguf.file().to_owned(),
            expected: PreTokenizer::names(),
            found: name.to_owned(),
        })?;
        let tokens = Tokens::read(gguf)?;
        let roles = Roles::read(gguf, &tokens, &Roles { add_bos: words.adds_bos(), ..Roles::default() })?;
        let merger = Merger::byte_level(gguf, &tokens, words)?;
        Tokenizer::assemble(gguf, &tokens, roles, Spelling::ByteLevel, false, merger)
    }

    fn sentence_piece(gguf: &Gguf) -> Result<Tokenizer, TokenizerError> {
        let tokens = Tokens::read(gguf)?;
        let scores = sentence_piece::read_scores(gguf, &tokens)?;
        let merges = sentence_piece::implied_merges(&tokens, &scores);
        // Where SentencePiece puts them.
        let known = |id: TokenId| ((id as usize) < tokens.texts.len()).then_some(id);
        let defaults = Roles { unknown: known(0), bos: known(1), eos: known(2), add_bos: true, ..Roles::default() };
        let roles = Roles::read(gguf, &tokens, &defaults)?;
        let merger = Merger::sentence_piece(gguf, &tokens, &merges, roles.unknown)?;
        let leading_space = gguf.get_bool_or("tokenizer.ggml.add_space_prefix", true)?;
        Tokenizer::assemble(gguf, &tokens, roles, Spelling::SentencePiece, leading_space, merger)
    }

    fn assemble(
        gguf: &Gguf,
        tokens: &Tokens<'_>,
        roles: Roles,
        spelling: Spelling,
        leading_space: bool,
        merger: Merger,
    ) -> Result<Tokenizer, TokenizerError> {
        let finder = SpecialFinder::new(tokens)
            .map_err(|source| TokenizerError::Build { file: gguf.file().to_owned(), source: source.into() })?;
        let vocabulary = Vocabulary::new(tokens, spelling);
        Ok(Tokenizer { vocabulary, roles, spelling, leading_space, finder, merger })
    }

    /// The tokens of `text`, without a beginning or end of text.
    pub fn encode(&self, text: &str, special: Special) -> Vec<TokenId> {
        let mut out = Vec::new();
        for piece in self.finder.split(text, special) {
            match (piece, self.spelling) {
                (Piece::Token(token), _) => out.push(token),
                (Piece::Text(text), Spelling::ByteLevel) => self.merger.merge_into(text, &mut out),
                (Piece::Text(text), Spelling::SentencePiece) => {
                    self.merger.merge_into(&sentence_piece::spell(text, self.leading_space), &mut out);
                }
            }
        }
        out
    }

    /// The tokens of the beginning of a sequence: as [`Tokenizer::encode`], after the beginning-of-text token where
    /// the model wants one, and never two of them.
    pub fn encode_first(&self, text: &str, special: Special) -> Vec<TokenId> {
        let mut tokens = self.encode(text, special);
        if let Some(bos) = self.roles.bos.filter(|&bos| self.roles.add_bos && tokens.first() != Some(&bos)) {
            tokens.insert(0, bos);
        }
        tokens
    }

    /// The text of `tokens`, without control tokens. Bytes that are no UTF-8 become U+FFFD; tokens beyond the
    /// vocabulary have no text.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        self.text_of(tokens.iter().copied().filter(|&token| !self.is_control(token)))
    }

    /// The text of `tokens`, control tokens included.
    pub fn decode_all(&self, tokens: &[TokenId]) -> String {
        self.text_of(tokens.iter().copied())
    }

    fn text_of(&self, tokens: impl Iterator<Item = TokenId>) -> String {
        let bytes: Vec<u8> = tokens.flat_map(|token| self.token_bytes(token)).copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        match text.strip_prefix(' ') {
            Some(rest) if self.leading_space => rest.to_owned(),
            _ => text.into_owned(),
        }
    }

    /// The bytes that a token stands for, which may be part of a character; none for a token beyond the vocabulary.
    pub fn token_bytes(&self, token: TokenId) -> &[u8] {
        self.vocabulary.bytes(token)
    }

    /// What a token is for; `None` beyond the vocabulary.
    pub fn kind(&self, token: TokenId) -> Option<TokenKind> {
        self.vocabulary.kind(token)
    }

    /// Whether a token steers the model and is no text.
    pub fn is_control(&self, token: TokenId) -> bool {
        self.kind(token) == Some(TokenKind::Control)
    }

    /// Whether a token ends an answer: end of text, of turn or of message.
    pub fn is_end(&self, token: TokenId) -> bool {
        self.roles.ends.binary_search(&token).is_ok()
    }

    /// Number of tokens.
    pub fn vocab_len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Beginning of text.
    pub fn bos(&self) -> Option<TokenId> {
        self.roles.bos
    }

    /// End of text.
    pub fn eos(&self) -> Option<TokenId> {
        self.roles.eos
    }

    /// End of turn, where the file names one of its own.
    pub fn eot(&self) -> Option<TokenId> {
        self.roles.eot
    }

    /// Stands for what has no token.
    pub fn unknown(&self) -> Option<TokenId> {
        self.roles.unknown
    }

    /// Whether a sequence begins with [`Tokenizer::bos`].
    pub fn adds_bos(&self) -> bool {
        self.roles.add_bos
    }

    /// Whether a document ends with [`Tokenizer::eos`]; a prompt never does.
    pub fn adds_eos(&self) -> bool {
        self.roles.add_eos
    }

    /// Whether decoded text begins with a space that is not the text's own.
    pub(super) fn has_leading_space(&self) -> bool {
        self.leading_space
    }
}
