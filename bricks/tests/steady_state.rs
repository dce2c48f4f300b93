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

/// Without the test harness, whose own thread allocates while a test runs.
fn main() {
    prefill_up_to_the_chunk_and_decode_allocate_nothing();
}

fn prefill_up_to_the_chunk_and_decode_allocate_nothing() {
    for name in ["llama_gqa_q8_0", "qwen2_tied_gqa_q4_0", "llama_tied_biases_f16"] {
        let file = format!("language_{name}.gguf");
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", &file].iter().collect();
        let gguf = Arc::new(Gguf::open(path).unwrap());
        for lane in [Lane::single(), Lane::spawn(2, None).unwrap()] {
            let model = LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {}).unwrap();
            let mut sequence = Sequence::with_chunk(&model, 300, 64).unwrap();
            let tokens: Vec<u32> = (0..64).collect();
            // The first chunk makes room in the kernels' workspace; a few more steps see every thread started.
            model.prefill(&lane, &mut sequence, &[Segment::Tokens(&tokens)], Logits::Last).unwrap();
            for token in 0..50 {
                model.decode(&lane, &mut sequence, token).unwrap();
            }

            let region = Region::new(ALLOCATOR);
            model.prefill(&lane, &mut sequence, &[Segment::Tokens(&tokens)], Logits::Last).unwrap();
            model.prefill(&lane, &mut sequence, &[Segment::Tokens(&tokens[..17])], Logits::None).unwrap();
            for token in 0..100 {
                model.decode(&lane, &mut sequence, token).unwrap();
            }
            sequence.truncate(10);
            model.decode(&lane, &mut sequence, 5).unwrap();
            let change = region.change();
            let counts = (change.allocations, change.reallocations, change.deallocations);
            assert_eq!(counts, (0, 0, 0), "{name} on {} threads: allocated, grown, freed", lane.threads());
        }
    }
}
