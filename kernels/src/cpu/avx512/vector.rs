//! The vector of AVX-512 with VNNI.

use std::arch::x86_64::*;

use crate::activations::HIGH_BITS;
use crate::block::GROUP;
use crate::cpu::generic::load::scales;
use crate::cpu::vector::Vector;

/// Sixteen lanes of AVX-512.
pub(crate) struct Avx512;

// SAFETY: the instructions are those that `super::run` enables; every function is inlined into it.
unsafe impl Vector for Avx512 {
    const LANES: usize = 16;
    const PANELS: usize = 2;
    const FLOAT_PANELS: usize = 2;
    const FLOAT_TOKENS: usize = 12;
    type Codes = __m512i;
    type Sums = __m512i;
    type Floats = __m512;

    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m512i {
        // SAFETY: the caller lends 64 bytes.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn low(codes: __m512i) -> __m512i {
        // SAFETY: the caller has the features.
        unsafe { _mm512_and_si512(codes, _mm512_set1_epi8(15)) }
    }

    #[inline(always)]
    unsafe fn high(codes: __m512i) -> __m512i {
        // SAFETY: the caller has the features.
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(codes), _mm512_set1_epi8(15)) }
    }

    #[inline(always)]
    unsafe fn merge(codes: __m512i, upper: __m512i, left: i32, mask: u8) -> __m512i {
        // SAFETY: the caller has the features.
        unsafe {
            let shifted = if left >= 0 {
                _mm512_sll_epi16(upper, _mm_cvtsi32_si128(left))
            } else {
                _mm512_srl_epi16(upper, _mm_cvtsi32_si128(-left))
            };
            // codes | shifted & mask
            _mm512_ternarylogic_epi32::<0xf8>(codes, shifted, _mm512_set1_epi8(mask.cast_signed()))
        }
    }

    #[inline(always)]
    unsafe fn store_codes(to: *mut u8, codes: __m512i) {
        // SAFETY: the caller has the features and lends room for 64 bytes.
        unsafe { _mm512_storeu_si512(to.cast(), codes) }
    }

    #[inline(always)]
    unsafe fn no_sums() -> __m512i {
        // SAFETY: the caller has the features.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sums: __m512i, codes: __m512i, activations: *const i8) -> __m512i {
        // SAFETY: the caller has the features and lends four activations.
        unsafe { _mm512_dpbusd_epi32(sums, codes, _mm512_set1_epi32(activations.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn start<const BITS: u32, const ZERO: u32>(start: *const i32) -> __m512i {
        // SAFETY: the caller has the features and lends one value.
        unsafe { if ZERO > 0 { _mm512_set1_epi32(start.read_unaligned()) } else { _mm512_setzero_si512() } }
    }

    #[inline(always)]
    unsafe fn finish<const BITS: u32, const ZERO: u32>(high: __m512i, low: __m512i, _: *const i32) -> __m512 {
        // SAFETY: the caller has the features.
        unsafe { _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<HIGH_BITS>(high), low)) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the caller has the features.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: the caller has the features.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the caller has the features and lends 16 values.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m512 {
        // SAFETY: the caller has the features and lends 16 values.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m512 {
        // SAFETY: the caller has the features and lends 16 values.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> __m512 {
        // SAFETY: the caller has the features and lends 16 values.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> __m512 {
        // SAFETY: the caller has the features and lends 16 values.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, values: __m512) {
        // SAFETY: the caller has the features and lends room for 16 values.
        unsafe { _mm512_storeu_ps(to, values) }
    }

    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, values: __m512) {
        // SAFETY: the caller has the features and lends room for 16 values.
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller has the features.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller has the features.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller has the features.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    const ATTENTION_ROWS: usize = 8;

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller has the features and lends 16 rows of 16 values and room for as many.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = Self::load(from.add(i * stride));
            }
            transpose_rows(rows, to, to_stride);
        }
    }

    #[inline(always)]
    unsafe fn code_group(values: &[f32; GROUP], high: &mut [i8; GROUP], low: &mut [i8; GROUP]) -> (f32, [[i32; 2]; 2]) {
        // SAFETY: the caller has the features; the loads and the stores are as long as the arrays.
        unsafe {
            let (first, second) = (_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(16)));
            let magnitudes = _mm512_set1_epi32(0x7fff_ffff);
            let largest = _mm512_max_epu32(
                _mm512_and_si512(_mm512_castps_si512(first), magnitudes),
                _mm512_and_si512(_mm512_castps_si512(second), magnitudes),
            );
            let (scale, inverse) = scales(f32::from_bits(_mm512_reduce_max_epu32(largest)));
            let inverse = _mm512_set1_ps(inverse);
            let first = _mm512_cvtps_epi32(_mm512_mul_ps(first, inverse));
            let second = _mm512_cvtps_epi32(_mm512_mul_ps(second, inverse));
            let mut sums = [_mm_setzero_si128(); 4];
            for (half, codes) in [first, second].into_iter().enumerate() {
                // Rounded to nearest, so that what is left fits 7 bits with a sign.
                let rounder = _mm512_set1_epi32(1 << (HIGH_BITS - 1));
                let upper = _mm512_srai_epi32::<HIGH_BITS>(_mm512_add_epi32(codes, rounder));
                let lower = _mm512_sub_epi32(codes, _mm512_slli_epi32::<HIGH_BITS>(upper));
                let (upper, lower) = (_mm512_cvtepi32_epi8(upper), _mm512_cvtepi32_epi8(lower));
                _mm_storeu_si128(high.as_mut_ptr().add(16 * half).cast(), upper);
                _mm_storeu_si128(low.as_mut_ptr().add(16 * half).cast(), lower);
                let (ones, none) = (_mm_set1_epi8(1), _mm_setzero_si128());
                sums[half] = _mm_dpbusd_epi32(none, ones, upper);
                sums[2 + half] = _mm_dpbusd_epi32(none, ones, lower);
            }
            let sums = _mm_hadd_epi32(_mm_hadd_epi32(sums[0], sums[1]), _mm_hadd_epi32(sums[2], sums[3]));
            let mut halves = [[0; 2]; 2];
            _mm_storeu_si128(halves.as_mut_ptr().cast(), sums);
            (scale, halves)
        }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const u8) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// Writes column `c` of the square `rows`, one lane for each row, at `to + c · to_stride`.
