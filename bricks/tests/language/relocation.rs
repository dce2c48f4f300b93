//! An answer whose model moves to other memory goes on to the same tokens, copied in whichever pieces.

use std::sync::Arc;

use nanomind_bricks::language::{
    Generation, GenerationOptions, HistoryEntry, KvError, LanguageModel, PromptPart, Relocation, RelocationError,
    Sequence,
};
use nanomind_bricks::{Sampling, TokenId, Tokenizer};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture;

const MODEL: &str = "qwen2_tied_gqa_q4_0";
const TOKENS: usize = 60;

struct Setup {
    homes: [Arc<LanguageModel>; 2],
    tokenizer: Arc<Tokenizer>,
}

impl Setup {
    fn new() -> Setup {
        let homes = [(); 2].map(|()| Arc::new(fixture::model(MODEL, Isa::detect())));
        Setup { homes, tokenizer: Arc::new(Tokenizer::from_gguf(&fixture::gguf(MODEL)).unwrap()) }
    }

    /// A request whose prompt repeats itself, so that guesses are made and found right and wrong.
    fn begin(&self) -> Generation {
        let mut prompt = fixture::tokens(20, 256, 5);
        prompt.extend_from_within(4..18);
        let sampling = Sampling { seed: 7, ..Sampling::default() };
        let options = GenerationOptions {
            sampling,
            max_tokens: TOKENS,
            ignore_end: true,
            speculate: 3,
            ..GenerationOptions::default()
        };
        let sequence = Sequence::with_chunk(&self.homes[0], 128, 8).unwrap();
        let prompt = vec![PromptPart::Tokens(prompt)];
        Generation::new(self.homes[0].clone(), self.tokenizer.clone(), sequence, prompt, &options)
            .unwrap_or_else(|refused| panic!("{}", refused.0))
    }
}

/// What can be seen of an answer: its tokens, its text, and what its sequence holds in the end.
fn outcome(generation: Generation, tokens: Vec<TokenId>) -> (Vec<TokenId>, String, Vec<HistoryEntry>) {
    (tokens, generation.text().to_owned(), generation.into_sequence().history().to_vec())
}

#[test]
fn an_answer_that_moves_to_another_home_and_back_has_the_tokens_of_one_that_stays() {
    let (setup, lane) = (Setup::new(), Lane::single());
    let mut stays = setup.begin();
    let mut expected = Vec::new();
    while stays.finished().is_none() {
        let (next, step) = stays.decode(&lane);
        stays = next;
        expected.extend(step.tokens);
    }
    let expected = outcome(stays, expected);
    assert_eq!(expected.0.len(), TOKENS);

    for (piece, least) in [(1, 0), (8, 1), (200, 10)] {
        let mut generation = setup.begin();
        (generation, _) = generation.prefill_chunk(&lane, 9);
        let (mut tokens, mut moves, mut under_way) = (Vec::new(), 0, None);
        while generation.finished().is_none() {
            let other = setup.homes.iter().find(|home| !Arc::ptr_eq(home, generation.model())).unwrap();
            let mut relocation: Relocation =
                under_way.take().unwrap_or_else(|| Relocation::new(other, generation.sequence()).unwrap());
            let bytes = relocation.copy(generation.sequence(), piece).unwrap();
            assert!(bytes > 0, "there is always more to copy: the answer grows");
            if relocation.left(generation.sequence()) < 4 {
                generation = generation.relocate(relocation).unwrap_or_else(|refused| panic!("{}", refused.0));
                moves += 1;
            } else {
                under_way = Some(relocation);
            }
            let (next, step) = generation.decode(&lane);
            generation = next;
            tokens.extend(step.tokens);
        }
        assert_eq!(outcome(generation, tokens), expected, "in pieces of {piece}");
        assert!(moves >= least, "{moves} moves in pieces of {piece}");
    }
}

#[test]
fn positions_that_were_read_again_otherwise_are_copied_again() {
    let (setup, lane) = (Setup::new(), Lane::single());
    let read = |sequence: &mut Sequence, tokens: &[TokenId]| {
        for token in tokens {
            setup.homes[0].decode(&lane, sequence, *token).unwrap();
        }
    };
    let mut source = Sequence::new(&setup.homes[0], 64).unwrap();
    read(&mut source, &[1, 2, 3, 4, 5, 6]);
    let mut relocation = Relocation::new(&setup.homes[1], &source).unwrap();
    relocation.copy(&source, 6).unwrap();
    source.truncate(3);
    assert_eq!(relocation.left(&source), 0);
    read(&mut source, &[9, 8]);
    assert_eq!(relocation.left(&source), 2);
    let mut moved = relocation.finish(&source).unwrap();
    assert_eq!(moved.history(), source.history());
    let expected = setup.homes[0].decode(&lane, &mut source, 7).unwrap().to_vec();
    let found = setup.homes[1].decode(&lane, &mut moved, 7).unwrap();
    fixture::assert_same_bits("logits after the move", &expected, found);
}

#[test]
fn a_request_that_cannot_move_stays_as_it_was() {
    let (setup, lane) = (Setup::new(), Lane::single());
    let other = Arc::new(fixture::model("llama_gqa_f32", Isa::detect()));
    let (generation, first) = setup.begin().decode(&lane);
    let relocation = Relocation::new(&other, generation.sequence()).unwrap();
    let refused = generation.relocate(relocation).err().expect("another model");
    let (error, generation) = *refused;
    assert!(matches!(error, RelocationError::State(KvError::Geometry { .. })), "{error}");
    let (stayed, second) = generation.decode(&lane);
    let (expected, same) = setup.begin().decode(&lane);
    assert_eq!(first, same);
    assert_eq!(second, expected.decode(&lane).1);
    assert!(Arc::ptr_eq(stayed.model(), &setup.homes[0]));
}
