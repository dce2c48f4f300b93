//! The merges of a tokenizer, and the scores that stand for them in a SentencePiece vocabulary.

use std::collections::{HashMap, HashSet};

use super::tokens::Tokens;
use crate::convert::error::InputError;
use crate::convert::json::Json;
use crate::tokenizer::TokenKind;

/// Every token is cut at each of its characters, which takes the square of its length; readers have the same bound.
const MAX_TOKEN_BYTES: usize = 512;
/// Of an added token in a SentencePiece vocabulary, as llama.cpp's converter has it.
const ADDED_SCORE: f32 = -1000.0;

/// Two tokens that join to a third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Merge {
    left: u32,
    right: u32,
    joined: u32,
}

impl Merge {
    /// As a GGUF file has it.
    pub(super) fn text(&self, tokens: &Tokens) -> String {
        format!("{} {}", tokens.text(self.left), tokens.text(self.right))
    }
}

/// Reads `model.merges`, in either of its spellings: `"a b"` or `["a", "b"]`. All three tokens must be there.
pub(super) fn read(model: &Json<'_>, tokens: &Tokens) -> Result<Vec<Merge>, InputError> {
    let field = model.get("merges", "an array")?;
    let items = field.value().as_array().ok_or_else(|| field.unlike("an array"))?;
    let mut merges = Vec::with_capacity(items.len());
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        let wrong = |expected: &str| field.unlike_found(expected, format!("{item} at {index}"));
        let pair = match (item.as_str(), item.as_array().map(Vec::as_slice)) {
            (Some(text), _) => text.split_once(' '),
            (_, Some([left, right])) => left.as_str().zip(right.as_str()),
            _ => None,
        };
        let (left, right) = pair.ok_or_else(|| wrong("pairs of tokens"))?;
        if left.contains(' ') || right.contains(' ') {
            return Err(wrong("tokens without spaces"));
        }
        joined.clear();
        joined.extend([left, right]);
        let ids = [left, right, &joined].map(|text| tokens.id(text));
        let [Some(left), Some(right), Some(joined)] = ids else {
            return Err(wrong("two tokens of the vocabulary that join to a third"));
        };
        merges.push(Merge { left, right, joined });
    }
    Ok(merges)
}

/// Scores with which SentencePiece, which merges whatever joins to the best token, does what the merges say.
///
/// That is only so where the merges were made from scores in the first place: sorted by what they join to, and every
/// way to cut a token in two among them. Hugging Face's converter makes them so; others are refused.
pub(super) fn scores(model: &Json<'_>, tokens: &Tokens, merges: &[Merge]) -> Result<Vec<f32>, InputError> {
    let field = model.get("merges", "an array")?;
    every_cut_is_a_merge(&field, tokens, merges)?;
    let ranks = ranks(&field, tokens, merges)?;
    let unmerged = merges.len();
    let score = |id: u32| match tokens.kind(id) {
        TokenKind::Normal => -(ranks.get(&id).copied().unwrap_or(unmerged) as f32),
        TokenKind::Byte => 0.0,
        _ => ADDED_SCORE,
    };
    Ok((0..tokens.len() as u32).map(score).collect())
}

/// Which tokens come before which: a rank for each token that merges join to.
///
/// Tokens whose merges lie among each other had one score, as Llama's runs of spaces; between equals, the longer merge
/// goes first.
fn ranks(field: &Json<'_>, tokens: &Tokens, merges: &[Merge]) -> Result<HashMap<u32, usize>, InputError> {
    let last: HashMap<u32, usize> = merges.iter().enumerate().map(|(index, merge)| (merge.joined, index)).collect();
    let chars = |id: u32| tokens.text(id).chars().count();
    let lengths = |merge: &Merge| (chars(merge.left), chars(merge.right));
    let mut ranks = HashMap::with_capacity(last.len());
    let mut first = 0;
    while first < merges.len() {
        // All merges up to the last one of every token among them.
        let (mut end, mut next) = (first + 1, first);
        while next < end {
            end = end.max(last[&merges[next].joined] + 1);
            next += 1;
        }
        let equals = &merges[first..end];
        let is_one_token = equals.iter().all(|merge| merge.joined == equals[0].joined);
        let longer_later = equals.windows(2).position(|pair| lengths(&pair[0]) < lengths(&pair[1]));
        if let Some(at) = longer_later.filter(|_| !is_one_token) {
            let found =
                format!("{:?} at {}, after merges of other tokens", equals[at + 1].text(tokens), first + at + 1);
            return Err(field.unlike_found("merges sorted by what they join to, as SentencePiece's are", found));
        }
        ranks.extend(equals.iter().map(|merge| (merge.joined, first)));
        first = end;
    }
    Ok(ranks)
}

/// A cut that is no merge would become one in a vocabulary with scores.
fn every_cut_is_a_merge(field: &Json<'_>, tokens: &Tokens, merges: &[Merge]) -> Result<(), InputError> {
    let listed: HashSet<Merge> = merges.iter().copied().collect();
    let normal = |text: &str| tokens.id(text).filter(|id| tokens.kind(*id) == TokenKind::Normal);
    for joined in (0..tokens.len() as u32).filter(|id| tokens.kind(*id) == TokenKind::Normal) {
        let text = tokens.text(joined);
        if text.len() > MAX_TOKEN_BYTES {
            let found = format!("{} bytes in token {joined}", text.len());
            return Err(field.unlike_found(format!("tokens of at most {MAX_TOKEN_BYTES} bytes"), found));
        }
        for (at, _) in text.char_indices().skip(1) {
            let (Some(left), Some(right)) = (normal(&text[..at]), normal(&text[at..])) else { continue };
            let merge = Merge { left, right, joined };
            if !listed.contains(&merge) {
                let expected = "every way to cut a token in two, as SentencePiece's merges are";
                return Err(field.unlike_found(expected, format!("none of {:?}", merge.text(tokens))));
            }
        }
    }
    Ok(())
}
