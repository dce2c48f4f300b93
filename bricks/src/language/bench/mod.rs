//! Measures prefill and decode of a model as `llama-bench` does, so that the two compare line by line, and perplexity as
//! `llama-perplexity` does.

mod perplexity;
mod record;
mod speculation;

use nanomind_hal::{Clock, Lane};
use nanomind_kernels::KvFormat;

use crate::language::{
    DEFAULT_CHUNK, LanguageModel, Logits, Reading, Segment, Sequence, SequenceError, SequenceOptions, StepError,
};
use crate::tokenizer::TokenId;

pub use perplexity::{Passage, Perplexity};
pub use record::{Record, utc};
pub use speculation::{Guessing, measure_guessing};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Reading a prompt of so many random tokens.
    Prefill(usize),
    /// Generating so many tokens one by one.
    Decode(usize),
    /// Generating so many tokens one by one in each of several sequences, which take their steps together.
    DecodeBatch {
        /// Tokens of each sequence.
        tokens: usize,
        /// Sequences.
        sequences: usize,
    },
}

impl Workload {
    /// Tokens of one run.
    pub fn tokens(self) -> usize {
        match self {
            Workload::Prefill(tokens) | Workload::Decode(tokens) => tokens,
            Workload::DecodeBatch { tokens, sequences } => tokens * sequences,
        }
    }

    /// Sequences that are moved on together.
    pub fn sequences(self) -> usize {
        match self {
            Workload::Prefill(_) | Workload::Decode(_) => 1,
            Workload::DecodeBatch { sequences, .. } => sequences,
        }
    }
}

/// Under what conditions it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// Positions that are computed at once.
    pub chunk: usize,
    /// Positions that were read before the run, which takes no part in its time.
    pub depth: usize,
    /// How keys and values are kept.
    pub kv_cache: KvFormat,
}

impl Default for Conditions {
    /// From an empty sequence whose keys and values are kept in half precision.
    fn default() -> Conditions {
        Conditions { chunk: DEFAULT_CHUNK, depth: 0, kv_cache: KvFormat::F16 }
    }
}

/// Why nothing could be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// No sequence of that length.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Nothing of a window would be scored.
    #[error("windows of {context} tokens: expected at least 3, one to read, one to score and one between")]
    WindowTooShort {
        /// Tokens of a window.
        context: usize,
    },
    /// The text does not fill one window.
    #[error("a text of {tokens} tokens: expected at least the {context} of one window")]
    TextTooShort {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        context: usize,
    },
}

/// Times of one workload on one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub workload: Workload,
    /// Threads of the lane.
    pub threads: usize,
    /// Under what conditions; the chunk is the one that the sequence has.
    pub conditions: Conditions,
    /// Nanoseconds of each run.
    pub samples_ns: Vec<u64>,
}

impl Measurement {
    /// Tokens a second of each run.
    pub fn samples_ts(&self) -> Vec<f64> {
        self.samples_ns.iter().map(|ns| self.workload.tokens() as f64 * 1e9 / (*ns).max(1) as f64).collect()
    }

    /// Mean and sample standard deviation of the times, in nanoseconds.
    pub fn nanoseconds(&self) -> Spread {
        Spread::of(&self.samples_ns.iter().map(|ns| *ns as f64).collect::<Vec<_>>())
    }

    /// Mean and sample standard deviation of the speeds, in tokens a second.
    pub fn tokens_per_second(&self) -> Spread {
        Spread::of(&self.samples_ts())
    }
}

/// Mean and sample standard deviation; the latter is 0 for fewer than two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean of the samples; 0 for none.
    pub mean: f64,
    /// Sample standard deviation.
    pub deviation: f64,
}

impl Spread {
    /// The spread of some samples.
    pub fn of(samples: &[f64]) -> Spread {
        let count = samples.len() as f64;
        if samples.is_empty() {
            return Spread { mean: 0.0, deviation: 0.0 };
        }
        let mean = samples.iter().sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
        Spread { mean, deviation: if samples.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 } }
    }
}

