//! The key-value cache of one sequence: F16, `[layer][kv_head][position][head_dim]`, allocated once for its context.

use std::ops::Range;

use half::f16;

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
    /// Bytes of keys and values that one position holds over all layers.
    pub fn position_bytes(&self) -> usize {
        2 * size_of::<f16>() * self.layers * self.kv_heads * self.head_dim
    }
}

/// Keys and values of one sequence. Pages of positions that were never written are not committed by the system.
pub(super) struct KvCache {
    geometry: KvGeometry,
    context: usize,
    keys: Vec<f16>,
    values: Vec<f16>,
}

impl KvCache {
    /// A cache for `context` positions; `None` when the size overflows or the system refuses the memory.
    pub(super) fn new(geometry: KvGeometry, context: usize) -> Option<KvCache> {
        let elements =
            geometry.layers.checked_mul(geometry.kv_heads)?.checked_mul(geometry.head_dim)?.checked_mul(context)?;
        let keys = bytemuck::allocation::try_zeroed_vec(elements).ok()?;
        let values = bytemuck::allocation::try_zeroed_vec(elements).ok()?;
        Some(KvCache { geometry, context, keys, values })
    }

    pub(super) fn geometry(&self) -> KvGeometry {
        self.geometry
    }

    pub(super) fn context(&self) -> usize {
        self.context
    }

    /// Bytes of address space that the cache takes when every position is written.
    pub(super) fn bytes(&self) -> usize {
        self.geometry.position_bytes() * self.context
    }

    /// Keys and values of one layer, each `[kv_head][context][head_dim]`.
    pub(super) fn layer(&self, layer: usize) -> (&[f16], &[f16]) {
        let range = self.layer_range(layer);
        (&self.keys[range.clone()], &self.values[range])
    }

    /// As [`KvCache::layer`], to write.
    pub(super) fn layer_mut(&mut self, layer: usize) -> (&mut [f16], &mut [f16]) {
        let range = self.layer_range(layer);
        (&mut self.keys[range.clone()], &mut self.values[range])
    }

    /// Keys and values of a range of positions of one head, each `[position][head_dim]`.
    pub(super) fn span(&self, layer: usize, head: usize, positions: Range<usize>) -> (&[f16], &[f16]) {
        let range = self.span_range(layer, head, positions);
        (&self.keys[range.clone()], &self.values[range])
    }

    /// As [`KvCache::span`], to write.
    pub(super) fn span_mut(&mut self, layer: usize, head: usize, positions: Range<usize>) -> (&mut [f16], &mut [f16]) {
        let range = self.span_range(layer, head, positions);
        (&mut self.keys[range.clone()], &mut self.values[range])
    }

    fn layer_range(&self, layer: usize) -> Range<usize> {
        let size = self.geometry.kv_heads * self.context * self.geometry.head_dim;
        layer * size..(layer + 1) * size
    }

    fn span_range(&self, layer: usize, head: usize, positions: Range<usize>) -> Range<usize> {
        let base = (layer * self.geometry.kv_heads + head) * self.context;
        (base + positions.start) * self.geometry.head_dim..(base + positions.end) * self.geometry.head_dim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_lies_inside_its_layer_at_its_head_and_position() {
        let geometry = KvGeometry { layers: 3, kv_heads: 2, head_dim: 4 };
        let mut cache = KvCache::new(geometry, 5).expect("small");
        cache.span_mut(1, 1, 2..4).0.fill(f16::ONE);
        let (keys, values) = cache.layer(1);
        let ones: Vec<usize> = (0..keys.len()).filter(|&index| keys[index] == f16::ONE).collect();
        assert_eq!(ones, (28..36).collect::<Vec<_>>(), "head 1 begins at 20, position 2 at 28");
        assert!(values.iter().all(|value| *value == f16::ZERO));
        assert!(cache.layer(0).0.iter().chain(cache.layer(2).0).all(|key| *key == f16::ZERO));
    }

    #[test]
    fn a_cache_whose_size_overflows_is_refused() {
        let geometry = KvGeometry { layers: usize::MAX / 2, kv_heads: 2, head_dim: 64 };
        assert!(KvCache::new(geometry, 4096).is_none());
    }
}
