//! Brings input rows into the form that integer weights are multiplied with: groups of 32 values as codes in two planes.

use crate::activations::{
    GROUP_WORDS, HIGH_BITS, LOW_AT, NEEDED_AT, PLANE_WORDS, SCALES_AT, START_BITS, STARTS_AT, TOTALS_AT,
};
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
    /// How far the largest value of a group rises above the mean of its row's groups before it needs its low plane.
    pub(crate) outliers: f32,
    /// The tile's words.
    pub(crate) out: &'a mut [u32],
}

impl<S: Source> Op for LoadCodes<'_, S> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: as the caller says.
        unsafe { load_codes::<V, S>(self.source, self.first, self.tokens, self.outliers, self.out) };
    }
}

/// Codes the tokens `first..first + tokens` (one tile) into `out`, `[group]` of [`GROUP_WORDS`] · `tokens` words.
#[inline(always)]
unsafe fn load_codes<V: Vector, S: Source>(source: &S, first: usize, tokens: usize, outliers: f32, out: &mut [u32]) {
    for t in 0..tokens {
        let row = source.begin(first + t);
        for (index, words) in out.chunks_exact_mut(GROUP_WORDS * tokens).enumerate() {
            let mut values = [0f32; GROUP];
            source.group(first + t, index * GROUP, row, &mut values);
            let (high, low) = words.split_at_mut(LOW_AT * tokens);
            // SAFETY: as the caller says.
            let (scale, sums) = unsafe { V::code_group(&values, codes(high, tokens, t), codes(low, tokens, t)) };
            finish_plane(&mut high[..PLANE_WORDS * tokens], tokens, t, HIGH_UNIT * scale, sums[0]);
            finish_plane(low, tokens, t, scale, sums[1]);
        }
        choose_planes(out, tokens, t, outliers);
    }
}

/// The codes of token `t` in a plane.
#[inline(always)]
fn codes(plane: &mut [u32], tokens: usize, t: usize) -> &mut [i8; GROUP] {
    &mut bytemuck::cast_slice_mut::<u32, [i8; GROUP]>(&mut plane[..SCALES_AT * tokens])[t]
}

/// Writes a plane's words of token `t` beside its codes.
#[inline(always)]
fn finish_plane(plane: &mut [u32], tokens: usize, t: usize, scale: f32, sums: [i32; 2]) {
    plane[SCALES_AT * tokens + t] = scale.to_bits();
    let all = sums[0].wrapping_add(sums[1]);
    for (at, (sum, bits)) in [all, all, all, sums[0], sums[1]].into_iter().zip(START_BITS).enumerate() {
        plane[(STARTS_AT + at) * tokens + t] = (sum << bits).wrapping_neg().cast_unsigned();
    }
}

/// Decides which groups of token `t` need their low plane, from nothing but the token's own row: those whose largest
/// value, and with it the error of codes of 8 bits, is over `outliers` times the mean of the row's groups. The low
/// codes of the others become 0.
#[inline(always)]
fn choose_planes(out: &mut [u32], tokens: usize, t: usize, outliers: f32) {
    let scale_at = (LOW_AT + SCALES_AT) * tokens + t;
    let (mut sum, mut groups) = (0.0, 0.0);
    for words in out.chunks_exact(GROUP_WORDS * tokens) {
        sum += f32::from_bits(words[scale_at]);
        groups += 1.0;
    }
    let most = outliers * (sum / groups);
    for words in out.chunks_exact_mut(GROUP_WORDS * tokens) {
        let coded = |plane: usize| {
            let start = words[(plane + STARTS_AT) * tokens + t].cast_signed();
            #[expect(clippy::cast_precision_loss, reason = "at most 32 · 127, which is exact")]
            let sum = -(start >> START_BITS[0]) as f32;
            f32::from_bits(words[(plane + SCALES_AT) * tokens + t]) * sum
        };
        let needed = f32::from_bits(words[scale_at]) > most;
        let total = if needed { coded(0) + coded(LOW_AT) } else { coded(0) };
        words[TOTALS_AT * tokens + t] = total.to_bits();
        let others = if t == 0 { 0 } else { words[NEEDED_AT * tokens] };
        words[NEEDED_AT * tokens] = others | u32::from(needed);
        if !needed {
            let low = &mut words[LOW_AT * tokens..];
            *codes(low, tokens, t) = [0; GROUP];
            for start in 0..START_BITS.len() {
                low[(STARTS_AT + start) * tokens + t] = 0;
            }
        }
    }
}

/// What a high code of 1 is worth in low ones.
const HIGH_UNIT: f32 = (1 << HIGH_BITS) as f32;

/// The largest code: the largest high code, and no low one.
const LARGEST_CODE: f32 = (127 << HIGH_BITS) as f32;

/// Makes the codes of 32 values, to nearest and ties to even, in their two planes; gives the scale of the
/// low codes and the sums of the high and of the low codes of each half.
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
