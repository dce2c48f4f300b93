//! What guesses by prompt lookup are worth: the same greedy text, with steps that guess more or fewer tokens ahead.

use std::sync::Arc;

use nanomind_hal::{Clock, Lane};

use super::BenchError;
use crate::language::{Counters, Generation, GenerationOptions, LanguageModel, Opening, PromptPart, Sequence};
use crate::sampler::Sampling;
use crate::tokenizer::{TokenId, Tokenizer};

/// A text that was generated with guesses of up to a number of tokens a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Guessing {
    /// Tokens that a step may guess; 0: none.
    pub speculate: usize,
    /// Nanoseconds of each run, from the end of the prompt to the last token.
    pub samples_ns: Vec<u64>,
    /// Steps that a run took.
    pub steps: usize,
    /// What was counted of a run.
    pub counters: Counters,
    /// The tokens that a run generated.
    pub tokens: Vec<TokenId>,
}

impl Guessing {
    /// Tokens a second of the fastest run.
    pub fn best_tokens_per_second(&self) -> f64 {
        let fastest = self.samples_ns.iter().min().copied().unwrap_or(0).max(1);
        self.counters.generated as f64 * 1e9 / fastest as f64
    }
}

/// Continues `prompt` by up to `max_tokens` tokens `repetitions` times for each of `speculate`, in turn, so that all meet
/// the same noise; `done` is told after each run.
///
/// # Errors
/// Prompt and answer do not fit the model.
#[expect(clippy::too_many_arguments, reason = "what is measured, on what, and how often")]
pub fn measure_guessing(
    model: &Arc<LanguageModel>,
    tokenizer: &Arc<Tokenizer>,
    lane: &Lane,
    clock: &Clock,
    prompt: &[TokenId],
    max_tokens: usize,
    speculate: &[usize],
    repetitions: usize,
    done: &mut dyn FnMut(),
) -> Result<Vec<Guessing>, BenchError> {
    let begin = |speculate| -> Result<Generation, BenchError> {
        let sequence = Sequence::new(model, prompt.len() + max_tokens)?;
        let options = GenerationOptions {
            sampling: Sampling::greedy(),
            max_tokens,
            speculate,
            ignore_end: true,
            opening: Opening::Continuation,
            ..GenerationOptions::default()
        };
        let prompt = vec![PromptPart::Tokens(prompt.to_vec())];
        let begun = Generation::new(model.clone(), tokenizer.clone(), sequence, prompt, &options);
        begun.map_err(|refused| refused.0.into())
    };
    let nothing = |speculate: &usize| Guessing {
        speculate: *speculate,
        samples_ns: Vec::new(),
        steps: 0,
        counters: Counters::default(),
        tokens: Vec::new(),
    };
    let mut found: Vec<Guessing> = speculate.iter().map(nothing).collect();
    for _ in 0..repetitions {
        for guessing in &mut found {
            let (mut generation, _) = begin(guessing.speculate)?.prefill_chunk(lane, usize::MAX);
            (guessing.steps, guessing.tokens) = (0, Vec::new());
            let start = clock.now();
            while generation.finished().is_none() {
                let step;
                (generation, step) = generation.decode(lane);
                guessing.steps += 1;
                guessing.tokens.extend(step.tokens);
            }
            guessing.samples_ns.push(u64::try_from(clock.now().since(start).as_nanos()).unwrap_or(u64::MAX));
            guessing.counters = generation.counters();
            done();
        }
    }
    Ok(found)
}