#[inline(always)]
unsafe fn transpose_rows(rows: [__m512; 16], to: *mut f32, to_stride: usize) {
    // SAFETY: the caller has the features and lends room for 16 columns of 16 values.
    unsafe {
        let mut pairs = rows;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        // quads[4 h + c] has columns c, c + 4, c + 8 and c + 12 of rows 4 h to 4 h + 3.
        let mut quads = pairs;
        for h in 0..4 {
            let [a, b, c, d] = [pairs[4 * h], pairs[4 * h + 1], pairs[4 * h + 2], pairs[4 * h + 3]];
            quads[4 * h] = _mm512_shuffle_ps::<0x44>(a, c);
            quads[4 * h + 1] = _mm512_shuffle_ps::<0xee>(a, c);
            quads[4 * h + 2] = _mm512_shuffle_ps::<0x44>(b, d);
            quads[4 * h + 3] = _mm512_shuffle_ps::<0xee>(b, d);
        }
        for c in 0..4 {
            let (a, b, d, e) = (quads[c], quads[4 + c], quads[8 + c], quads[12 + c]);
            // Columns c and c + 8, then c + 4 and c + 12, of the upper and the lower 8 rows.
            let upper = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)];
            let lower = [_mm512_shuffle_f32x4::<0x88>(d, e), _mm512_shuffle_f32x4::<0xdd>(d, e)];
            for (i, (upper, lower)) in upper.into_iter().zip(lower).enumerate() {
                let column = c + 4 * i;
                let (first, second) =
                    (_mm512_shuffle_f32x4::<0x88>(upper, lower), _mm512_shuffle_f32x4::<0xdd>(upper, lower));
                _mm512_storeu_ps(to.add(column * to_stride), first);
                _mm512_storeu_ps(to.add((column + 8) * to_stride), second);
            }
        }
    }
}
