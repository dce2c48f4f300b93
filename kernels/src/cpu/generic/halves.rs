//! Rows from single to half precision and back.

use half::f16;

use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Rounds `x` to half precision; both are equally long.
pub(crate) struct SinglesToHalves<'a> {
    /// What to round.
    pub(crate) x: &'a [f32],
    /// Where it goes.
    pub(crate) out: &'a mut [f16],
}

impl Op for SinglesToHalves<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut x = self.x.chunks_exact(V::LANES);
        let mut out = self.out.chunks_exact_mut(V::LANES);
        for (x, out) in (&mut x).zip(&mut out) {
            // SAFETY: both chunks are one vector long; `f16` is its bits.
            unsafe { V::store_f16(out.as_mut_ptr().cast(), V::load(x.as_ptr())) }
        }
        for (x, out) in x.remainder().iter().zip(out.into_remainder()) {
            *out = f16::from_f32(*x);
        }
    }
}

/// Widens `x` to single precision; both are equally long.
pub(crate) struct HalvesToSingles<'a> {
    /// What to widen.
    pub(crate) x: &'a [f16],
    /// Where it goes.
    pub(crate) out: &'a mut [f32],
}

impl Op for HalvesToSingles<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut x = self.x.chunks_exact(V::LANES);
        let mut out = self.out.chunks_exact_mut(V::LANES);
        for (x, out) in (&mut x).zip(&mut out) {
            // SAFETY: both chunks are one vector long; `f16` is its bits.
            unsafe { V::store(out.as_mut_ptr(), V::load_f16(x.as_ptr().cast())) }
        }
        for (x, out) in x.remainder().iter().zip(out.into_remainder()) {
            *out = x.to_f32();
        }
    }
}
