//! The canonical form in which key-value state moves between backends: F16, any range of layers, heads and positions.

use std::ops::Range;

use half::f16;

use super::kv_cache::{KvCache, KvGeometry};

/// A box of a key-value cache: which layers, heads and positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRange {
    /// Layers of the model.
    pub layers: Range<usize>,
    /// Key-value heads.
    pub heads: Range<usize>,
    /// Positions in the sequence.
    pub positions: Range<usize>,
}

impl KvRange {
    /// All layers and heads of `geometry` over some positions.
    pub fn positions(geometry: KvGeometry, positions: Range<usize>) -> KvRange {
        KvRange { layers: 0..geometry.layers, heads: 0..geometry.kv_heads, positions }
    }

    fn vectors(&self) -> usize {
        self.layers.len() * self.heads.len() * self.positions.len()
    }

    fn check(&self, geometry: KvGeometry, positions: usize) -> Result<(), KvError> {
        let check = |axis, range: &Range<usize>, limit| {
            if range.start <= range.end && range.end <= limit {
                Ok(())
            } else {
                Err(KvError::OutOfRange { axis, start: range.start, end: range.end, limit })
            }
        };
        check("layers", &self.layers, geometry.layers)?;
        check("heads", &self.heads, geometry.kv_heads)?;
        check("positions", &self.positions, positions)
    }
}

/// Why key-value state could not be exported or imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// A range leaves the cache.
    #[error("key-value {axis} {start}..{end} lie outside 0..{limit}")]
    OutOfRange {
        /// `layers`, `heads` or `positions`.
        axis: &'static str,
        /// First index asked.
        start: usize,
        /// One past the last index asked.
        end: usize,
        /// How many there are.
        limit: usize,
    },
    /// The state comes from a model of another shape.
    #[error("key-value state has geometry {found:?}, expected {expected:?}")]
    Geometry {
        /// Geometry of this sequence.
        expected: KvGeometry,
        /// Geometry of the imported state.
        found: KvGeometry,
    },
    /// The vectors do not fill the range.
    #[error("key-value state holds {found} elements, expected {expected} for its range")]
    Elements {
        /// Elements the range needs.
        expected: usize,
        /// Elements it has.
        found: usize,
    },
}

/// Exported key-value state.
#[derive(Debug, Clone, PartialEq)]
pub struct KvInterchange {
    /// Shape of the model that it belongs to.
    pub geometry: KvGeometry,
    /// Which part of the cache this is.
    pub range: KvRange,
    /// Keys after RoPE, `[layer][head][position][head_dim]` over `range`.
    pub keys: Vec<f16>,
    /// Values, in the order of `keys`.
    pub values: Vec<f16>,
}

impl KvInterchange {
    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        size_of::<f16>() * (self.keys.len() + self.values.len())
    }

    /// Copies `range` out of a cache whose first `positions` positions are written.
    pub(super) fn export(cache: &KvCache, range: KvRange, positions: usize) -> Result<KvInterchange, KvError> {
        let geometry = cache.geometry();
        range.check(geometry, positions)?;
        let elements = range.vectors() * geometry.head_dim;
        let mut keys = Vec::with_capacity(elements);
        let mut values = Vec::with_capacity(elements);
        for layer in range.layers.clone() {
            for head in range.heads.clone() {
                let (key, value) = cache.span(layer, head, range.positions.clone());
                keys.extend_from_slice(key);
                values.extend_from_slice(value);
            }
        }
        Ok(KvInterchange { geometry, range, keys, values })
    }

    /// Copies this state into its place in a cache.
    pub(super) fn import(&self, cache: &mut KvCache) -> Result<(), KvError> {
        let expected = cache.geometry();
        if self.geometry != expected {
            return Err(KvError::Geometry { expected, found: self.geometry });
        }
        self.range.check(expected, cache.context())?;
        let elements = self.range.vectors() * expected.head_dim;
        for found in [self.keys.len(), self.values.len()] {
            if found != elements {
                return Err(KvError::Elements { expected: elements, found });
            }
        }
        let span = self.range.positions.len() * expected.head_dim;
        let mut at = 0;
        for layer in self.range.layers.clone() {
            for head in self.range.heads.clone() {
                let (keys, values) = cache.span_mut(layer, head, self.range.positions.clone());
                keys.copy_from_slice(&self.keys[at..at + span]);
                values.copy_from_slice(&self.values[at..at + span]);
                at += span;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: KvGeometry = KvGeometry { layers: 2, kv_heads: 3, head_dim: 2 };

    fn numbered(context: usize) -> KvCache {
        let mut cache = KvCache::new(GEOMETRY, context).expect("small");
        for layer in 0..GEOMETRY.layers {
            for head in 0..GEOMETRY.kv_heads {
                for position in 0..context {
                    let number = f16::from_f32((layer * 100 + head * 10 + position) as f32);
                    let (keys, values) = cache.span_mut(layer, head, position..position + 1);
                    keys.fill(number);
                    values.fill(-number);
                }
            }
        }
        cache
    }

    #[test]
    fn state_moved_in_pieces_between_caches_of_different_contexts_arrives_whole() {
        let source = numbered(5);
        let mut target = KvCache::new(GEOMETRY, 9).expect("small");
        for positions in [0..2, 2..5] {
            for heads in [0..1, 1..3] {
                let range = KvRange { layers: 0..2, heads, positions: positions.clone() };
                KvInterchange::export(&source, range, 5).expect("in range").import(&mut target).expect("same geometry");
            }
        }
        for layer in 0..2 {
            for head in 0..3 {
                assert_eq!(source.span(layer, head, 0..5), target.span(layer, head, 0..5), "layer {layer} head {head}");
            }
        }
    }

    #[test]
    fn positions_that_were_never_written_are_not_exported() {
        let error = KvInterchange::export(&numbered(5), KvRange::positions(GEOMETRY, 0..4), 3).expect_err("3 written");
        assert_eq!(error.to_string(), "key-value positions 0..4 lie outside 0..3");
    }

    #[test]
    fn state_that_does_not_fit_is_refused_and_says_why() {
        let mut state = KvInterchange::export(&numbered(5), KvRange::positions(GEOMETRY, 0..5), 5).expect("in range");
        let mut small = KvCache::new(GEOMETRY, 4).expect("small");
        let error = state.import(&mut small).expect_err("does not fit");
        assert_eq!(error.to_string(), "key-value positions 0..5 lie outside 0..4");
        state.keys.pop();
        let error = state.import(&mut numbered(5)).expect_err("short");
        assert_eq!(error.to_string(), "key-value state holds 59 elements, expected 60 for its range");
        state.geometry.kv_heads = 1;
        assert!(matches!(state.import(&mut small), Err(KvError::Geometry { .. })));
    }
}
