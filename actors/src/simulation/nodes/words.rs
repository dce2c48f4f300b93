//! Texts that say nothing but how long they are: four bytes a token, which is also how a graph's own texts are counted.

use std::sync::Arc;

/// Bytes of a text for each of its tokens.
pub(super) const BYTES_A_TOKEN: usize = 4;

/// A question of so many tokens.
pub(super) fn question(tokens: u32) -> String {
    "ask ".repeat(tokens as usize)
}

/// A token of an answer.
pub(super) fn word() -> Arc<str> {
    "say ".into()
}

/// Tokens of a text.
pub(crate) fn tokens(text: &str) -> usize {
    text.len().div_ceil(BYTES_A_TOKEN)
}
