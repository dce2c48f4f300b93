//! The vector of AVX2, with the dot product of AVX-VNNI or with that of `vpmaddubsw`.

use std::arch::x86_64::*;

use crate::activations::HIGH_BITS;
use crate::cpu::vector::Vector;

/// Eight lanes of AVX2.
///
/// Without VNNI products are summed in 16 bits first: 4-bit codes for all 8 steps of 32 columns (at most
/// 8 · 2 · 15 · 127 = 30,480), wider ones for one step. 8-bit codes would overflow even that, so they are made signed
/// (their zero is 128) and multiplied by magnitude.
pub(crate) struct Avx2<const VNNI: bool>;

// SAFETY: the instructions are those that `super::run` and, with `VNNI`, `super::run_vnni` enable; every function is
// inlined into them.
unsafe impl<const VNNI: bool> Vector for Avx2<VNNI> {
    const LANES: usize = 8;
    const PANELS: usize = 1;
    const FLOAT_PANELS: usize = 1;
    const FLOAT_TOKENS: usize = 6;
    type Codes = __m256i;
    type Sums = __m256i;
    type Floats = __m256;

    #[inline(always)]
    unsafe fn codes(from: *const u8) -> __m256i {
        // SAFETY: the caller lends 32 bytes.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn low(codes: __m256i) -> __m256i {
        // SAFETY: the caller has the features.
        unsafe { _mm256_and_si256(codes, _mm256_set1_epi8(15)) }
    }

    #[inline(always)]
    unsafe fn high(codes: __m256i) -> __m256i {
        // SAFETY: the caller has the features.
        unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(codes), _mm256_set1_epi8(15)) }
    }

    #[inline(always)]
    unsafe fn merge(codes: __m256i, upper: __m256i, left: i32, mask: u8) -> __m256i {
        // SAFETY: the caller has the features.
        unsafe {
            let shifted = if left >= 0 {
                _mm256_sll_epi16(upper, _mm_cvtsi32_si128(left))
            } else {
                _mm256_srl_epi16(upper, _mm_cvtsi32_si128(-left))
            };
            _mm256_or_si256(codes, _mm256_and_si256(shifted, _mm256_set1_epi8(mask.cast_signed())))
        }
    }

    #[inline(always)]
    unsafe fn store_codes(to: *mut u8, codes: __m256i) {
        // SAFETY: the caller has the features and lends room for 32 bytes.
        unsafe { _mm256_storeu_si256(to.cast(), codes) }
    }

    #[inline(always)]
    unsafe fn no_sums() -> __m256i {
        // SAFETY: the caller has the features.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn dot<const BITS: u32>(sums: __m256i, codes: __m256i, activations: *const i8) -> __m256i {
        // SAFETY: the caller has the features and lends four activations.
        unsafe {
            let activations = _mm256_set1_epi32(activations.cast::<i32>().read_unaligned());
            if VNNI {
                return _mm256_dpbusd_avx_epi32(sums, codes, activations);
            }
            match BITS {
                4 => _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes, activations)),
                6 => {
                    let pairs = _mm256_maddubs_epi16(codes, activations);
                    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
                }
                _ => {
                    let signed = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
                    let activations = _mm256_sign_epi8(activations, signed);
                    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), activations);
                    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn start<const BITS: u32, const ZERO: u32>(start: *const i32) -> __m256i {
        // SAFETY: the caller has the features and lends one value.
        unsafe {
            // Without VNNI, sums of 4-bit codes have 16 bits, and 8-bit codes lose their zero in each product.
            let here = ZERO > 0 && (VNNI || BITS == 6);
            if here { _mm256_set1_epi32(start.read_unaligned()) } else { _mm256_setzero_si256() }
        }
    }

    #[inline(always)]
    unsafe fn finish<const BITS: u32, const ZERO: u32>(high: __m256i, low: __m256i, start: *const i32) -> __m256 {
        // SAFETY: the caller has the features and lends one value.
        unsafe {
            if VNNI || BITS != 4 {
                return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_slli_epi32::<{ HIGH_BITS as i32 }>(high), low));
            }
            let high = _mm256_madd_epi16(high, _mm256_set1_epi16(1 << HIGH_BITS));
            let mut sums = _mm256_add_epi32(high, _mm256_madd_epi16(low, _mm256_set1_epi16(1)));
            if ZERO > 0 {
                sums = _mm256_add_epi32(sums, _mm256_set1_epi32(start.read_unaligned()));
            }
            _mm256_cvtepi32_ps(sums)
        }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the caller has the features.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        // SAFETY: the caller has the features.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: the caller has the features and lends 8 values.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> __m256 {
        // SAFETY: the caller has the features and lends 8 values.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> __m256 {
        // SAFETY: the caller has the features and lends 8 values.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_u8(from: *const u8) -> __m256 {
        // SAFETY: the caller has the features and lends 8 values.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> __m256 {
        // SAFETY: the caller has the features and lends 8 values.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, values: __m256) {
        // SAFETY: the caller has the features and lends room for 8 values.
        unsafe { _mm256_storeu_ps(to, values) }
    }

    #[inline(always)]
    unsafe fn store_f16(to: *mut u16, values: __m256) {
        // SAFETY: the caller has the features and lends room for 8 values.
        unsafe { _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller has the features.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller has the features.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller has the features.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    const ATTENTION_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller has the features and lends 8 rows of 8 values and room for as many.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = Self::load(from.add(i * stride));
            }
            transpose_rows(rows, to, to_stride);
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
unsafe fn transpose_rows(rows: [__m256; 8], to: *mut f32, to_stride: usize) {
    // SAFETY: the caller has the features and lends room for 8 columns of 8 values.
    unsafe {
        let mut pairs = rows;
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        // quads[4 h + c] has column c (and c + 4) of rows 4 h to 4 h + 3.
        let mut quads = pairs;
        for h in 0..2 {
            let [a, b, c, d] = [pairs[4 * h], pairs[4 * h + 1], pairs[4 * h + 2], pairs[4 * h + 3]];
            quads[4 * h] = _mm256_shuffle_ps::<0x44>(a, c);
            quads[4 * h + 1] = _mm256_shuffle_ps::<0xee>(a, c);
            quads[4 * h + 2] = _mm256_shuffle_ps::<0x44>(b, d);
            quads[4 * h + 3] = _mm256_shuffle_ps::<0xee>(b, d);
        }
        for c in 0..4 {
            let (top, bottom) = (quads[c], quads[4 + c]);
            _mm256_storeu_ps(to.add(c * to_stride), _mm256_permute2f128_ps::<0x20>(top, bottom));
            _mm256_storeu_ps(to.add((c + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(top, bottom));
        }
    }
}
