//! Special tokens in text: found before anything else is done, or left as the text that they look like.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::TokenId;
use super::vocabulary::{TokenKind, Tokens};

/// Whether text may contain control tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// `<|im_start|>` in the text is the control token: for what a chat template wrote.
    Parse,
    /// `<|im_start|>` in the text is ordinary text: for what a user wrote.
    Plain,
}

/// A piece of text between special tokens, or one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Token(TokenId),
}

/// Finds special tokens, the longest at each place.
pub(super) struct SpecialFinder {
    /// Control, unknown and user-defined tokens.
    all: Needles,
    /// User-defined tokens, which are text that is always one token.
    user_defined: Needles,
}

struct Needles {
    /// `None` when there is nothing to find.
    automaton: Option<AhoCorasick>,
    ids: Vec<TokenId>,
}

impl SpecialFinder {
    pub(super) fn new(tokens: &Tokens<'_>) -> Result<SpecialFinder, aho_corasick::BuildError> {
        let of_kinds = |kinds: &[TokenKind]| {
            let ids = (0..tokens.texts.len() as TokenId).filter(|&id| kinds.contains(&tokens.kind(id)));
            Needles::new(tokens, ids.collect())
        };
        Ok(SpecialFinder {
            all: of_kinds(&[TokenKind::Control, TokenKind::Unknown, TokenKind::UserDefined])?,
            user_defined: of_kinds(&[TokenKind::UserDefined])?,
        })
    }

    /// Cuts `text` at special tokens; no piece of text is empty.
    pub(super) fn split<'t>(&self, text: &'t str, special: Special) -> Vec<Piece<'t>> {
        let needles = match special {
            Special::Parse => &self.all,
            Special::Plain => &self.user_defined,
        };
        let mut pieces = Vec::new();
        let mut from = 0;
        if let Some(automaton) = &needles.automaton {
            for found in automaton.find_iter(text) {
                if found.start() > from {
                    pieces.push(Piece::Text(&text[from..found.start()]));
                }
                pieces.push(Piece::Token(needles.ids[found.pattern().as_usize()]));
                from = found.end();
            }
        }
        if from < text.len() {
            pieces.push(Piece::Text(&text[from..]));
        }
        pieces
    }
}

impl Needles {
    fn new(tokens: &Tokens<'_>, mut ids: Vec<TokenId>) -> Result<Needles, aho_corasick::BuildError> {
        ids.retain(|&id| !tokens.texts[id as usize].is_empty());
        let automaton = if ids.is_empty() {
            None
        } else {
            let texts = ids.iter().map(|&id| tokens.texts[id as usize]);
            Some(AhoCorasickBuilder::new().match_kind(MatchKind::LeftmostLongest).build(texts)?)
        };
        Ok(Needles { automaton, ids })
    }
}
