//! A row's result is bitwise independent of chunking, batching, prefix reuse, logits asked for, and thread count.

use nanomind_bricks::language::{LanguageModel, Logits, Reading, Segment, Sequence, StepError};
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

/// Sequences of different lengths that read different numbers of tokens a step, more rows together than a chunk.
#[test]
fn sequences_that_read_together_have_the_bits_of_each_alone() {
    let lanes = [Lane::single(), Lane::spawn(2, None).unwrap(), Lane::spawn(7, None).unwrap()];
    for (name, _) in MODELS {
        let model = fixture::model(name, Isa::detect());
        let vocab = model.config().vocab;
        let texts: Vec<Vec<u32>> = (0..5).map(|text| fixture::tokens(TOKENS, vocab, 20 + text)).collect();
        let expected: Vec<Vec<f32>> = texts.iter().map(|tokens| one_by_one(&model, tokens)).collect();
        for lane in &lanes {
            let begin = |(text, tokens): (usize, &Vec<u32>)| {
                let mut sequence = Sequence::with_chunk(&model, TOKENS, 4).unwrap();
                let begun = 1 + 9 * text;
                model.prefill(lane, &mut sequence, &[Segment::Tokens(&tokens[..begun])], Logits::None).unwrap();
                sequence
            };
            let mut sequences: Vec<Sequence> = texts.iter().enumerate().map(begin).collect();
            for step in 0..8 {
                let mut wanted = Vec::new();
                let mut readings: Vec<Reading<'_>> = Vec::new();
                for (text, sequence) in sequences.iter_mut().enumerate().skip(step % 3) {
                    let from = sequence.len();
                    let to = from + 1 + (step + text) % 4;
                    wanted.extend_from_slice(&expected[text][from * vocab..to * vocab]);
                    readings.push(Reading { sequence, tokens: &texts[text][from..to] });
                }
                let found = model.decode_batch(lane, &mut readings).unwrap();
                assert_same_bits(&format!("{name}, step {step}, {} threads", lane.threads()), &wanted, found);
            }
        }
    }
}

#[test]
fn a_batch_with_a_reading_that_cannot_be_read_is_refused_and_reads_nothing() {
    let model = fixture::model("llama_gqa_f32", Isa::detect());
    let lane = Lane::single();
    let mut sequences: Vec<Sequence> = (0..2).map(|_| Sequence::new(&model, 4).unwrap()).collect();
    let [first, second] = &mut sequences[..] else { panic!("two sequences") };
    let mut readings =
        [Reading { sequence: first, tokens: &[1, 2] }, Reading { sequence: second, tokens: &[1, 2, 3, 4, 5] }];
    let error = model.decode_batch(&lane, &mut readings).unwrap_err();
    assert_eq!(error, StepError::ContextFull { needed: 5, free: 4, context: 4 });
    assert!(sequences.iter().all(Sequence::is_empty));
    assert!(model.decode_batch(&lane, &mut []).unwrap().is_empty());
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
