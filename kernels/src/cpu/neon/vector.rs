//! The vector of AArch64: two registers of 4 lanes. The dot products and the half-precision conversions are assembly,
//! as their intrinsics are not stable.

use std::arch::aarch64::*;
use std::arch::asm;

use crate::activations::HIGH_BITS;
use crate::cpu::vector::Vector;

/// Without dot product instructions: products are made in 16 bits and added in pairs.
pub(crate) const PLAIN: u8 = 0;
/// With `sdot`.
pub(crate) const DOT: u8 = 1;
/// With `usdot`.
pub(crate) const I8MM: u8 = 2;

/// Eight lanes of NEON, with the dot product of `LEVEL`.
///
/// `sdot` and the plain product take signed bytes: codes below 64 are that already, and 8-bit codes become so (their
/// zero is 128) by turning their highest bit. `usdot` takes codes as they are.
pub(crate) struct Neon<const LEVEL: u8>;

/// Each lane of `sums` plus the products of its 4 signed codes with the 4 activations, without a dot product.
#[inline(always)]
unsafe fn multiply_add(sums: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
    // SAFETY: the caller has the features.
    unsafe {
        let codes = vreinterpretq_s8_u8(codes);
        // Two products of at most 128 · 127 fit 16 bits before they are added in pairs.
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(activations)));
        let high = vpaddlq_s16(vmull_s8(vget_high_s8(codes), vget_high_s8(activations)));
        vaddq_s32(sums, vpaddq_s32(low, high))
    }
}

