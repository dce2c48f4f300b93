//! How long the prompts of a conversation are, and how much of each the cache holds.

use std::collections::VecDeque;

use nanomind_graphs::{FieldError, PlannedNode};

use super::brick::count;
use crate::simulation::{TEMPLATE_TOKENS, TURN_TOKENS, tokens_of};

/// A conversation of which only the lengths are known.
pub(super) struct Conversation {
    /// Positions of the cache.
    context: usize,
    history: bool,
    forgets: bool,
    /// Positions before the first turn.
    opening: usize,
    /// Positions of each turn.
    turns: VecDeque<usize>,
    /// Positions that the cache holds.
    cached: usize,
}

/// Where a question comes to stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    /// Positions up to its end.
    pub(super) total: usize,
    /// Of those, positions that need not be read again.
    pub(super) reused: usize,
    /// The longest answer that there is room for.
    pub(super) room: usize,
}

impl Conversation {
    pub(super) fn of(node: &PlannedNode) -> Result<Conversation, FieldError> {
        let trained = node.model("model")?.context_length.and_then(|most| usize::try_from(most).ok());
        Ok(Conversation {
            context: count(node, "context")?.min(trained.unwrap_or(usize::MAX)),
            history: node.bool("history")?,
            forgets: node.choice("on_full")? != "refuse",
            opening: TEMPLATE_TOKENS + tokens_of(node.text("system")?),
            turns: VecDeque::new(),
            cached: 0,
        })
    }

    pub(super) fn opening(&self) -> usize {
        self.opening + TURN_TOKENS
    }

    /// Places a question of so many positions, forgetting the oldest turns if there is no room; `None` where it is refused.
    pub(super) fn place(&mut self, positions: usize) -> Option<Placed> {
        let new = TURN_TOKENS + positions;
        // At least one token of the answer must fit.
        while self.read() + new + 1 > self.context {
            if !self.forgets {
                return None;
            }
            self.turns.pop_front()?;
            self.cached = self.cached.min(self.opening);
        }
        let total = self.read() + new;
        Some(Placed { total, reused: self.cached.min(total - 1), room: self.context - total })
    }

    /// It was answered with so many tokens.
    pub(super) fn settle(&mut self, placed: Placed, answer: usize) {
        match self.history {
            true => {
                self.turns.push_back(placed.total + answer - self.read());
                self.cached = placed.total + answer;
            }
            false => self.cached = self.opening,
        }
    }

    /// The cache is gone; the turns are read again with the next question.
    pub(super) fn lose_cache(&mut self) {
        self.cached = 0;
    }

    fn read(&self) -> usize {
        self.opening + self.turns.iter().sum::<usize>()
    }
}
