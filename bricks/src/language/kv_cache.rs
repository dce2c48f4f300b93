//! The key-value cache of one sequence: keys and values of each layer as [`KvLayout`] lays them, allocated once for its
//! context.

use std::ops::Range;

use nanomind_kernels::{KvFormat, KvLayout, KvSide, ShapeError};

/// The shape of one position of a key-value cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGeometry {
    /// Layers of the model.
    pub layers: usize,
    /// Key-value heads of a layer.
    pub kv_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
}

impl KvGeometry {
    /// Bytes of keys and values that one position holds over all layers in `format`; `None` where heads are no whole
    /// number of its blocks.
    pub fn position_bytes(&self, format: KvFormat) -> Option<usize> {
        Some(2 * self.layers * self.kv_heads * format.head_bytes(self.head_dim)?)
    }
}

/// Why there is no cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoCache {
    /// The format does not take these heads.
    Shape(ShapeError),
    /// The size overflows, or the system refuses the memory.
    Memory,
}

/// Keys and values of one sequence. Pages of positions that were never written are not committed by the system.
pub(super) struct KvCache {
    geometry: KvGeometry,
    layout: KvLayout,
    keys: Lines,
    values: Lines,
}

impl KvCache {
    /// A cache for `context` positions.
    pub(super) fn new(geometry: KvGeometry, format: KvFormat, context: usize) -> Result<KvCache, NoCache> {
        let KvGeometry { layers, kv_heads, head_dim } = geometry;
        let layout = KvLayout::new(format, kv_heads, context, head_dim).map_err(|error| match error {
            ShapeError::UnevenHead { .. } => NoCache::Shape(error),
            _ => NoCache::Memory,
        })?;
        let side = || layout.bytes().checked_mul(layers).and_then(Lines::zeroed).ok_or(NoCache::Memory);
        Ok(KvCache { geometry, layout, keys: side()?, values: side()? })
    }

    pub(super) fn geometry(&self) -> KvGeometry {
        self.geometry
    }

    pub(super) fn layout(&self) -> KvLayout {
        self.layout
    }

    pub(super) fn context(&self) -> usize {
        self.layout.capacity()
    }

    /// Bytes of address space that the cache takes when every position is written.
    pub(super) fn bytes(&self) -> usize {
        2 * self.geometry.layers * self.layout.bytes()
    }

    /// Keys and values of one layer.
    pub(super) fn layer(&self, layer: usize) -> (&[u8], &[u8]) {
        let range = self.range(layer);
        (&self.keys.bytes()[range.clone()], &self.values.bytes()[range])
    }

    /// As [`KvCache::layer`], to write, with what each of them is.
    pub(super) fn layer_mut(&mut self, layer: usize) -> [(KvSide, &mut [u8]); 2] {
        let range = self.range(layer);
        let keys = &mut self.keys.bytes_mut()[range.clone()];
        [(KvSide::Keys, keys), (KvSide::Values, &mut self.values.bytes_mut()[range])]
    }

    fn range(&self, layer: usize) -> Range<usize> {
        layer * self.layout.bytes()..(layer + 1) * self.layout.bytes()
    }
}

/// Zero bytes from the start of a cache line on, whose pages are not there before they are touched. Huge pages would be,
/// for heads whose first positions lie in them.
struct Lines {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Lines {
    const LINE: usize = 64;

    fn zeroed(len: usize) -> Option<Lines> {
        let memory: Vec<u8> = bytemuck::allocation::try_zeroed_vec(len.checked_add(Lines::LINE)?).ok()?;
        let start = memory.as_ptr().align_offset(Lines::LINE).min(Lines::LINE);
        Some(Lines { memory, start, len })
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(cache.bytes(), 6 * per_side);
        }
    }

    #[test]
    fn a_cache_whose_size_overflows_or_whose_heads_are_no_whole_blocks_is_refused() {
        let geometry = KvGeometry { layers: usize::MAX / 2, kv_heads: 2, head_dim: 64 };
        assert_eq!(KvCache::new(geometry, KvFormat::F16, 4096).err(), Some(NoCache::Memory));
        let geometry = KvGeometry { layers: 1, kv_heads: 2, head_dim: 48 };
        assert!(matches!(KvCache::new(geometry, KvFormat::Q8_0, 4096), Err(NoCache::Shape(_))));
        assert_eq!(geometry.position_bytes(KvFormat::Q8_0), None);
        assert_eq!(geometry.position_bytes(KvFormat::F16), Some(2 * 2 * 48 * 2));
    }
}
