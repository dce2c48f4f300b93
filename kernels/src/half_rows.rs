//! Half precision, for caches and for embeddings that cross from brick to brick.

use half::f16;

use crate::Isa;
use crate::cpu::{self, HalvesToSingles, SinglesToHalves};

/// Rounds each value to half precision, to nearest even; what is too large becomes infinite.
///
/// # Panics
/// The two differ in length.
pub fn f32_to_f16(isa: Isa, x: &[f32], out: &mut [f16]) {
    assert_eq!(x.len(), out.len(), "{} values, room for {}", x.len(), out.len());
    cpu::run(isa, SinglesToHalves { x, out });
}

/// Widens each value, exactly.
///
/// # Panics
/// The two differ in length.
pub fn f16_to_f32(isa: Isa, x: &[f16], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "{} values, room for {}", x.len(), out.len());
    cpu::run(isa, HalvesToSingles { x, out });
}
