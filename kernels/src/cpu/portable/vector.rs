//! The vector of plain Rust: arrays that the compiler may or may not turn into registers.

use half::{bf16, f16};

use crate::activations::HIGH_BITS;
use crate::cpu::vector::Vector;

/// Sixteen lanes of plain Rust.
pub(crate) struct Portable;

const LANES: usize = 16;

// SAFETY: nothing here needs an instruction that a machine could lack.
unsafe impl Vector for Portable {
    const LANES: usize = LANES;
    const PANELS: usize = 1;
    const FLOAT_PANELS: usize = 1;
    const FLOAT_TOKENS: usize = 4;
    type Codes = [[u8; 4]; LANES];
    type Sums = [i32; LANES];
    type Floats = [f32; LANES];

    #[inline(always)]
    unsafe fn codes(from: *const u8) -> Self::Codes {
        // SAFETY: the caller lends 64 bytes.
        unsafe { from.cast::<Self::Codes>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn low(codes: Self::Codes) -> Self::Codes {
        codes.map(|row| row.map(|code| code & 15))
    }

    #[inline(always)]
    unsafe fn high(codes: Self::Codes) -> Self::Codes {
        codes.map(|row| row.map(|code| code >> 4))
    }

    #[inline(always)]
    unsafe fn merge(codes: Self::Codes, upper: Self::Codes, left: i32, mask: u8) -> Self::Codes {
        let shifted = |byte: u8| if left >= 0 { byte << left } else { byte >> -left };
        std::array::from_fn(|row| std::array::from_fn(|i| codes[row][i] | (shifted(upper[row][i]) & mask)))
    }

    #[inline(always)]
    unsafe fn store_codes(to: *mut u8, codes: Self::Codes) {
        // SAFETY: the caller lends room for 64 bytes.
        unsafe { to.cast::<Self::Codes>().write_unaligned(codes) }
    }

    #[inline(always)]
    unsafe fn no_sums() -> Self::Sums {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sums: Self::Sums, codes: Self::Codes, activations: *const i8) -> Self::Sums {
        // SAFETY: the caller lends four activations.
        let activations = unsafe { activations.cast::<[i8; 4]>().read_unaligned() }.map(i32::from);
        let mut sums = sums;
        for (sum, row) in sums.iter_mut().zip(codes) {
            for (code, activation) in row.into_iter().zip(activations) {
                *sum += i32::from(code) * activation;
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn start<const BITS: u32, const ZERO: u32>(start: *const i32) -> Self::Sums {
        // SAFETY: the caller lends one value.
        [if ZERO > 0 { unsafe { start.read_unaligned() } } else { 0 }; LANES]
    }

    #[inline(always)]
    unsafe fn finish<const BITS: u32, const ZERO: u32>(
        high: Self::Sums,
        low: Self::Sums,
        _: *const i32,
    ) -> Self::Floats {
        #[expect(clippy::cast_precision_loss, reason = "rounded once, as promised")]
        std::array::from_fn(|lane| ((high[lane] << HIGH_BITS) + low[lane]) as f32)
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Floats {
        [0.0; LANES]
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Floats {
        // SAFETY: the caller lends 16 values.
        unsafe { from.cast::<Self::Floats>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self::Floats {
        // SAFETY: the caller lends 16 values.
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self::Floats {
        // SAFETY: the caller lends 16 values.
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(|bits| bf16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> Self::Floats {
        // SAFETY: the caller lends 16 values.
        unsafe { from.cast::<[u8; LANES]>().read_unaligned() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self::Floats {
        // SAFETY: the caller lends 16 values.
        unsafe { from.cast::<[i8; LANES]>().read_unaligned() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, values: Self::Floats) {
        // SAFETY: the caller lends room for 16 values.
        unsafe { to.cast::<Self::Floats>().write_unaligned(values) }
    }

    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, values: Self::Floats) {
        let halves = values.map(|value| f16::from_f32(value).to_bits());
        // SAFETY: the caller lends room for 16 values.
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(halves) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // A fused multiply-add without the instruction is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    const ATTENTION_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        for row in 0..LANES {
            for column in 0..LANES {
                // SAFETY: the caller lends 16 rows of 16 values and room for as many.
                unsafe { to.add(column * to_stride + row).write(from.add(row * stride + column).read()) };
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
}
