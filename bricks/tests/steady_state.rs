//! Once warmed up, a sequence takes its steps without a heap allocation, on any thread.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::language::{LanguageModel, Logits, Segment, Sequence};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A worker makes room for itself with the first task of each size that it happens to claim, so warming up takes more
/// than one round. A step that always allocates fails in every round.
const ROUNDS: usize = 50;

/// Without the test harness, whose own thread allocates while a test runs.
fn main() {
    prefill_up_to_the_chunk_and_decode_allocate_nothing();
}

fn prefill_up_to_the_chunk_and_decode_allocate_nothing() {
    for threads in [1, 2] {
        let lane = Lane::spawn(threads, None).unwrap();
        for name in ["llama_gqa_q8_0", "qwen2_tied_gqa_q4_0", "llama_tied_biases_f16"] {
            let file = format!("language_{name}.gguf");
            let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", &file].iter().collect();
            let gguf = Arc::new(Gguf::open(path).unwrap());
            let model = LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap();
            let mut sequence = Sequence::with_chunk(&model, 300, 64).unwrap();
            let mut counts = (0, 0, 0);
            for _ in 0..ROUNDS {
                sequence.truncate(0);
                let region = Region::new(ALLOCATOR);
                round(&model, &lane, &mut sequence);
                let change = region.change();
                counts = (change.allocations, change.reallocations, change.deallocations);
                if counts == (0, 0, 0) {
                    break;
                }
            }
            assert_eq!(counts, (0, 0, 0), "{name} on {threads} threads in every round: allocated, grown, freed");
        }
    }
}

/// Prefills of several lengths and a stretch of decode steps.
fn round(model: &LanguageModel, lane: &Lane, sequence: &mut Sequence) {
    let tokens: [u32; 64] = std::array::from_fn(|token| token as u32);
    model.prefill(lane, sequence, &[Segment::Tokens(&tokens)], Logits::Last).unwrap();
    model.prefill(lane, sequence, &[Segment::Tokens(&tokens[..17])], Logits::None).unwrap();
    for token in 0..100 {
        model.decode(lane, sequence, token).unwrap();
    }
    sequence.truncate(10);
    model.decode(lane, sequence, 5).unwrap();
}
