//! Perplexity counts the tokens that it says, as anything else that adds up their probabilities does.

use std::sync::Arc;

use nanomind_bricks::language::bench::{BenchError, Passage};
use nanomind_bricks::language::{LanguageModel, Sequence, SequenceOptions};
use nanomind_bricks::{Gguf, Special, Tokenizer};
use nanomind_hal::Lane;
use nanomind_kernels::{Isa, KvFormat};

use crate::fixture;
use crate::real_model::smollm2;

fn text() -> String {
    let path: std::path::PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "benches", "texts", "moby_dick.txt"].iter().collect();
    std::fs::read_to_string(path).unwrap()
}

/// The mean surprise of the second halves of windows, from one decode step a token and a plain softmax.
fn by_steps(model: &LanguageModel, tokens: &[u32], first: Option<u32>, context: usize, windows: usize) -> f64 {
    let lane = Lane::single();
    let (mut nats, mut count) = (0.0, 0);
    for window in tokens.chunks_exact(context).take(windows) {
        let mut sequence = Sequence::new(model, context).unwrap();
        for (at, token) in window.iter().enumerate().take(context - 1) {
            let token = first.filter(|_| at == 0).unwrap_or(*token);
            let logits = model.decode(&lane, &mut sequence, token).unwrap();
            if at >= context / 2 {
                let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
                nats += sum.ln() - f64::from(logits[window[at + 1] as usize]);
                count += 1;
            }
        }
    }
    nats / f64::from(count)
}

#[test]
fn the_second_half_of_every_window_is_scored_after_a_beginning_of_text() {
    let model = fixture::model("llama_gqa_f32", Isa::detect());
    let vocab = model.config().vocab;
    let tokens = fixture::tokens(200, vocab, 5);
    for (first, context, windows) in [(None, 48, 3), (Some(7), 48, 4), (Some(7), 31, 2), (None, 3, 5)] {
        let passage = Passage::of_tokens(tokens.clone(), first, context).unwrap();
        assert_eq!((passage.tokens(), passage.windows()), (tokens.len(), tokens.len() / context));
        let mut sequence = Sequence::new(&model, context).unwrap();
        let mut told = Vec::new();
        let found = passage
            .measure(&model, &Lane::single(), &mut sequence, windows, &mut |so_far| told.push(so_far.windows))
            .unwrap();
        assert_eq!(told, (1..=windows).collect::<Vec<_>>());
        assert_eq!((found.windows, found.tokens), (windows, windows * (context - context / 2 - 1)));
        let expected = by_steps(&model, &tokens, first, context, windows);
        assert!((found.mean_nats() - expected).abs() < 1e-5, "{context}: {} and {expected}", found.mean_nats());
    }
}

#[test]
fn a_window_or_a_text_that_is_too_short_is_refused_and_a_text_begins_as_its_tokenizer_says() {
    let tokenizer = Tokenizer::from_gguf(&fixture::gguf("sentencepiece")).unwrap();
    let refused = |text: &str, context| Passage::new(&tokenizer, text, context).unwrap_err();
    assert_eq!(refused("Call me Ishmael.", 2), BenchError::WindowTooShort { context: 2 });
    let tokens = tokenizer.encode("Call me Ishmael.", Special::Plain).len();
    assert_eq!(refused("Call me Ishmael.", 4096), BenchError::TextTooShort { tokens: tokens + 1, context: 4096 });
}

/// What `llama-perplexity -m F32.gguf -f moby_dick.txt -c 512 --chunks 4` prints (llama.cpp of llama-cpp-python 0.3.36) when
/// F32.gguf holds the same weights, dequantised, so that it computes with floats throughout; and how far we may be from it.
/// On the Q4_1 file itself llama.cpp, which rounds what goes into products to 8 bits, prints 55.5596.
const IN_FLOATS: f64 = 55.3672;
const TOLERANCE: f64 = 0.003;

#[test]
fn perplexity_of_the_real_model_is_what_llama_cpp_finds_with_floats() {
    let gguf = Arc::new(Gguf::open(smollm2()).unwrap());
    let lane = Lane::spawn(2, None).unwrap();
    let model = LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap();
    let passage = Passage::new(&Tokenizer::from_gguf(&gguf).unwrap(), &text(), 512).unwrap();
    let mut sequence = Sequence::new(&model, 512).unwrap();
    let found = passage.measure(&model, &lane, &mut sequence, 4, &mut |_| {}).unwrap();
    assert_eq!(found.tokens, 4 * 255);
    let apart = found.value() / IN_FLOATS - 1.0;
    assert!(apart.abs() <= TOLERANCE, "{:.4} is {:+.2} % from {IN_FLOATS}", found.value(), apart * 100.0);
}

#[test]
fn keys_and_values_in_eight_bits_change_the_perplexity_by_less_than_half_a_percent() {
    let gguf = Arc::new(Gguf::open(smollm2()).unwrap());
    let lane = Lane::spawn(2, None).unwrap();
    let model = LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap();
    let passage = Passage::new(&Tokenizer::from_gguf(&gguf).unwrap(), &text(), 512).unwrap();
    let [halves, codes] = KvFormat::ALL.map(|kv_cache| {
        let options = SequenceOptions { kv_cache, ..SequenceOptions::new(512) };
        let mut sequence = Sequence::with_options(&model, options).unwrap();
        passage.measure(&model, &lane, &mut sequence, 2, &mut |_| {}).unwrap().value()
    });
    let change = codes / halves - 1.0;
    assert!(change.abs() <= 0.005, "{halves:.4} became {codes:.4}, {:+.3} %", change * 100.0);
    assert!(codes.to_bits() != halves.to_bits(), "8 bits were used at all");
}
