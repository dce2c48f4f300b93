//! What a simulated language model remembers: turns as numbers of positions, and how many of them its cache holds.

use std::collections::VecDeque;

use nanomind_graphs::{FieldError, PlannedNode};

use super::words::tokens;
use crate::packet::Embeddings;

/// Tokens that a chat template puts around a system message and before the first turn.
pub(crate) const TEMPLATE: usize = 16;
/// Tokens that a chat template puts around a question and its answer.
pub(crate) const TURN: usize = 8;

/// A conversation of which only the lengths are known.
pub(super) struct Dialogue {
    /// Positions of the cache.
    context: usize,
    /// Pictures that the turns may show together.
    most_pictures: usize,
    history: bool,
    forgets: bool,
    /// Positions before the first turn.
    opening: usize,
    turns: VecDeque<Turn>,
    /// Positions at the beginning that the cache holds.
    cached: usize,
}

/// A question with its pictures, and its answer.
struct Turn {
    positions: usize,
    /// Their slots are held for as long as the turn is remembered.
    pictures: Vec<Embeddings>,
}

/// A question, placed in the conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    /// Positions up to the end of the question.
    pub(super) total: usize,
    /// Of these, positions that the cache holds already.
    pub(super) reused: usize,
    /// The longest answer that there is room for.
    pub(super) room: usize,
}

/// A question that does not fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TooLong {
    #[error("expected at most {context} tokens with the question (field context), found {found}")]
    Context { context: usize, found: usize },
    #[error("expected at most {most} pictures (field pictures), found {found}")]
    Pictures { most: usize, found: usize },
}

impl Dialogue {
    /// What the fields of an `Llm` make of it.
    pub(super) fn of(plan: &PlannedNode) -> Result<Dialogue, FieldError> {
        let trained = plan.model("model")?.context_length.and_then(|most| usize::try_from(most).ok());
        // Bounds are those of the specification, so that no conversion clips.
        let count = |field| plan.integer(field).map(|value| usize::try_from(value).unwrap_or(0));
        Ok(Dialogue {
            context: count("context")?.min(trained.unwrap_or(usize::MAX)),
            most_pictures: count("pictures")?,
            history: plan.bool("history")?,
            forgets: plan.choice("on_full")? != "refuse",
            opening: TEMPLATE + tokens(plan.text("system")?),
            turns: VecDeque::new(),
            cached: 0,
        })
    }

    /// Places a question of so many tokens with its pictures after the turns, of which the oldest go if they must.
    pub(super) fn place(&mut self, question: usize, pictures: &[Embeddings]) -> Result<Placed, TooLong> {
        let rows: usize = pictures.iter().map(|picture| picture.rows.tokens()).sum();
        let new = TURN + question + rows;
        if pictures.len() > self.most_pictures {
            return Err(TooLong::Pictures { most: self.most_pictures, found: pictures.len() });
        }
        // At least one token of the answer must fit.
        while self.read() + new + 1 > self.context || self.shown() + pictures.len() > self.most_pictures {
            if !self.forgets || self.turns.pop_front().is_none() {
                return Err(TooLong::Context { context: self.context, found: self.read() + new + 1 });
            }
            self.cached = self.cached.min(self.opening);
        }
        let total = self.read() + new;
        // The last position is read in any case: its logits say how the answer begins.
        Ok(Placed { total, reused: self.cached.min(total - 1), room: self.context - total })
    }

    /// The question was answered with so many tokens, or given up with as many.
    pub(super) fn settle(&mut self, placed: Placed, answer: usize, pictures: Vec<Embeddings>) {
        self.cached = placed.total + answer;
        if self.history {
            self.turns.push_back(Turn { positions: placed.total + answer - self.read(), pictures });
        } else {
            self.cached = self.opening;
        }
    }

    /// The cache is gone; the turns are remembered and read again with the next question.
    pub(super) fn lose_cache(&mut self) {
        self.cached = 0;
    }

    /// Positions of the turns, and what stands before them.
    fn read(&self) -> usize {
        self.opening + self.turns.iter().map(|turn| turn.positions).sum::<usize>()
    }

    /// Pictures of the turns.
    fn shown(&self) -> usize {
        self.turns.iter().map(|turn| turn.pictures.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue(context: usize, history: bool) -> Dialogue {
        Dialogue {
            context,
            most_pictures: 2,
            history,
            forgets: true,
            opening: TEMPLATE,
            turns: VecDeque::new(),
            cached: 0,
        }
    }

    fn turn(dialogue: &mut Dialogue, question: usize, answer: usize) -> Placed {
        let placed = dialogue.place(question, &[]).unwrap();
        dialogue.settle(placed, answer, Vec::new());
        placed
    }

    #[test]
    fn what_was_read_and_said_is_not_read_again_unless_the_cache_is_lost() {
        let mut dialogue = dialogue(1000, true);
        assert_eq!(turn(&mut dialogue, 10, 20), Placed { total: 34, reused: 0, room: 966 });
        assert_eq!(turn(&mut dialogue, 10, 20), Placed { total: 72, reused: 54, room: 928 });
        dialogue.lose_cache();
        assert_eq!(turn(&mut dialogue, 10, 20).reused, 0);
    }

    #[test]
    fn without_history_only_the_opening_is_reused() {
        let mut dialogue = dialogue(1000, false);
        turn(&mut dialogue, 10, 20);
        assert_eq!(turn(&mut dialogue, 10, 20), Placed { total: 34, reused: TEMPLATE, room: 966 });
    }

    #[test]
    fn the_oldest_turns_are_forgotten_when_the_context_is_full() {
        let mut dialogue = dialogue(100, true);
        turn(&mut dialogue, 10, 20);
        turn(&mut dialogue, 10, 20);
        let placed = turn(&mut dialogue, 10, 5);
        assert_eq!(placed, Placed { total: 72, reused: TEMPLATE, room: 28 });
        assert_eq!(dialogue.place(80, &[]), Err(TooLong::Context { context: 100, found: 105 }));
    }
}
