//! Brings input rows into the form that integer weights are multiplied with: groups of 32 values as codes in two planes.

use super::rows::fold;
use crate::activations::{GROUP_WORDS, HIGH_BITS, LOW_AT, SCALES_AT, SUMS_AT};
use crate::block::GROUP;
use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Rows of input, made 32 values at a time so that nothing is written before it is needed.
pub(crate) trait Source: Sync {
    /// What is to be known of a whole row before its values.
    type Row: Copy;
    /// Called once for each row, before its groups; what it returns is passed back to [`Source::group`].
    fn begin(&self, token: usize) -> Self::Row;
    /// The values of `token` from column `start` on; `values` is shorter than 32 only at the end of a row.
    fn group(&self, token: usize, start: usize, row: Self::Row, values: &mut [f32]);
}

/// Groups whose largest magnitude is below this count as zero; the reciprocal of their scale would overflow.
const SMALLEST: f32 = 1e-36;

/// 1.5 · 2²³: added to a value below 2²², it leaves the value rounded to nearest even in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// [`load_codes`] as an operation.
pub(crate) struct LoadCodes<'a, S> {
    /// Where the rows come from.
    pub(crate) source: &'a S,
    /// The first token of the tile.
    pub(crate) first: usize,
    /// Tokens of the tile.
    pub(crate) tokens: usize,
    /// The tile's words.
    pub(crate) out: &'a mut [u32],
}

impl<S: Source> Op for LoadCodes<'_, S> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: as the caller says.
        unsafe { load_codes::<V, S>(self.source, self.first, self.tokens, self.out) };
    }
}

/// Codes the tokens `first..first + tokens` (one tile) into `out`, `[group]` of [`GROUP_WORDS`] · `tokens` words.
#[inline(always)]
unsafe fn load_codes<V: Vector, S: Source>(source: &S, first: usize, tokens: usize, out: &mut [u32]) {
    for t in 0..tokens {
        let row = source.begin(first + t);
        for (index, words) in out.chunks_exact_mut(GROUP_WORDS * tokens).enumerate() {
            let mut values = [0f32; GROUP];
            source.group(first + t, index * GROUP, row, &mut values);
            let (high, low) = words[..SCALES_AT * tokens].split_at_mut(LOW_AT * tokens);
            let high = &mut bytemuck::cast_slice_mut::<u32, [i8; GROUP]>(high)[t];
            let low = &mut bytemuck::cast_slice_mut::<u32, [i8; GROUP]>(low)[t];
            // SAFETY: as the caller says.
            let (scale, halves) = unsafe { V::code_group(&values, high, low) };
            let sum = halves[0].wrapping_add(halves[1]);
            #[expect(clippy::cast_precision_loss, reason = "at most 32 · 127 · 128, which is exact")]
            let scaled_sum = scale * sum as f32;
            words[SCALES_AT * tokens + t] = scale.to_bits();
            words[(SCALES_AT + 1) * tokens + t] = scaled_sum.to_bits();
            words[SUMS_AT * tokens + t] = sum.wrapping_neg().cast_unsigned();
            words[(SUMS_AT + 1) * tokens + t] = halves[0].wrapping_neg().cast_unsigned();
            words[(SUMS_AT + 2) * tokens + t] = halves[1].wrapping_neg().cast_unsigned();
        }
    }
}

/// The largest code: the largest high code, and no low one.
const LARGEST_CODE: f32 = (127 << HIGH_BITS) as f32;

/// Makes the codes of 32 values, to nearest and ties to even, in their two planes; gives the scale and the sums of the
/// codes of each half.
#[inline(always)]
pub(crate) fn code_group(values: &[f32; GROUP], high: &mut [i8; GROUP], low: &mut [i8; GROUP]) -> (f32, [i32; 2]) {
    // Magnitudes compare like the integers of their bits, and not-a-number is the largest: it ends up in the scale.
    let mut largest = 0u32;
    for value in values {
        largest = largest.max(value.to_bits() & 0x7fff_ffff);
    }
    let (scale, inverse) = scales(f32::from_bits(largest));
    let mut integers = [0i32; GROUP];
    for (integer, value) in integers.iter_mut().zip(values) {
        // Only not-a-numbers leave ±127 · 128, and their scale makes whatever comes of them not-a-number again.
        *integer = (value * inverse + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed();
    }
    for ((high, low), integer) in high.iter_mut().zip(low).zip(integers) {
        // Rounded to nearest, so that what is left fits 7 bits with a sign.
        let upper = integer.wrapping_add(1 << (HIGH_BITS - 1)) >> HIGH_BITS;
        #[expect(clippy::cast_possible_truncation, reason = "as above")]
        {
            (*high, *low) = (upper as i8, integer.wrapping_sub(upper << HIGH_BITS) as i8);
        }
    }
    let (first, second) = integers.as_chunks::<16>().0.split_at(1);
    (scale, [fold(first[0], i32::wrapping_add), fold(second[0], i32::wrapping_add)])
}

/// The scale of a group and its inverse, from its largest magnitude.
#[inline(always)]
pub(crate) fn scales(largest: f32) -> (f32, f32) {
    if largest < SMALLEST { (0.0, 0.0) } else { (largest / LARGEST_CODE, LARGEST_CODE / largest) }
}
