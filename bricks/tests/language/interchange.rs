//! A sequence moves to another through the canonical key-value form and goes on as if it had stayed.

use nanomind_bricks::language::{KvRange, Logits, Segment, Sequence};
use nanomind_hal::Lane;
use nanomind_kernels::Isa;

use crate::fixture::{self, assert_same_bits};

#[test]
fn a_sequence_moved_in_pieces_goes_on_with_the_same_logits() {
    let model = fixture::model("qwen2_tied_gqa_f16", Isa::detect());
    let tokens = fixture::tokens(30, model.config().vocab, 3);
    let lane = Lane::single();
    let mut stays = Sequence::new(&model, 40).unwrap();
    model.prefill(&lane, &mut stays, &[Segment::Tokens(&tokens)], Logits::None).unwrap();

    let mut moved = Sequence::new(&model, 64).unwrap();
    let geometry = stays.kv_geometry();
    for positions in [0..20, 20..30] {
        for layer in 0..geometry.layers {
            let range = KvRange { layers: layer..layer + 1, heads: 0..geometry.kv_heads, positions: positions.clone() };
            moved.import_kv(&stays.export_kv(range).unwrap()).unwrap();
        }
    }
    moved.adopt(stays.history()).unwrap();
    assert_eq!(moved.common_prefix(&[Segment::Tokens(&tokens)]), 30);
    for token in [7, 8, 9] {
        let expected = model.decode(&lane, &mut stays, token).unwrap().to_vec();
        let found = model.decode(&lane, &mut moved, token).unwrap();
        assert_same_bits("logits after the move", &expected, found);
    }
}