/// Each lane of `sums` plus the products of its 4 signed codes with the 4 activations.
#[inline(always)]
unsafe fn sdot(sums: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
    let mut out = sums;
    // SAFETY: the instruction reads and writes registers only, and the caller has the feature.
    unsafe {
        asm!(
            "sdot {out:v}.4s, {codes:v}.16b, {activations:v}.16b",
            out = inout(vreg) out,
            codes = in(vreg) codes,
            activations = in(vreg) activations,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    out
}

/// Each lane of `sums` plus the products of its 4 unsigned codes with the 4 activations.
#[inline(always)]
unsafe fn usdot(sums: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
    let mut out = sums;
    // SAFETY: the instruction reads and writes registers only, and the caller has the feature.
    unsafe {
        asm!(
            "usdot {out:v}.4s, {codes:v}.16b, {activations:v}.16b",
            out = inout(vreg) out,
            codes = in(vreg) codes,
            activations = in(vreg) activations,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    out
}

/// Four half-precision values, widened.
#[inline(always)]
unsafe fn widen(halves: uint16x4_t) -> float32x4_t {
    let out: float32x4_t;
    // SAFETY: the instruction reads and writes registers only; every AArch64 machine has it.
    unsafe {
        asm!(
            "fcvtl {out:v}.4s, {halves:v}.4h",
            out = lateout(vreg) out,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    out
}

/// Four values, rounded to half precision.
#[inline(always)]
unsafe fn narrow(values: float32x4_t) -> uint16x4_t {
    let out: uint16x4_t;
    // SAFETY: the instruction reads and writes registers only; every AArch64 machine has it.
    unsafe {
        asm!(
            "fcvtn {out:v}.4h, {values:v}.4s",
            out = lateout(vreg) out,
            values = in(vreg) values,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    out
}

// SAFETY: the instructions are those that `super::run`, with `DOT` `super::run_dot` and with `I8MM` `super::run_i8mm`
// enable; every function is inlined into them.
unsafe impl<const LEVEL: u8> Vector for Neon<LEVEL> {
    const LANES: usize = 8;
    const PANELS: usize = 1;
    const FLOAT_PANELS: usize = 1;
    const FLOAT_TOKENS: usize = 6;
    type Codes = [uint8x16_t; 2];
    type Sums = [int32x4_t; 2];
    type Floats = [float32x4_t; 2];

    #[inline(always)]
    unsafe fn codes(from: *const u8) -> Self::Codes {
        // SAFETY: the caller lends 32 bytes.
        unsafe { [vld1q_u8(from), vld1q_u8(from.add(16))] }
    }

    #[inline(always)]
    unsafe fn low(codes: Self::Codes) -> Self::Codes {
        // SAFETY: the caller has the features.
        unsafe {
            let nibble = vdupq_n_u8(15);
            [vandq_u8(codes[0], nibble), vandq_u8(codes[1], nibble)]
        }
    }

    #[inline(always)]
    unsafe fn high(codes: Self::Codes) -> Self::Codes {
        // SAFETY: the caller has the features.
        unsafe { [vshrq_n_u8::<4>(codes[0]), vshrq_n_u8::<4>(codes[1])] }
    }

    #[inline(always)]
    unsafe fn merge(codes: Self::Codes, upper: Self::Codes, left: i32, mask: u8) -> Self::Codes {
        // SAFETY: the caller has the features.
        unsafe {
            #[expect(clippy::cast_possible_truncation, reason = "a byte is shifted by less than 8")]
            let left = vdupq_n_s8(left as i8);
            let mask = vdupq_n_u8(mask);
            [
                vorrq_u8(codes[0], vandq_u8(vshlq_u8(upper[0], left), mask)),
                vorrq_u8(codes[1], vandq_u8(vshlq_u8(upper[1], left), mask)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store_codes(to: *mut u8, codes: Self::Codes) {
        // SAFETY: the caller lends room for 32 bytes.
        unsafe {
            vst1q_u8(to, codes[0]);
            vst1q_u8(to.add(16), codes[1]);
        }
    }

    #[inline(always)]
    unsafe fn no_sums() -> Self::Sums {
        // SAFETY: the caller has the features.
        unsafe { [vdupq_n_s32(0); 2] }
    }

    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sums: Self::Sums, codes: Self::Codes, activations: *const i8) -> Self::Sums {
        // SAFETY: the caller has the features and lends four activations.
        unsafe {
            let activations = vreinterpretq_s8_s32(vdupq_n_s32(activations.cast::<i32>().read_unaligned()));
            if LEVEL == I8MM {
                return [usdot(sums[0], codes[0], activations), usdot(sums[1], codes[1], activations)];
            }
            let mut codes = codes;
            if BITS == 8 {
                let sign = vdupq_n_u8(0x80);
                codes = [veorq_u8(codes[0], sign), veorq_u8(codes[1], sign)];
            }
            if LEVEL == DOT {
                return [sdot(sums[0], codes[0], activations), sdot(sums[1], codes[1], activations)];
            }
            [multiply_add(sums[0], codes[0], activations), multiply_add(sums[1], codes[1], activations)]
        }
    }

    #[inline(always)]
    unsafe fn start<const BITS: u32, const ZERO: u32>(start: *const i32) -> Self::Sums {
        // SAFETY: the caller has the features and lends one value.
        unsafe {
            // As signed bytes, 8-bit codes lose their zero in each product.
            let here = ZERO > 0 && (LEVEL == I8MM || BITS < 8);
            [vdupq_n_s32(if here { start.read_unaligned() } else { 0 }); 2]
        }
    }

    #[inline(always)]
    unsafe fn finish<const BITS: u32, const ZERO: u32>(
        high: Self::Sums,
        low: Self::Sums,
        _: *const i32,
    ) -> Self::Floats {
        // SAFETY: the caller has the features.
        unsafe {
            let first = vaddq_s32(vshlq_n_s32::<{ HIGH_BITS as i32 }>(high[0]), low[0]);
            let second = vaddq_s32(vshlq_n_s32::<{ HIGH_BITS as i32 }>(high[1]), low[1]);
            [vcvtq_f32_s32(first), vcvtq_f32_s32(second)]
        }
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Floats {
        // SAFETY: the caller has the features.
        unsafe { [vdupq_n_f32(0.0); 2] }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        // SAFETY: the caller has the features.
        unsafe { [vdupq_n_f32(value); 2] }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Floats {
        // SAFETY: the caller lends 8 values.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self::Floats {
        // SAFETY: the caller lends 8 values.
        unsafe { [widen(vld1_u16(from)), widen(vld1_u16(from.add(4)))] }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self::Floats {
        // SAFETY: the caller lends 8 values.
        unsafe {
            [
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from))),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from.add(4)))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> Self::Floats {
        // SAFETY: the caller lends 8 values.
        unsafe {
            let wide = vmovl_u8(vld1_u8(from));
            [vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide)))]
        }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self::Floats {
        // SAFETY: the caller lends 8 values.
        unsafe {
            let wide = vmovl_s8(vld1_s8(from));
            [vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)))]
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, values: Self::Floats) {
        // SAFETY: the caller lends room for 8 values.
        unsafe {
            vst1q_f32(to, values[0]);
            vst1q_f32(to.add(4), values[1]);
        }
    }

    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, values: Self::Floats) {
        // SAFETY: the caller lends room for 8 values.
        unsafe {
            vst1_u16(to, narrow(values[0]));
            vst1_u16(to.add(4), narrow(values[1]));
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the caller has the features.
        unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: the caller has the features.
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: the caller has the features.
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }

    const ATTENTION_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller has the features and lends 8 rows of 8 values and room for as many.
        unsafe {
            for (row, column) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
                let from = from.add(row * stride + column);
                let rows = [0, 1, 2, 3].map(|row| row * stride);
                let (a, b) = (vld1q_f32(from.add(rows[0])), vld1q_f32(from.add(rows[1])));
                let (c, d) = (vld1q_f32(from.add(rows[2])), vld1q_f32(from.add(rows[3])));
                let (even, odd) = (vtrn1q_f32(a, b), vtrn2q_f32(a, b));
                let (even_below, odd_below) = (vtrn1q_f32(c, d), vtrn2q_f32(c, d));
                let pairs = |above, below| (vreinterpretq_f64_f32(above), vreinterpretq_f64_f32(below));
                let ((even, even_below), (odd, odd_below)) = (pairs(even, even_below), pairs(odd, odd_below));
                let columns = [
                    vtrn1q_f64(even, even_below),
                    vtrn1q_f64(odd, odd_below),
                    vtrn2q_f64(even, even_below),
                    vtrn2q_f64(odd, odd_below),
                ];
                for (c, values) in columns.into_iter().enumerate() {
                    vst1q_f32(to.add((column + c) * to_stride + row), vreinterpretq_f32_f64(values));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly)) }
    }
}
