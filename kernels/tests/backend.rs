//! What a backend keeps of a model's sequences.

use nanomind_kernels::backend::{KvCache, KvGeometry};
use nanomind_kernels::{KvFormat, ShapeError};

#[test]
fn a_layer_begins_where_the_one_before_ends_and_on_a_cache_line() {
    let geometry = KvGeometry { layers: 3, kv_heads: 2, head_dim: 32 };
    for format in KvFormat::ALL {
        let mut cache = KvCache::new(geometry, format, 40).expect("small");
        for (_, bytes) in cache.layer_mut(1) {
            assert!(bytes.as_ptr().addr().is_multiple_of(64), "{format}");
            bytes.fill(7);
        }
        let per_side = 2 * 64 * format.head_bytes(32).expect("whole blocks");
        assert_eq!(cache.layer(1).0, vec![7; per_side], "{format}: two whole blocks of positions for each head");
        for layer in [0, 2] {
            assert!(cache.layer(layer).0.iter().chain(cache.layer(layer).1).all(|byte| *byte == 0), "{format}");
        }
        assert_eq!(cache.layout().bytes(), per_side);
    }
}

#[test]
fn a_cache_whose_size_overflows_or_whose_heads_are_no_whole_blocks_is_refused() {
    let geometry = KvGeometry { layers: usize::MAX / 2, kv_heads: 2, head_dim: 64 };
    let refused = KvCache::new(geometry, KvFormat::F16, 4096).err();
    assert!(matches!(refused, Some(ShapeError::OutOfMemory(_))), "{refused:?}");
    let geometry = KvGeometry { layers: 1, kv_heads: 2, head_dim: 48 };
    assert!(matches!(KvCache::new(geometry, KvFormat::Q8_0, 4096), Err(ShapeError::UnevenHead { .. })));
    assert_eq!(geometry.position_bytes(KvFormat::Q8_0), None);
    assert_eq!(geometry.position_bytes(KvFormat::F16), Some(2 * 2 * 48 * 2));
}
