//! A request: its tokens do not depend on how its steps are cut or where they run, and it ends for the right reason.

use std::sync::Arc;
use std::thread;

use nanomind_bricks::language::{
    FinishReason, Generation, GenerationOptions, LanguageModel, Opening, PromptPart, Sequence, StepError,
};
use nanomind_bricks::{Sampling, TokenId, Tokenizer};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture;

const MODEL: &str = "qwen2_tied_gqa_q4_0";

struct Setup {
    model: Arc<LanguageModel>,
    tokenizer: Arc<Tokenizer>,
    prompt: Vec<TokenId>,
}

fn setup() -> Setup {
    let model = Arc::new(fixture::model(MODEL, Isa::detect()));
    let tokenizer = Arc::new(Tokenizer::from_gguf(&fixture::gguf(MODEL)).unwrap());
    // Plain bytes only: no special tokens in the prompt.
    let prompt = fixture::tokens(50, 256, 11);
    Setup { model, tokenizer, prompt }
}

impl Setup {
    fn begin(&self, context: usize, options: &GenerationOptions) -> Generation {
        let sequence = Sequence::with_chunk(&self.model, context, 32).unwrap();
        let prompt = vec![PromptPart::Tokens(self.prompt.clone())];
        Generation::new(self.model.clone(), self.tokenizer.clone(), sequence, prompt, options)
            .unwrap_or_else(|refused| panic!("{}", refused.0))
    }
}

fn options(sampling: Sampling, max_tokens: usize) -> GenerationOptions {
    GenerationOptions { sampling, max_tokens, ignore_end: true, ..GenerationOptions::default() }
}

/// Runs to the end on one lane; gives the tokens, the text of all steps and the reason.
fn finish(mut generation: Generation, lane: &Lane) -> (Vec<TokenId>, String, FinishReason) {
    let (mut tokens, mut text) = (Vec::new(), String::new());
    loop {
        let (next, step) = generation.decode(lane);
        tokens.extend(step.tokens);
        text.push_str(&step.text_delta);
        generation = next;
        if let Some(reason) = step.finished {
            assert_eq!(generation.text(), text, "the pieces are the text");
            return (tokens, text, reason);
        }
    }
}

#[test]
fn an_answer_that_moves_between_threads_and_lanes_at_every_step_has_the_tokens_of_one_that_stays() {
    let setup = setup();
    for sampling in [Sampling::greedy(), Sampling { seed: 7, repeat_penalty: 1.1, ..Sampling::default() }] {
        let options = options(sampling, 300);
        let (expected, text, reason) = finish(setup.begin(400, &options), &Lane::single());
        assert_eq!((expected.len(), reason), (300, FinishReason::MaxTokens));

        let mut generation = setup.begin(400, &options);
        let mut chunks = 0;
        loop {
            let (next, progress) = generation.prefill_chunk(&Lane::single(), 7);
            generation = next;
            chunks += 1;
            if progress.is_complete() {
                break;
            }
        }
        assert_eq!(chunks, 8, "50 positions in chunks of 7");
        let mut tokens = Vec::new();
        while generation.finished().is_none() {
            let step;
            (generation, step) =
                thread::spawn(move || generation.decode(&Lane::spawn(2, None).unwrap())).join().unwrap();
            tokens.extend(step.tokens);
        }
        assert_eq!(tokens, expected);
        assert_eq!(generation.text(), text);
        let counters = generation.counters();
        assert_eq!((counters.prompt, counters.reused, counters.generated), (50, 0, 300));
    }
}

#[test]
fn an_answer_ends_when_the_context_is_full_and_its_last_token_needs_no_position() {
    let setup = setup();
    let (tokens, _, reason) = finish(setup.begin(53, &options(Sampling::greedy(), 100)), &Lane::single());
    assert_eq!((tokens.len(), reason), (4, FinishReason::ContextFull));
    let (tokens, _, reason) = finish(setup.begin(53, &options(Sampling::greedy(), 4)), &Lane::single());
    assert_eq!((tokens.len(), reason), (4, FinishReason::MaxTokens));
}

#[test]
fn an_answer_ends_before_a_stop_text() {
    let setup = setup();
    let (tokens, text, _) = finish(setup.begin(400, &options(Sampling::greedy(), 40)), &Lane::single());
    let from = text.char_indices().nth(5).unwrap().0;
    let stop: String = text[from..].chars().take(3).collect();
    let with_stop = GenerationOptions { stop: vec![stop.clone()], ..options(Sampling::greedy(), 40) };
    let (stopped, shown, reason) = finish(setup.begin(400, &with_stop), &Lane::single());
    assert_eq!(reason, FinishReason::Stop);
    assert_eq!(shown, text[..text.find(&stop).unwrap()]);
    assert_eq!(stopped, tokens[..stopped.len()]);
}

#[test]
fn an_answer_ends_with_a_token_that_ends_the_text_and_shows_nothing_of_it() {
    let setup = setup();
    let hot = |seed| Sampling { temperature: 5.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed, ..Sampling::default() };
    let ended = (0..50).find_map(|seed| {
        let options = GenerationOptions { ignore_end: false, ..options(hot(seed), 200) };
        let (tokens, text, reason) = finish(setup.begin(400, &options), &Lane::single());
        (reason == FinishReason::EndOfText).then_some((tokens, text))
    });
    let (tokens, text) = ended.expect("some seed draws an end token");
    let (last, before) = tokens.split_last().unwrap();
    assert!(setup.tokenizer.is_end(*last));
    assert_eq!(text, setup.tokenizer.decode(before));
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_and_the_sequence_comes_back() {
    let setup = setup();
    let sequence = Sequence::new(&setup.model, 49).unwrap();
    let prompt = vec![PromptPart::Tokens(setup.prompt.clone())];
    let options = GenerationOptions { opening: Opening::Continuation, ..GenerationOptions::default() };
    let refused = Generation::new(setup.model.clone(), setup.tokenizer.clone(), sequence, prompt, &options);
    let (error, sequence) = *refused.err().unwrap();
    assert_eq!(error, StepError::ContextFull { needed: 50, free: 49, context: 49 });
    assert!(sequence.is_empty());
}

#[test]
fn costs_grow_with_what_is_read() {
    let setup = setup();
    let cost = setup.model.shape();
    let (one, ten) = (cost.decode(0), cost.prefill(10, 0));
    assert!(ten.flops > 5 * one.flops && ten.flops < 20 * one.flops, "{ten:?} and {one:?}");
    assert!(ten.bytes < 2 * one.bytes, "weights are read once a chunk: {ten:?} and {one:?}");
    assert!(cost.decode(100).bytes > one.bytes && cost.decode(100).flops > one.flops);
    let generation = setup.begin(100, &options(Sampling::greedy(), 5));
    assert_eq!(generation.prefill_cost(20), cost.prefill(20, 0));
    assert_eq!(generation.decode_cost().flops, 0, "the first token is only chosen");
}
