//! The requests of a sensor, one after the other, as a scenario brings them and as the duty paces them.

use super::brick::Demand;
use super::flow::{Source, SourceKind};
use crate::duty::{Duty, Frames};
use crate::simulation::{Moving, Question, Scenario, motion, questions};

/// One sensor's requests to come.
pub(super) struct Arrivals<'a> {
    pub(super) source: &'a Source,
    questions: Vec<Question>,
    motion: Vec<Moving>,
    /// How long the timetable is, in seconds: then it begins again.
    period: f64,
    /// Tokens of an answer to what the graph asks itself, in the mean.
    answer: usize,
    next: usize,
    /// When the last picture was taken.
    taken: Option<f64>,
}

impl<'a> Arrivals<'a> {
    /// What `scenario` brings to a sensor, as `seed` draws it.
    pub(super) fn new(source: &'a Source, scenario: &Scenario, seed: u64) -> Arrivals<'a> {
        let answers = &scenario.prompts.answers;
        Arrivals {
            source,
            questions: questions(scenario, seed, &source.sensor),
            motion: motion(scenario, seed, &source.sensor),
            period: scenario.lasts.as_secs_f64(),
            answer: (answers.start() + answers.end()) as usize / 2,
            next: 0,
            taken: None,
        }
    }

    /// When the next request begins and what it brings, if the first brick is free from `free` on. Which one that is
    /// depends on what the duty has cameras do.
    pub(super) fn peek(&self, duty: &Duty, free: f64) -> Option<(f64, Demand)> {
        let (question, answer) = (self.source.standing, self.answer);
        let film = |at| (at, Demand { picture: self.source.picture, question: self.source.standing, answer });
        match self.source.kind {
            SourceKind::Once => {
                (self.next == 0).then_some((0.0, Demand { picture: self.source.picture, question, answer }))
            }
            SourceKind::People => {
                let round = (self.next / self.questions.len().max(1)) as f64;
                let asked = self.questions.get(self.next % self.questions.len().max(1))?;
                let demand = Demand {
                    picture: self.source.picture,
                    question: asked.tokens as usize,
                    answer: asked.answer as usize,
                };
                Some((round * self.period + asked.time.as_secs_f64(), demand))
            }
            SourceKind::Clockwork { every } => Some(film(self.taken.map_or(0.0, |taken| taken + every.as_secs_f64()))),
            SourceKind::Film { every } => {
                let step = every.as_secs_f64() / duty.frame_rate.clamp(0.001, 1.0);
                match duty.frames {
                    Frames::All => Some(film(newest(self.taken.map_or(0.0, |taken| taken + step), step, free))),
                    Frames::Moving => self.moving(step, free).map(film),
                }
            }
        }
    }

    /// What a request is like in the mean.
    pub(super) fn typical(&self) -> Demand {
        let count = self.questions.len().max(1);
        let asked = self.questions.iter().map(|question| question.tokens as usize).sum::<usize>() / count;
        let question = if self.source.kind == SourceKind::People { asked } else { self.source.standing };
        Demand { picture: self.source.picture, question, answer: self.answer }
    }

    /// The picture that is looked at next: the newest of those taken while the brick was busy, or else the next one that
    /// shows something moving.
    fn moving(&self, step: f64, free: f64) -> Option<f64> {
        if self.motion.is_empty() {
            return None;
        }
        let due = self.taken.map_or(0.0, |taken| taken + step);
        let mut round = (self.taken.unwrap_or(0.0) / self.period).floor();
        loop {
            for span in &self.motion {
                let from = round * self.period + span.time.as_secs_f64();
                let to = from + span.lasts.as_secs_f64();
                if to <= self.taken.unwrap_or(-1.0) {
                    continue;
                }
                // Something has moved since the last picture until one was taken after its end.
                let first = from.max(due);
                let last = first + ((to - first) / step).ceil().max(0.0) * step;
                // Those that come before the brick is free replace each other.
                return Some(newest(first, step, free.min(last)));
            }
            round += 1.0;
        }
    }

    pub(super) fn take(&mut self, at: f64) {
        self.next += 1;
        self.taken = Some(at);
    }
}

/// The last of the moments `first`, `first + step`, … up to `by`; the first, where that is later.
fn newest(first: f64, step: f64, by: f64) -> f64 {
    first + ((by - first) / step).floor().max(0.0) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_pictures_that_come_while_a_brick_is_busy_it_takes_the_newest() {
        assert_eq!(newest(10.0, 0.5, 12.3), 12.0);
        assert_eq!(newest(10.0, 0.5, 9.0), 10.0, "the brick waits for it");
        assert_eq!(newest(10.0, 0.5, 10.5), 10.5);
    }
}
