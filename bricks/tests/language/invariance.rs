//! A row's result is bitwise independent of chunking, prefix reuse, logits asked for, and thread count.

use nanomind_bricks::language::{LanguageModel, Logits, Segment, Sequence, StepError};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture::{self, MODELS, assert_same_bits};

const TOKENS: usize = 75;

/// Logits of every position, read one token at a time on one thread.
fn one_by_one(model: &LanguageModel, tokens: &[u32]) -> Vec<f32> {
    let mut sequence = Sequence::new(model, tokens.len()).unwrap();
    let lane = Lane::single();
    tokens.iter().flat_map(|token| model.decode(&lane, &mut sequence, *token).unwrap().to_vec()).collect()
}

#[test]
fn logits_do_not_depend_on_chunks_threads_or_instruction_order() {
    let lanes = [Lane::single(), Lane::spawn(2, None).unwrap(), Lane::spawn(7, None).unwrap()];
    for (name, _) in MODELS {
        let model = fixture::model(name, Isa::detect());
        let tokens = fixture::tokens(TOKENS, model.config().vocab, 5);
        let expected = one_by_one(&model, &tokens);
        for lane in &lanes {
            for chunk in [1, 2, 7, 16, 17, 33, TOKENS] {
                let mut sequence = Sequence::with_chunk(&model, TOKENS + 3, chunk).unwrap();
                let segments = [Segment::Tokens(&tokens)];
                let found = model.prefill(lane, &mut sequence, &segments, Logits::All).unwrap();
                let what = format!("{name}, chunks of {chunk}, {} threads", lane.threads());
                assert_same_bits(&what, &expected, found);
            }
        }
    }
}

#[test]
fn asking_for_fewer_logits_or_reusing_a_prefix_changes_nothing() {
    let lane = Lane::spawn(2, None).unwrap();
    for (name, _) in MODELS {
        let model = fixture::model(name, Isa::detect());
        let vocab = model.config().vocab;
        let tokens = fixture::tokens(TOKENS, vocab, 6);
        let expected = one_by_one(&model, &tokens);
        let last = &expected[(TOKENS - 1) * vocab..];
        let mut sequence = Sequence::with_chunk(&model, 2 * TOKENS, 32).unwrap();
        for reused in [0, 1, 40, TOKENS - 1] {
            sequence.truncate(reused);
            assert_eq!(sequence.common_prefix(&[Segment::Tokens(&tokens)]), reused, "{name}");
            let nothing =
                model.prefill(&lane, &mut sequence, &[Segment::Tokens(&tokens[reused..TOKENS - 1])], Logits::None);
            if reused == TOKENS - 1 {
                assert_eq!(nothing.unwrap_err(), StepError::EmptyPrompt);
            } else {
                assert!(nothing.unwrap().is_empty());
            }
            let found =
                model.prefill(&lane, &mut sequence, &[Segment::Tokens(&tokens[TOKENS - 1..])], Logits::Last).unwrap();
            assert_same_bits(&format!("{name}, {reused} positions reused"), last, found);
            // What comes after is forgotten again, so it may be anything.
            model.prefill(&lane, &mut sequence, &[Segment::Tokens(&[1, 2, 3])], Logits::None).unwrap();
        }
    }
}

#[test]
fn a_step_that_cannot_be_taken_says_why_and_leaves_the_sequence_as_it_was() {
    let model = fixture::model("llama_gqa_f32", Isa::detect());
    let other = fixture::model("qwen2_untied_f16", Isa::detect());
    let lane = Lane::single();
    let vocab = model.config().vocab;
    let mut sequence = Sequence::new(&model, 4).unwrap();
    model.prefill(&lane, &mut sequence, &[Segment::Tokens(&[1, 2, 3])], Logits::None).unwrap();
    let mut refused = |model: &LanguageModel, tokens: &[u32], message: &str| {
        let error = model.prefill(&lane, &mut sequence, &[Segment::Tokens(tokens)], Logits::Last).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(sequence.len(), 3);
    };
    refused(&model, &[4, 5], "context is full: 2 more positions needed, 1 of 4 free");
    refused(&model, &[vocab as u32], &format!("token {vocab}: expected an id below the vocabulary size of {vocab}"));
    refused(&model, &[], "expected at least one position to read, found none");
    refused(&other, &[1], "the sequence was made for another model");
    let error = Sequence::new(&model, 513).err().unwrap();
    assert_eq!(error.to_string(), "context of 513 positions: expected at most the model's 512");
    assert!(Sequence::with_chunk(&model, 0, 1).is_err());
}
