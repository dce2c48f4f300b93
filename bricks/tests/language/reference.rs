//! Logits of small random models equal those of HF transformers.

use nanomind_bricks::language::{Logits, Segment, Sequence};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture::{self, MODELS};

#[test]
fn logits_of_random_models_equal_those_of_hf_transformers_on_every_instruction_set() {
    for isa in Isa::available() {
        for (name, tolerance) in MODELS {
            let model = fixture::model(name, isa);
            let vocab = model.config().vocab;
            let mut worst = 0.0f32;
            for expected in fixture::expected(name) {
                let mut sequence = Sequence::new(&model, expected.tokens.len()).unwrap();
                let segments = [Segment::Tokens(&expected.tokens)];
                let all = model.prefill(&Lane::single(), &mut sequence, &segments, Logits::All).unwrap();
                for (position, right) in expected.logits {
                    let found = &all[position * vocab..(position + 1) * vocab];
                    let largest = right.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
                    let off = right.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max) / largest;
                    worst = worst.max(off);
                    assert!(
                        off <= tolerance,
                        "{name} on {isa}: position {position} of {} is off by {off:.2e} of its largest logit, \
                         expected at most {tolerance:.0e}",
                        expected.tokens.len()
                    );
                }
            }
            eprintln!("{name} on {isa}: off by at most {worst:.1e} of a position's largest logit");
        }
    }
}
