//! What is particular to SentencePiece vocabularies: `▁` for a space, byte tokens, and merges that are only implied.

use std::cmp::Reverse;

use super::TokenId;
use super::vocabulary::{TOKENS_KEY, TokenKind, Tokens};
use crate::gguf::{Gguf, GgufError, GgufProblem};

/// Stands for a space.
pub(super) const SPACE: &str = "▁";

const SCORES_KEY: &str = "tokenizer.ggml.scores";

/// The byte of a token like `<0x0A>`.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    // `from_str_radix` would also take a sign.
    let hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// The text as the vocabulary spells it. As in llama.cpp, each piece between special tokens gets the leading space.
pub(super) fn spell(text: &str, leading_space: bool) -> String {
    let spelled = text.replace(' ', SPACE);
    if leading_space { format!("{SPACE}{spelled}") } else { spelled }
}

/// Every token is cut at each of its characters to find the merges, which takes the square of its length.
const MAX_TOKEN_BYTES: usize = 512;

/// One score for each token, and no token longer than what can be cut.
pub(super) fn read_scores(gguf: &Gguf, tokens: &Tokens<'_>) -> Result<Vec<f32>, GgufError> {
    let count = tokens.texts.len();
    if let Some((id, text)) = tokens.texts.iter().enumerate().find(|(_, text)| text.len() > MAX_TOKEN_BYTES) {
        let expected = format!("tokens of at most {MAX_TOKEN_BYTES} bytes");
        let found = format!("{} bytes in token {id}", text.len());
        return Err(gguf.error(TOKENS_KEY, GgufProblem::Inconsistent { expected, found }));
    }
    let scores = gguf.get_array(SCORES_KEY)?.to_f32s().map_err(|problem| gguf.error(SCORES_KEY, problem))?;
    if scores.len() == count {
        return Ok(scores);
    }
    let expected = format!("one score for each of {count} tokens");
    Err(gguf.error(SCORES_KEY, GgufProblem::Inconsistent { expected, found: scores.len().to_string() }))
}

/// A merge that a vocabulary implies.
struct Implied {
    left: TokenId,
    right: TokenId,
    /// Score of the token that they join to.
    score: f32,
    /// Lengths in characters, which order merges of equal score.
    lengths: (usize, usize),
}

/// All merges of two tokens that join to a third, best first, in the order in which HF's converter writes them.
///
/// SentencePiece merges whatever joins to the token with the best score; a merge list says the same when it holds
/// every way to cut each token in two, ordered by score.
pub(super) fn implied_merges(tokens: &Tokens<'_>, scores: &[f32]) -> Vec<(TokenId, TokenId)> {
    let mergeable = |id: TokenId| matches!(tokens.kind(id), TokenKind::Normal | TokenKind::Unused);
    let mut merges = Vec::new();
    let mut of_token: Vec<Implied> = Vec::new();
    for (id, &text) in tokens.texts.iter().enumerate().filter(|&(id, _)| mergeable(id as TokenId)) {
        let length = text.chars().count();
        let cuts = text.char_indices().enumerate().skip(1).filter_map(|(chars, (at, _))| {
            let left = *tokens.ids.get(&text[..at])?;
            let right = *tokens.ids.get(&text[at..])?;
            let lengths = (chars, length - chars);
            (mergeable(left) && mergeable(right)).then_some(Implied { left, right, score: scores[id], lengths })
        });
        of_token.extend(cuts);
        of_token.sort_by_key(|merge| (merge.left, merge.right));
        merges.append(&mut of_token);
    }
    merges.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| Reverse(a.lengths).cmp(&Reverse(b.lengths))));
    merges.into_iter().map(|merge| (merge.left, merge.right)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_tokens_are_told_from_text() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        for text in ["<0x0>", "<0x0G>", "<0x+1>", "0x0A", "<0x0AA>", "<s>"] {
            assert_eq!(byte_of(text), None, "{text}");
        }
    }

    #[test]
    fn spaces_are_spelled_out() {
        assert_eq!(spell("a  b", true), "▁a▁▁b");
        assert_eq!(spell(" a", false), "▁a");
    }
}
