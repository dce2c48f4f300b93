//! What a language model remembers where only lengths count: turns as numbers of positions, and how many of them its cache
//! holds. Simulated models and forecasts go by it.

use std::collections::VecDeque;

use nanomind_graphs::{FieldError, PlannedNode};

use super::nodes::tokens;

/// Tokens that a chat template puts around a system message and before the first turn.
const TEMPLATE: usize = 16;
/// Tokens that a chat template puts around a question and its answer.
const TURN: usize = 8;

/// A conversation of which only the lengths are known. `P` is what a turn holds of each picture for as long as it is
/// remembered, such as its slots.
pub(crate) struct Dialogue<P> {
    /// Positions of the cache.
    context: usize,
    /// Pictures that the turns may show together.
    most_pictures: usize,
    history: bool,
    forgets: bool,
    /// Positions before the first turn.
    opening: usize,
    turns: VecDeque<Turn<P>>,
    /// Positions at the beginning that the cache holds.
    cached: usize,
}

/// A question with its pictures, and its answer.
struct Turn<P> {
    positions: usize,
    pictures: Vec<P>,
}

/// A question, placed in the conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placed {
    /// Positions up to the end of the question.
    pub(crate) total: usize,
    /// Of these, positions that the cache holds already.
    pub(crate) reused: usize,
    /// The longest answer that there is room for.
    pub(crate) room: usize,
}

/// A question that does not fit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TooLong {
    #[error("expected at most {context} tokens with the question (field context), found {found}")]
    Context { context: usize, found: usize },
    #[error("expected at most {most} pictures (field pictures), found {found}")]
    Pictures { most: usize, found: usize },
}

impl<P> Dialogue<P> {
    /// What the fields of an `Llm` make of it.
    pub(crate) fn of(plan: &PlannedNode) -> Result<Dialogue<P>, FieldError> {
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

    /// Positions up to the end of a first question of so many tokens and rows of pictures.
    pub(crate) fn first(&self, positions: usize) -> usize {
        self.opening + TURN + positions
    }

    /// Places a question of so many tokens, with so many rows of each of its pictures, after the turns, of which the oldest
    /// go if they must.
    pub(crate) fn place(&mut self, question: usize, pictures: &[usize]) -> Result<Placed, TooLong> {
        let new = TURN + question + pictures.iter().sum::<usize>();
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
    pub(crate) fn settle(&mut self, placed: Placed, answer: usize, pictures: Vec<P>) {
        self.cached = placed.total + answer;
        if self.history {
            self.turns.push_back(Turn { positions: placed.total + answer - self.read(), pictures });
        } else {
            self.cached = self.opening;
        }
    }

    /// The cache is gone; the turns are remembered and read again with the next question.
    pub(crate) fn lose_cache(&mut self) {
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

    fn dialogue(context: usize, history: bool) -> Dialogue<()> {
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

    fn turn(dialogue: &mut Dialogue<()>, question: usize, answer: usize) -> Placed {
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
