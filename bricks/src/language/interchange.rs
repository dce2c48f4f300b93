//! The canonical form in which key-value state moves between backends: F16, any range of layers, heads and positions.
//!
//! Whatever a cache keeps in half precision arrives bit for bit. Out of a `Q8_0` cache each value comes as its scale times
//! its code, rounded to half precision; into one it goes by being coded again, which loses up to 1/254 of the largest of
//! its 32 values, little of it where the state came out of such a cache.

use std::ops::Range;

use half::f16;
use nanomind_kernels::BackendError;
use nanomind_kernels::backend::{KvGeometry, KvRange};

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
    /// The device that holds the cache failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
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

    /// Room for `range` of a cache of `geometry` whose first `positions` positions are written.
    pub(super) fn of(geometry: KvGeometry, range: KvRange, positions: usize) -> Result<KvInterchange, KvError> {
        check(&range, geometry, positions)?;
        let [keys, values] = [(); 2].map(|()| vec![f16::ZERO; range.vectors() * geometry.head_dim]);
        Ok(KvInterchange { geometry, range, keys, values })
    }

    /// Whether this state has a place in a cache of `expected` geometry and `context` positions.
    pub(super) fn check(&self, expected: KvGeometry, context: usize) -> Result<(), KvError> {
        if self.geometry != expected {
            return Err(KvError::Geometry { expected, found: self.geometry });
        }
        check(&self.range, expected, context)?;
        let elements = self.range.vectors() * expected.head_dim;
        match [&self.keys, &self.values].into_iter().find(|state| state.len() != elements) {
            Some(state) => Err(KvError::Elements { expected: elements, found: state.len() }),
            None => Ok(()),
        }
    }
}

/// Whether `range` lies in a cache of `positions` positions.
fn check(range: &KvRange, geometry: KvGeometry, positions: usize) -> Result<(), KvError> {
    let check = |axis, range: &Range<usize>, limit| {
        if range.start <= range.end && range.end <= limit {
            Ok(())
        } else {
            Err(KvError::OutOfRange { axis, start: range.start, end: range.end, limit })
        }
    };
    check("layers", &range.layers, geometry.layers)?;
    check("heads", &range.heads, geometry.kv_heads)?;
    check("positions", &range.positions, positions)
}

#[cfg(test)]
mod tests {
    use nanomind_hal::Lane;
    use nanomind_kernels::backend::KvCache;
    use nanomind_kernels::{Backend, Cpu, Isa, KvFormat};

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

    const CPU: Cpu = Cpu::new(Isa::Portable);

    fn export(cache: &KvCache, range: KvRange, positions: usize) -> Result<KvInterchange, KvError> {
        let mut state = KvInterchange::of(GEOMETRY, range, positions)?;
        CPU.read_kv(cache, &state.range, &mut state.keys, &mut state.values)?;
        Ok(state)
    }

    fn import(state: &KvInterchange, cache: &mut KvCache) -> Result<(), KvError> {
        state.check(GEOMETRY, cache.layout().capacity())?;
        Ok(CPU.write_kv(cache, &state.range, &state.keys, &state.values)?)
    }

    fn whole(cache: &KvCache, positions: usize) -> KvInterchange {
        export(cache, KvRange::positions(GEOMETRY, 0..positions), positions).expect("in range")
    }

    #[test]
    fn state_moved_in_pieces_between_caches_of_different_contexts_arrives_whole() {
        let source = numbered(KvFormat::F16, 50);
        let mut target = KvCache::new(GEOMETRY, KvFormat::F16, 90).expect("small");
        for positions in [0..2, 2..50] {
            for heads in [0..1, 1..3] {
                let range = KvRange { layers: 0..2, heads, positions: positions.clone() };
                let state = export(&source, range, 50).expect("in range");
                import(&state, &mut target).expect("same geometry");
            }
        }
        assert_eq!(whole(&source, 50), whole(&target, 50));
    }

    #[test]
    fn eight_bit_state_loses_what_its_codes_cannot_say_and_little_more_on_its_way_back() {
        let exact = whole(&numbered(KvFormat::F16, 50), 50);
        let source = whole(&numbered(KvFormat::Q8_0, 50), 50);
        let mut target = KvCache::new(GEOMETRY, KvFormat::Q8_0, 64).expect("small");
        import(&source, &mut target).expect("same geometry");
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
        let error = export(&cache, KvRange::positions(GEOMETRY, 0..4), 3).expect_err("3 written");
        assert_eq!(error.to_string(), "key-value positions 0..4 lie outside 0..3");
    }

    #[test]
    fn state_that_does_not_fit_is_refused_and_says_why() {
        let mut state = whole(&numbered(KvFormat::F16, 5), 5);
        let mut small = KvCache::new(GEOMETRY, KvFormat::F16, 4).expect("small");
        let error = import(&state, &mut small).expect_err("does not fit");
        assert_eq!(error.to_string(), "key-value positions 0..5 lie outside 0..4");
        state.keys.pop();
        let error = import(&state, &mut numbered(KvFormat::F16, 5)).expect_err("short");
        assert_eq!(error.to_string(), "key-value state holds 959 elements, expected 960 for its range");
        state.geometry.kv_heads = 1;
        assert!(matches!(import(&state, &mut small), Err(KvError::Geometry { .. })));
    }
}
