//! Several requests that take their decode steps together.

use std::sync::Arc;

use nanomind_hal::{JobCost, Lane};

use super::generation::{Generation, Step};
use super::model::Reading;
use super::placed::Form;
use super::sequence::Sequence;
use crate::tokenizer::TokenId;

impl Generation {
    /// A decode step of each of `generations`, whose weights are read once for all of them. Each gets the tokens that it
    /// would get alone.
    ///
    /// # Panics
    /// They are not all of one model.
    pub fn decode_batch(lane: &Lane, generations: &mut [Generation]) -> Vec<Step> {
        let Some(model) = generations.first().map(|first| first.model.clone()) else { return Vec::new() };
        assert!(generations.iter().all(|one| Arc::ptr_eq(&one.model, &model)), "expected generations of one model");
        generations.iter_mut().for_each(|generation| generation.finish_prompt(lane));
        // One that draws wants logits, and then all get them.
        let form = match generations.iter().all(|one| one.form() == Form::Picks) {
            true => Form::Picks,
            false => Form::Logits,
        };
        let counts: Vec<usize> =
            generations.iter().map(|one| if one.reads() { one.reading.len() } else { 0 }).collect();
        let mut readings = Vec::with_capacity(generations.len());
        for Generation { sequence, reading, .. } in generations.iter_mut().filter(|one| one.reads()) {
            readings.push(Reading { sequence, tokens: reading });
        }
        if let Err(error) = model.read_batch(lane, &mut readings, form) {
            generations.iter_mut().filter(|one| one.reads()).for_each(|one| one.fail(error.clone()));
        }
        // The answers of all are in the first sequence that has read.
        let lender = counts.iter().position(|count| *count > 0);
        let mut answers = lender.map(|at| Answers::take(&mut generations[at].sequence)).unwrap_or_default();
        let (vocab, mut first) = (model.config().vocab, 0);
        let mut steps = Vec::with_capacity(generations.len());
        for (generation, count) in generations.iter_mut().zip(counts) {
            if count == 0 {
                let mut own = Answers::take(&mut generation.sequence);
                steps.push(generation.choose(&mut own.logits, &own.picks));
                own.give_back(&mut generation.sequence);
            } else {
                let rows = first..first + count;
                first = rows.end;
                let logits = answers.logits.get_mut(rows.start * vocab..rows.end * vocab).unwrap_or_default();
                steps.push(generation.choose(logits, answers.picks.get(rows).unwrap_or_default()));
            }
        }
        if let Some(at) = lender {
            answers.give_back(&mut generations[at].sequence);
        }
        steps
    }

    /// What [`Generation::decode_batch`] will cost.
    pub fn batch_cost(generations: &[Generation]) -> JobCost {
        let Some(first) = generations.first() else { return JobCost::default() };
        first.shape().decode_batch(generations.iter().map(|one| (one.reading.len(), one.sequence.len())))
    }
}

/// What a step gave, out of its sequence.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) logits: Vec<f32>,
    pub(super) picks: Vec<TokenId>,
}

impl Answers {
    pub(super) fn take(sequence: &mut Sequence) -> Answers {
        Answers { logits: std::mem::take(&mut sequence.logits), picks: std::mem::take(&mut sequence.picks) }
    }

    pub(super) fn give_back(self, sequence: &mut Sequence) {
        (sequence.logits, sequence.picks) = (self.logits, self.picks);
    }
}
