//! The canonical form in which key-value state moves between backends: F16, any range of layers, heads and positions.
//!
//! Whatever a cache keeps in half precision arrives bit for bit. Out of a `Q8_0` cache each value comes as its scale times
//! its code, rounded to half precision; into one it goes by being coded again, which loses up to 1/254 of the largest of
//! its 32 values, little of it where the state came out of such a cache.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use nanomind_kernels::{Isa, KvSide};

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

    /// Reads `range` out of a cache whose first `positions` positions are written.
    pub(super) fn export(cache: &KvCache, range: KvRange, positions: usize) -> Result<KvInterchange, KvError> {
        let geometry = cache.geometry();
        range.check(geometry, positions)?;
        let elements = range.vectors() * geometry.head_dim;
        let [mut keys, mut values] = [(); 2].map(|()| vec![f16::ZERO; elements]);
        let span = range.positions.len() * geometry.head_dim;
        let (layout, mut row, mut at) = (cache.layout(), vec![0.0; span], 0..span);
        for layer in range.layers.clone() {
            let (kept_keys, kept_values) = cache.layer(layer);
            for head in range.heads.clone() {
                for (side, kept, out) in
                    [(KvSide::Keys, kept_keys, &mut keys), (KvSide::Values, kept_values, &mut values)]
                {
                    layout.read(Isa::Portable, side, head, range.positions.clone(), kept, &mut row);
                    out[at.clone()].convert_from_f32_slice(&row);
                }
                at = at.end..at.end + span;
            }
        }
        Ok(KvInterchange { geometry, range, keys, values })
    }

    /// Writes this state to its place in a cache.
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
        let (layout, mut row, mut at) = (cache.layout(), vec![0.0; span], 0..span);
        for layer in self.range.layers.clone() {
            let mut kept = cache.layer_mut(layer);
            for head in self.range.heads.clone() {
                for ((side, kept), state) in kept.iter_mut().zip([&self.keys, &self.values]) {
                    state[at.clone()].convert_to_f32_slice(&mut row);
                    layout.store_head(Isa::Portable, *side, head, self.range.positions.start, &row, kept);
                }
                at = at.end..at.end + span;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nanomind_hal::Lane;
    use nanomind_kernels::KvFormat;

    use super::*;

    const GEOMETRY: KvGeometry = KvGeometry { layers: 2, kv_heads: 3, head_dim: 32 };

    /// A cache whose numbers say where they stand.
    fn numbered(format: KvFormat, context: usize) -> KvCache {
        let mut cache = KvCache::new(GEOMETRY, format, context).expect("small");
        let layout = cache.layout();
        for layer in 0..GEOMETRY.layers {
            for (sign, (side, kept)) in [1.0, -1.0].into_iter().zip(cache.layer_mut(layer)) {
                let value = |i: usize| sign * ((layer * 500 + i / 32) as f32 + (i % 32) as f32 / 64.0);
                let rows: Vec<f32> = (0..context * 3 * 32).map(value).collect();
                layout.store(&Lane::single(), Isa::detect(), side, 0, &rows, kept);
            }
        }
        cache
    }

    fn whole(cache: &KvCache, positions: usize) -> KvInterchange {
        KvInterchange::export(cache, KvRange::positions(GEOMETRY, 0..positions), positions).expect("in range")
    }

    #[test]
    fn state_moved_in_pieces_between_caches_of_different_contexts_arrives_whole() {
        let source = numbered(KvFormat::F16, 50);
        let mut target = KvCache::new(GEOMETRY, KvFormat::F16, 90).expect("small");
        for positions in [0..2, 2..50] {
            for heads in [0..1, 1..3] {
                let range = KvRange { layers: 0..2, heads, positions: positions.clone() };
                KvInterchange::export(&source, range, 50)
                    .expect("in range")
                    .import(&mut target)
                    .expect("same geometry");
            }
        }
        assert_eq!(whole(&source, 50), whole(&target, 50));
    }

    #[test]
    fn eight_bit_state_loses_what_its_codes_cannot_say_and_little_more_on_its_way_back() {
        let exact = whole(&numbered(KvFormat::F16, 50), 50);
        let source = whole(&numbered(KvFormat::Q8_0, 50), 50);
        let mut target = KvCache::new(GEOMETRY, KvFormat::Q8_0, 64).expect("small");
        source.import(&mut target).expect("same geometry");
        let back = whole(&target, 50);
        for (name, found, bound) in [("coded", &source, 0.5 / 127.0), ("moved", &back, 0.6 / 127.0)] {
            for (exact, found) in [(&exact.keys, &found.keys), (&exact.values, &found.values)] {
                for (exact, found) in exact.chunks_exact(32).zip(found.chunks_exact(32)) {
                    let largest = exact.iter().fold(0f32, |most, value| most.max(value.to_f32().abs()));
                    for (exact, found) in exact.iter().zip(found) {
                        // Half precision rounds both what is compared with and what is found.
                        let allowed = largest * (bound + 1.0 / 1024.0);
                        let error = (exact.to_f32() - found.to_f32()).abs();
                        assert!(error <= allowed, "{name}: {exact} became {found}, allowed {allowed}");
                    }
                }
            }
        }
    }

    #[test]
    fn positions_that_were_never_written_are_not_exported() {
        let cache = numbered(KvFormat::F16, 5);
        let error = KvInterchange::export(&cache, KvRange::positions(GEOMETRY, 0..4), 3).expect_err("3 written");
        assert_eq!(error.to_string(), "key-value positions 0..4 lie outside 0..3");
    }

    #[test]
    fn state_that_does_not_fit_is_refused_and_says_why() {
        let mut state = whole(&numbered(KvFormat::F16, 5), 5);
        let mut small = KvCache::new(GEOMETRY, KvFormat::F16, 4).expect("small");
        let error = state.import(&mut small).expect_err("does not fit");
        assert_eq!(error.to_string(), "key-value positions 0..5 lie outside 0..4");
        state.keys.pop();
        let error = state.import(&mut numbered(KvFormat::F16, 5)).expect_err("short");
        assert_eq!(error.to_string(), "key-value state holds 959 elements, expected 960 for its range");
        state.geometry.kv_heads = 1;
        assert!(matches!(state.import(&mut small), Err(KvError::Geometry { .. })));
    }
}