/// Runs `workload` once to warm up and then `repetitions` times, each from a sequence of `conditions.depth` positions, which
/// are read once; `done` is told after each run.
pub fn measure(
    model: &LanguageModel,
    lane: &Lane,
    clock: &Clock,
    workload: Workload,
    conditions: Conditions,
    repetitions: usize,
    done: &mut dyn FnMut(),
) -> Result<Measurement, BenchError> {
    let Conditions { chunk, depth, kv_cache } = conditions;
    let tokens = random_tokens(depth + workload.tokens() / workload.sequences().max(1), model.config().vocab);
    let options = SequenceOptions { context: tokens.len().max(1), chunk, kv_cache };
    let sequence = |_| Sequence::with_options(model, options);
    let mut sequences = (0..workload.sequences()).map(sequence).collect::<Result<Vec<_>, _>>()?;
    let (before, tokens) = tokens.split_at(depth);
    for sequence in sequences.iter_mut().filter(|_| depth > 0) {
        model.prefill(lane, sequence, &[Segment::Tokens(before)], Logits::None)?;
    }
    let warm_up = match workload {
        Workload::Prefill(_) => tokens,
        // One token touches all weights; the rest would only take time.
        Workload::Decode(_) | Workload::DecodeBatch { .. } => &tokens[..tokens.len().min(1)],
    };
    run(model, lane, &mut sequences, workload, warm_up)?;
    done();
    let mut samples_ns = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        sequences.iter_mut().for_each(|sequence| sequence.truncate(depth));
        let start = clock.now();
        run(model, lane, &mut sequences, workload, tokens)?;
        samples_ns.push(u64::try_from(clock.now().since(start).as_nanos()).unwrap_or(u64::MAX));
        done();
    }
    let conditions = Conditions { chunk: sequences.first().map_or(chunk, Sequence::chunk), ..conditions };
    Ok(Measurement { workload, threads: lane.threads(), conditions, samples_ns })
}

fn run(
    model: &LanguageModel,
    lane: &Lane,
    sequences: &mut [Sequence],
    workload: Workload,
    tokens: &[TokenId],
) -> Result<(), StepError> {
    // As a greedy answer would have it: on a device that can pick tokens, logits stay there.
    let form = model.greedy_form();
    match (workload, sequences) {
        (Workload::Prefill(_), [sequence]) => {
            let segments = [Segment::Tokens(tokens)];
            model.check(sequence, &segments)?;
            model.read(lane, sequence, &segments, 0..tokens.len(), Logits::Last, form)?;
        }
        (Workload::Decode(_), [sequence]) => {
            for token in tokens.chunks(1) {
                let segments = [Segment::Tokens(token)];
                model.check(sequence, &segments)?;
                model.read(lane, sequence, &segments, 0..1, Logits::All, form)?;
            }
        }
        (_, sequences) => {
            for tokens in tokens.chunks(1) {
                let readings = sequences.iter_mut().map(|sequence| Reading { sequence, tokens });
                model.read_batch(lane, &mut readings.collect::<Vec<_>>(), form)?;
            }
        }
    }
    Ok(())
}

/// The same random tokens in every run, so that runs compare.
fn random_tokens(count: usize, vocab: usize) -> Vec<TokenId> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % vocab as u64) as TokenId
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        assert_eq!(Spread::of(&[2.0, 4.0, 6.0]), Spread { mean: 4.0, deviation: 2.0 });
        assert_eq!(Spread::of(&[3.0]), Spread { mean: 3.0, deviation: 0.0 });
        assert_eq!(Spread::of(&[]), Spread { mean: 0.0, deviation: 0.0 });
    }

    #[test]
    fn random_tokens_stay_inside_the_vocabulary_and_do_not_change() {
        let tokens = random_tokens(1000, 7);
        assert!(tokens.iter().all(|token| *token < 7));
        assert_eq!(tokens, random_tokens(1000, 7));
        assert!((0..7).all(|token| tokens.contains(&token)), "every token comes up");
    }
}
