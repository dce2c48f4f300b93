//! Brings input rows into the form that integer weights are multiplied with: groups of 32 values as codes in two planes.

use crate::activations::{GROUP_WORDS, HIGH_BITS, LOW_AT, SCALES_AT, START_BITS, STARTS_AT, TOTALS_AT};
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
            let (high, rest) = words.split_at_mut(LOW_AT * tokens);
            let low = &mut rest[..(SCALES_AT - LOW_AT) * tokens];
            // SAFETY: as the caller says.
            let (scale, sums) = unsafe { V::code_group(&values, codes(high, t), codes(low, t)) };
            let [first, last] = [0, 1].map(|half| (sums[0][half] << HIGH_BITS).wrapping_add(sums[1][half]));
            let all = first.wrapping_add(last);
            words[SCALES_AT * tokens + t] = scale.to_bits();
            #[expect(clippy::cast_precision_loss, reason = "at most 32 · 127 · 128, which is exact")]
            let total = scale * all as f32;
            words[TOTALS_AT * tokens + t] = total.to_bits();
            for (at, (sum, bits)) in [all, all, all, first, last].into_iter().zip(START_BITS).enumerate() {
                words[(STARTS_AT + at) * tokens + t] = (sum << bits).wrapping_neg().cast_unsigned();
            }
        }
    }
}

/// The codes of token `t` in a plane.
#[inline(always)]
fn codes(plane: &mut [u32], t: usize) -> &mut [i8; GROUP] {
    &mut bytemuck::cast_slice_mut::<u32, [i8; GROUP]>(plane)[t]
}

/// The largest code: the largest high code, and no low one.
const LARGEST_CODE: f32 = (127 << HIGH_BITS) as f32;

/// Makes the codes of 32 values, to nearest and ties to even, in their two planes; gives their scale
/// and the sums of the high and of the low codes of each half.
#[inline(always)]
pub(crate) fn code_group(values: &[f32; GROUP], high: &mut [i8; GROUP], low: &mut [i8; GROUP]) -> (f32, [[i32; 2]; 2]) {
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
    for ((high, low), integer) in high.iter_mut().zip(&mut *low).zip(integers) {
        // Rounded to nearest, so that what is left fits 7 bits with a sign.
        let upper = integer.wrapping_add(1 << (HIGH_BITS - 1)) >> HIGH_BITS;
        #[expect(clippy::cast_possible_truncation, reason = "as above")]
        {
            (*high, *low) = (upper as i8, integer.wrapping_sub(upper << HIGH_BITS) as i8);
        }
    }
    let halves = |codes: &[i8; GROUP]| {
        let (first, second) = codes.split_at(GROUP / 2);
        [first, second].map(|half| half.iter().map(|code| i32::from(*code)).sum())
    };
    (scale, [halves(high), halves(low)])
}

/// The scale of a group and its inverse, from its largest magnitude.
#[inline(always)]
pub(crate) fn scales(largest: f32) -> (f32, f32) {
    if largest < SMALLEST { (0.0, 0.0) } else { (largest / LARGEST_CODE, LARGEST_CODE / largest) }
}
