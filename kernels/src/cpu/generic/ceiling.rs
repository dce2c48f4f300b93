//! What a core can do at most: reading, integer dot products and multiply-adds with nothing around them.

use std::hint::black_box;

use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Bytes of one step of a read: eight registers of 512 bits.
const STEP: usize = 512;

/// How far ahead of a read memory is asked for; as far as products ask for weights.
const AHEAD: usize = 6 << 10;

/// Panels of the square of products: as many codes are held while activations pass.
const PANELS: usize = 2;

/// Activations that pass in one round.
const ROUND: usize = 64;

/// Reads all of `data`, in steps of 512 bytes; gives something that depends on every byte of them.
pub(crate) struct ReadAll<'a> {
    /// What is read.
    pub(crate) data: &'a [u8],
}

impl Op for ReadAll<'_> {
    type Output = u64;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> u64 {
        let mut sums = [0u64; STEP / 8];
        for step in self.data.as_chunks::<STEP>().0 {
            for line in (0..STEP).step_by(64) {
                // SAFETY: a prefetch needs no address that exists.
                unsafe { V::prefetch(step.as_ptr().wrapping_add(AHEAD + line)) };
            }
            for (sum, bytes) in sums.iter_mut().zip(step.as_chunks::<8>().0) {
                *sum ^= u64::from_ne_bytes(*bytes);
            }
        }
        sums.into_iter().fold(0, |all, sum| all ^ sum)
    }
}

/// Integer dot products of 4-bit codes in the square that registers hold, `rounds` times over; gives how many
/// multiplications that were.
pub(crate) struct DotProducts {
    /// How often.
    pub(crate) rounds: usize,
}

impl Op for DotProducts {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        // SAFETY: as the caller says; the reads stay inside the arrays, which are as long as they say.
        unsafe { if V::PANELS > 1 { dots::<V, 8>(self.rounds) } else { dots::<V, 4>(self.rounds) } }
    }
}

#[inline(always)]
unsafe fn dots<V: Vector, const T: usize>(rounds: usize) -> usize {
    let codes = black_box([[3u8; 64]; PANELS]);
    let activations = black_box([[1i8; 4]; ROUND]);
    // SAFETY: a register of codes takes at most the 64 bytes of one of `codes`, an activation the 4 of one.
    unsafe {
        let panels = [V::codes(codes[0].as_ptr()), V::codes(codes[1].as_ptr())];
        let mut sums = [[V::no_sums(); T]; PANELS];
        for _ in 0..rounds {
            for group in black_box(&activations).as_chunks::<T>().0 {
                for (t, activation) in group.iter().enumerate() {
                    for (sums, codes) in sums.iter_mut().zip(panels) {
                        sums[t] = V::dot::<4>(sums[t], codes, activation.as_ptr());
                    }
                }
            }
        }
        // By value: what is borrowed lives on the stack, and every step would store there.
        for sum in sums.as_flattened() {
            let _ = black_box(*sum);
        }
    }
    rounds * ROUND * PANELS * 4 * V::LANES
}

/// Multiply-adds in single precision in the square that registers hold, `rounds` times over; gives how many.
pub(crate) struct MultiplyAdds {
    /// How often.
    pub(crate) rounds: usize,
}

impl Op for MultiplyAdds {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        // SAFETY: as the caller says.
        unsafe { if V::PANELS > 1 { multiply_adds::<V, 8>(self.rounds) } else { multiply_adds::<V, 4>(self.rounds) } }
    }
}

#[inline(always)]
unsafe fn multiply_adds<V: Vector, const T: usize>(rounds: usize) -> usize {
    let weights = black_box([[0.5f32; 16]; PANELS]);
    let activations = black_box([0.25f32; ROUND]);
    // SAFETY: a register takes at most the 16 values of one of `weights`.
    unsafe {
        let panels = [V::load(weights[0].as_ptr()), V::load(weights[1].as_ptr())];
        let mut sums = [[V::zero(); T]; PANELS];
        for _ in 0..rounds {
            for group in black_box(&activations).as_chunks::<T>().0 {
                for (t, activation) in group.iter().enumerate() {
                    for (sums, weights) in sums.iter_mut().zip(panels) {
                        sums[t] = V::mul_add(weights, V::splat(*activation), sums[t]);
                    }
                }
            }
        }
        // By value: what is borrowed lives on the stack, and every step would store there.
        for sum in sums.as_flattened() {
            let _ = black_box(*sum);
        }
    }
    rounds * ROUND * PANELS * V::LANES
}
