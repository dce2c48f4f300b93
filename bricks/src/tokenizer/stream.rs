//! Text from tokens as they come: nothing is shown before it is certain.

use std::sync::Arc;

use super::TokenId;
use super::tokenizer::Tokenizer;

/// Decodes one token at a time. Holds back the bytes of an unfinished character.
///
/// All pieces together equal [`Tokenizer::decode`] of all tokens.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Arc<Tokenizer>,
    held: Vec<u8>,
    /// Whether the next byte, if it is a space, is SentencePiece's and not the text's.
    at_start: bool,
}

impl StreamDecoder {
    /// A decoder at the beginning of a text, or of an answer after a template.
    pub fn new(tokenizer: Arc<Tokenizer>) -> StreamDecoder {
        let at_start = tokenizer.has_leading_space();
        StreamDecoder { tokenizer, held: Vec::new(), at_start }
    }

    /// A decoder in the middle of a text, where a leading space is the text's own.
    pub fn continuing(tokenizer: Arc<Tokenizer>) -> StreamDecoder {
        StreamDecoder { tokenizer, held: Vec::new(), at_start: false }
    }

    /// Takes a token and returns the text that is now certain, often none. Control tokens have no text.
    pub fn push(&mut self, token: TokenId) -> String {
        if self.tokenizer.is_control(token) {
            return String::new();
        }
        let mut bytes = self.tokenizer.token_bytes(token);
        if self.at_start && !bytes.is_empty() {
            self.at_start = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.held.extend_from_slice(bytes);
        let certain = self.certain_len();
        let rest = self.held.split_off(certain);
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held = rest;
        text
    }

    /// The stream has ended: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }

    /// Length of the held bytes without an unfinished character at their end.
    fn certain_len(&self) -> usize {
        let unfinished = self.held.utf8_chunks().last().map_or(0, |chunk| {
            let invalid = chunk.invalid();
            // Invalid bytes at the very end may be the beginning of a character; bytes that can begin none are certain.
            match std::str::from_utf8(invalid) {
                Err(error) if error.error_len().is_none() => invalid.len(),
                _ => 0,
            }
        });
        self.held.len() - unfinished
    }
}
