//! Keys and values in 8 bits: half the memory, nearly the same logits, and the same invariance as in half precision.

use nanomind_bricks::language::{
    KvRange, LanguageModel, Logits, Segment, Sequence, SequenceError, SequenceOptions, memory_bytes,
};
use nanomind_hal::Lane;
use nanomind_kernels::{Isa, KvFormat};

use crate::fixture::{self, assert_same_bits};

/// A model whose heads are one block of 32 values.
const MODEL: &str = "llama_scaled_rope_f16";

/// Two stretches of positions.
const TOKENS: usize = 300;

fn sequence(model: &LanguageModel, kv_cache: KvFormat, chunk: usize) -> Sequence {
    Sequence::with_options(model, SequenceOptions { context: TOKENS, chunk, kv_cache }).unwrap()
}

/// Logits of every position.
fn logits(model: &LanguageModel, lane: &Lane, kv_cache: KvFormat, chunk: usize, tokens: &[u32]) -> Vec<f32> {
    let mut sequence = sequence(model, kv_cache, chunk);
    model.prefill(lane, &mut sequence, &[Segment::Tokens(tokens)], Logits::All).unwrap().to_vec()
}

#[test]
fn eight_bit_logits_do_not_depend_on_chunks_or_threads() {
    let model = fixture::model(MODEL, Isa::detect());
    let tokens = fixture::tokens(TOKENS, model.config().vocab, 5);
    let expected = logits(&model, &Lane::single(), KvFormat::Q8_0, 1, &tokens);
    for threads in [1, 2, 7] {
        let lane = Lane::spawn(threads, None).unwrap();
        for chunk in [1, 7, 33, TOKENS] {
            let found = logits(&model, &lane, KvFormat::Q8_0, chunk, &tokens);
            assert_same_bits(&format!("chunks of {chunk}, {threads} threads"), &expected, &found);
        }
    }
}

#[test]
fn eight_bit_logits_are_near_those_of_half_precision_and_not_the_same() {
    let model = fixture::model(MODEL, Isa::detect());
    let (vocab, lane) = (model.config().vocab, Lane::single());
    let tokens = fixture::tokens(TOKENS, vocab, 6);
    let [halves, codes] = KvFormat::ALL.map(|format| logits(&model, &lane, format, 64, &tokens));
    let mut widest = 0f32;
    for (halves, codes) in halves.chunks_exact(vocab).zip(codes.chunks_exact(vocab)) {
        let largest = halves.iter().fold(0f32, |most, logit| most.max(logit.abs()));
        let apart = halves.iter().zip(codes).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        widest = widest.max(apart / largest);
    }
    assert!(widest > 1e-6, "codes were used at all: {widest:e}");
    assert!(widest < 0.02, "logits are {widest:e} of the largest apart");
}

#[test]
fn eight_bit_caches_take_about_half_of_the_memory_and_their_steps_say_so() {
    let model = fixture::model(MODEL, Isa::detect());
    let [halves, codes] = KvFormat::ALL.map(|format| sequence(&model, format, 8).cache_bytes());
    assert_eq!(codes * 64, halves * 34);
    let shape = model.shape();
    let [halves, codes] = KvFormat::ALL.map(|format| shape.with_kv_cache(format).unwrap());
    assert_eq!(halves, shape);
    assert_eq!(codes.kv_bytes(64) * 64, halves.kv_bytes(64) * 34);
    let bytes = |shape: nanomind_bricks::shape::LanguageShape| shape.decode(99).bytes;
    assert_eq!(bytes(halves) - bytes(codes), halves.kv_bytes(100) - codes.kv_bytes(100));
    let need = |format| memory_bytes(model.config(), format, 1000, 8).unwrap();
    assert_eq!(need(KvFormat::F16) - need(KvFormat::Q8_0), halves.kv_bytes(1000) - codes.kv_bytes(1000));
}

#[test]
fn heads_that_are_no_whole_blocks_are_refused_and_the_error_says_so() {
    let model = fixture::model("llama_gqa_f32", Isa::detect());
    let options = SequenceOptions { kv_cache: KvFormat::Q8_0, ..SequenceOptions::new(64) };
    let error = Sequence::with_options(&model, options).err().unwrap();
    assert!(matches!(error, SequenceError::Heads(_)), "{error}");
    assert_eq!(error.to_string(), "q8_0 keys and values: a head of 16 values is not a whole number of blocks of 32");
    assert_eq!(memory_bytes(model.config(), KvFormat::Q8_0, 64, 8), None);
}

#[test]
fn eight_bit_state_goes_on_in_a_cache_of_half_precision() {
    let model = fixture::model(MODEL, Isa::detect());
    let tokens = fixture::tokens(60, model.config().vocab, 3);
    let lane = Lane::single();
    let mut stays = sequence(&model, KvFormat::Q8_0, 16);
    model.prefill(&lane, &mut stays, &[Segment::Tokens(&tokens)], Logits::None).unwrap();
    let mut moved = sequence(&model, KvFormat::F16, 16);
    let range = KvRange::positions(stays.kv_geometry(), 0..60);
    moved.import_kv(&stays.export_kv(range).unwrap()).unwrap();
    moved.adopt(stays.history()).unwrap();
    let expected = model.decode(&lane, &mut stays, 7).unwrap().to_vec();
    let found = model.decode(&lane, &mut moved, 7).unwrap();
    let largest = expected.iter().fold(0f32, |most, logit| most.max(logit.abs()));
    for (expected, found) in expected.iter().zip(found) {
        assert!((expected - found).abs() < 0.01 * largest, "expected {expected}, found {found}");
    }
}
