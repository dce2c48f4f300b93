//! Embedding rows are read in place from the slot of their producer, and mean what the tokens mean.

use nanomind_bricks::language::{LanguageModel, Logits, RowRun, Segment, Sequence};
use nanomind_hal::Lane;
use nanomind_hal::tabm::{ElementType, SlotGeometry, SlotPool, SlotReader};
use nanomind_kernels::Isa;

use crate::fixture::{self, MODELS, assert_same_bits};

/// The rows of `tokens` in a slot of a new pool.
fn rows(pool: &SlotPool, model: &LanguageModel, tokens: &[u32]) -> SlotReader {
    let mut writer = pool.try_acquire().expect("a free slot");
    let width = model.config().width;
    model.embed(tokens, &mut writer.rows_mut_f32()[..tokens.len() * width]).unwrap();
    writer.publish(tokens.len())
}

#[test]
fn rows_in_a_slot_give_the_logits_of_their_tokens_without_a_copied_byte() {
    let lane = Lane::spawn(2, None).unwrap();
    for (name, _) in MODELS {
        let model = fixture::model(name, Isa::detect());
        let geometry =
            SlotGeometry { slots: 2, max_tokens: 40, width: model.config().width, element: ElementType::F32 };
        let pool = SlotPool::new(geometry).unwrap();
        let tokens = fixture::tokens(60, model.config().vocab, 9);
        let mut sequence = Sequence::new(&model, 60).unwrap();
        let expected = model.prefill(&lane, &mut sequence, &[Segment::Tokens(&tokens)], Logits::All).unwrap().to_vec();

        let image = RowRun::whole(rows(&pool, &model, &tokens[10..45]), None);
        let segments = [Segment::Tokens(&tokens[..10]), Segment::Rows(&image), Segment::Tokens(&tokens[45..])];
        for chunk in [60, 13, 1] {
            let mut sequence = Sequence::with_chunk(&model, 60, chunk).unwrap();
            let found = model.prefill(&lane, &mut sequence, &segments, Logits::All).unwrap();
            assert_same_bits(&format!("{name}, chunks of {chunk}"), &expected, found);
            assert_eq!(sequence.common_prefix(&[Segment::Tokens(&tokens)]), 10, "rows match no token");
        }
        drop(image);
        let stats = pool.stats();
        assert_eq!(stats.copied_bytes, 0, "{name}");
        assert_eq!(stats.free, 2, "{name}: every slot is free again");
    }
}

#[test]
fn rows_of_another_width_are_refused() {
    let model = fixture::model("llama_gqa_f32", Isa::detect());
    let geometry = SlotGeometry { slots: 1, max_tokens: 4, width: 48, element: ElementType::F32 };
    let reader = SlotPool::new(geometry).unwrap().try_acquire().unwrap().publish(2);
    let mut sequence = Sequence::new(&model, 8).unwrap();
    let error = model
        .prefill(&Lane::single(), &mut sequence, &[Segment::Rows(&RowRun::whole(reader, None))], Logits::None)
        .unwrap_err();
    assert_eq!(error.to_string(), "embedding rows are 48 wide, expected the model's width of 32");
}
