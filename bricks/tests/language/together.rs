//! Several tokens at a time: guesses change no token, and answers that are given together are those given alone.

use std::sync::Arc;

use nanomind_bricks::language::{
    Counters, FinishReason, Generation, GenerationOptions, HistoryEntry, LanguageModel, PromptPart, Sequence,
};
use nanomind_bricks::{Sampling, TokenId, Tokenizer};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture;

const MODEL: &str = "qwen2_tied_gqa_q4_0";

struct Setup {
    model: Arc<LanguageModel>,
    tokenizer: Arc<Tokenizer>,
}

fn setup() -> Setup {
    let model = Arc::new(fixture::model(MODEL, Isa::detect()));
    let tokenizer = Arc::new(Tokenizer::from_gguf(&fixture::gguf(MODEL)).unwrap());
    Setup { model, tokenizer }
}

impl Setup {
    fn begin(&self, context: usize, prompt: &[TokenId], options: &GenerationOptions) -> Generation {
        let sequence = Sequence::with_chunk(&self.model, context, 8).unwrap();
        let prompt = vec![PromptPart::Tokens(prompt.to_vec())];
        Generation::new(self.model.clone(), self.tokenizer.clone(), sequence, prompt, options)
            .unwrap_or_else(|refused| panic!("{}", refused.0))
    }

    /// A prompt of plain bytes that repeats some of itself.
    fn prompt(&self, seed: u64) -> Vec<TokenId> {
        let mut prompt = fixture::tokens(10 + seed as usize % 17, 256, seed);
        prompt.extend_from_within(2..8);
        prompt
    }
}

/// All that can be seen of an answer, and what its sequence holds.
#[derive(Debug, PartialEq)]
struct Outcome {
    tokens: Vec<TokenId>,
    text: String,
    reason: FinishReason,
    history: Vec<HistoryEntry>,
}

fn outcome(generation: Generation, tokens: Vec<TokenId>) -> Outcome {
    let (text, reason) = (generation.text().to_owned(), generation.finished().expect("it has ended"));
    Outcome { tokens, text, reason, history: generation.into_sequence().history().to_vec() }
}

fn alone(mut generation: Generation, lane: &Lane) -> (Outcome, Counters) {
    let mut tokens = Vec::new();
    while generation.finished().is_none() {
        let step;
        (generation, step) = generation.decode(lane);
        tokens.extend(step.tokens);
    }
    let counters = generation.counters();
    (outcome(generation, tokens), counters)
}

fn samplings() -> [Sampling; 3] {
    let drawn = Sampling { top_k: 3, top_p: 1.0, min_p: 0.0, temperature: 2.0, seed: 3, ..Sampling::default() };
    [Sampling::greedy(), Sampling { repeat_penalty: 1.05, ..Sampling::greedy() }, drawn]
}

#[test]
fn guesses_change_nothing_of_an_answer_but_the_number_of_its_steps() {
    let setup = setup();
    let lane = Lane::spawn(2, None).unwrap();
    let (mut guessed, mut right) = (0, 0);
    for seed in 0..40 {
        let prompt = setup.prompt(seed);
        let sampling = samplings()[seed as usize % 3].clone();
        // Some end by the number of tokens, some by the context, some by a token that ends the text, some by a stop text.
        let context = [400, 70][seed as usize % 2];
        let mut options = GenerationOptions { sampling, max_tokens: 90, ..GenerationOptions::default() };
        let (plain, _) = alone(setup.begin(context, &prompt, &options), &lane);
        if seed % 4 == 0
            && let Some((at, _)) = plain.text.char_indices().nth(plain.text.chars().count() / 2)
        {
            options.stop = plain.text[at..].chars().next().map(|end| end.to_string()).into_iter().collect();
        }
        let (plain, before) = alone(setup.begin(context, &prompt, &options), &lane);
        assert_eq!((before.guessed, before.right), (0, 0));
        for speculate in [1, 4, 11] {
            let options = GenerationOptions { speculate, ..options.clone() };
            let (found, counters) = alone(setup.begin(context, &prompt, &options), &lane);
            assert_eq!(found, plain, "prompt {seed}, {speculate} guesses");
            assert_eq!(counters.generated, before.generated);
            assert!(counters.right <= counters.guessed, "{counters:?}");
            (guessed, right) = (guessed + counters.guessed, right + counters.right);
        }
    }
    assert!(right > 500 && guessed > right, "of {guessed} guesses {right} were right: the test has seen both kinds");
}

#[test]
fn answers_given_together_are_those_given_alone_whoever_joins_and_leaves() {
    let setup = setup();
    let lane = Lane::spawn(2, None).unwrap();
    let options = |answer: u64| GenerationOptions {
        sampling: Sampling { seed: answer, ..samplings()[answer as usize % 3].clone() },
        max_tokens: 5 + 9 * (answer as usize % 5),
        ignore_end: answer.is_multiple_of(2),
        speculate: [0, 0, 6][answer as usize / 3 % 3],
        ..GenerationOptions::default()
    };
    let begin = |answer: u64| setup.begin(50 + answer as usize, &setup.prompt(answer), &options(answer));
    let expected: Vec<Outcome> = (0..12).map(|answer| alone(begin(answer), &Lane::single()).0).collect();

    let mut waiting = 0..12u64;
    let mut active: Vec<(u64, Vec<TokenId>)> = Vec::new();
    let mut generations: Vec<Generation> = Vec::new();
    let mut found: Vec<Option<Outcome>> = (0..12).map(|_| None).collect();
    let mut most = 0;
    while found.iter().any(Option::is_none) {
        // One joins a step, as long as there are fewer than five.
        if generations.len() < 5
            && let Some(answer) = waiting.next()
        {
            active.push((answer, Vec::new()));
            generations.push(begin(answer));
        }
        most = most.max(generations.len());
        let steps = Generation::decode_batch(&lane, &mut generations);
        assert_eq!(steps.len(), generations.len());
        for (at, step) in steps.into_iter().enumerate().rev() {
            active[at].1.extend(step.tokens);
            if step.finished.is_some() {
                let (answer, tokens) = active.remove(at);
                found[answer as usize] = Some(outcome(generations.remove(at), tokens));
            }
        }
    }
    assert_eq!(most, 5);
    for (answer, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        assert_eq!(found, Some(expected), "answer {answer}");
    }
    assert!(Generation::decode_batch(&lane, &mut []).is_empty());
}

#[test]
fn a_step_of_several_reads_the_weights_once() {
    let setup = setup();
    let lane = Lane::single();
    let options = GenerationOptions { ignore_end: true, max_tokens: 9, ..GenerationOptions::default() };
    let mut four: Vec<Generation> = (0..4).map(|seed| setup.begin(99, &setup.prompt(seed), &options)).collect();
    Generation::decode_batch(&lane, &mut four);
    let (one, all) = (four[0].decode_cost(), Generation::batch_cost(&four));
    assert_eq!(one, setup.model.shape().decode(four[0].sequence().len()));
    assert!(all.bytes < one.bytes + one.bytes / 2, "{all:?} and {one:?}");
    assert!(all.flops > 3 * one.flops && all.flops < 5 * one.flops, "{all:?} and {one:?}");
    assert_eq!(Generation::batch_cost(&[]), Default::default());
}
