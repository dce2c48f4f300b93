//! Small random models and the logits that HF transformers computes for them; `tests/fixtures/language_random.py`
//! writes both and describes the format.

use std::path::PathBuf;
use std::sync::Arc;

use nanomind_bricks::Gguf;
use nanomind_bricks::TokenId;
use nanomind_bricks::language::LanguageModel;
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

/// Names of the random models, and the tolerance on their logits relative to a position's largest logit.
pub(crate) const MODELS: [(&str, f32); 7] = [
    ("llama_gqa_f32", 1e-3),
    ("llama_tied_biases_f16", 1e-3),
    ("llama_scaled_rope_f16", 1e-3),
    ("qwen2_tied_gqa_f16", 1e-3),
    ("qwen2_untied_f16", 1e-3),
    ("llama_gqa_q8_0", 1e-3),
    ("qwen2_tied_gqa_q4_0", 1e-3),
];

/// The path of a file in `tests/fixtures`.
pub(crate) fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "tests", "fixtures", name].iter().collect()
}

/// Opens the file of the random model `name`.
pub(crate) fn gguf(name: &str) -> Arc<Gguf> {
    Arc::new(Gguf::open(path(&format!("language_{name}.gguf"))).expect("a fixture"))
}

/// Loads the random model `name`.
pub(crate) fn model(name: &str, isa: Isa) -> LanguageModel {
    let gguf = gguf(name);
    LanguageModel::load(&gguf, isa, &Lane::single(), &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// One sequence of a fixture.
pub(crate) struct Expected {
    pub(crate) tokens: Vec<TokenId>,
    /// Positions and their logits, `[vocab]` each.
    pub(crate) logits: Vec<(usize, Vec<f32>)>,
}

/// The sequences that go with the random model `name`.
pub(crate) fn expected(name: &str) -> Vec<Expected> {
    let bytes = std::fs::read(path(&format!("language_{name}.logits"))).expect("a fixture");
    let mut words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let mut next = move || words.next().expect("a whole fixture");
    let vocab = next() as usize;
    let sequences = next();
    (0..sequences)
        .map(|_| {
            let count = next();
            let tokens = (0..count).map(|_| next()).collect();
            let count = next();
            let positions: Vec<usize> = (0..count).map(|_| next() as usize).collect();
            let logits = positions
                .into_iter()
                .map(|position| (position, (0..vocab).map(|_| f32::from_bits(next())).collect()))
                .collect();
            Expected { tokens, logits }
        })
        .collect()
}

/// Tokens that look random and are the same each time.
pub(crate) fn tokens(count: usize, vocab: usize, seed: u64) -> Vec<TokenId> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % vocab as u64) as TokenId
        })
        .collect()
}

/// Fails unless both are the same bits, and says where they are not.
pub(crate) fn assert_same_bits(what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{what}: lengths");
    let differs = expected.iter().zip(found).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(at) = differs {
        panic!("{what}: element {at} of {} is {:?}, expected {:?}", expected.len(), found[at], expected[at]);
    }
}
