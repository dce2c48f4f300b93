//! Brings input rows into the form that the kernels read: groups of 32 values as 8-bit codes, or columns of floats.

use crate::activations::{GROUP_WORDS, SCALES_AT, SUMS_AT};
use crate::block::GROUP;
use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Rows of input, made 32 values at a time so that nothing is written before it is needed.
pub(crate) trait Source: Sync {
    /// Called once for each row, before its groups; what it returns is passed back to [`Source::group`].
    fn begin(&self, token: usize) -> f32;
    /// The values of `token` from column `start` on; `values` is shorter than 32 only at the end of a row.
    fn group(&self, token: usize, start: usize, factor: f32, values: &mut [f32]);
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
        load_codes(self.source, self.first, self.tokens, self.out);
    }
}

/// [`load_floats`] as an operation.
pub(crate) struct LoadFloats<'a, S> {
    /// Where the rows come from.
    pub(crate) source: &'a S,
    /// The first token of the tile.
    pub(crate) first: usize,
    /// Tokens of the tile.
    pub(crate) tokens: usize,
    /// The tile's columns.
    pub(crate) out: &'a mut [f32],
}

impl<S: Source> Op for LoadFloats<'_, S> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        load_floats(self.source, self.first, self.tokens, self.out);
    }
}

/// Codes the tokens `first..first + tokens` (one tile) into `out`, `[group]` of [`GROUP_WORDS`] · `tokens` words.
#[inline(always)]
fn load_codes<S: Source>(source: &S, first: usize, tokens: usize, out: &mut [u32]) {
    for t in 0..tokens {
        let factor = source.begin(first + t);
        for (index, words) in out.chunks_exact_mut(GROUP_WORDS * tokens).enumerate() {
            let mut values = [0f32; GROUP];
            source.group(first + t, index * GROUP, factor, &mut values);
            let (scale, codes, halves) = code_group(&values);
            let codes: &[u32] = bytemuck::cast_slice(&codes);
            words[t * codes.len()..][..codes.len()].copy_from_slice(codes);
            let sum = halves[0] + halves[1];
            #[expect(clippy::cast_precision_loss, reason = "at most 32 · 127, which is exact")]
            let scaled_sum = scale * sum as f32;
            words[SCALES_AT * tokens + t] = scale.to_bits();
            words[(SCALES_AT + 1) * tokens + t] = scaled_sum.to_bits();
            words[SUMS_AT * tokens + t] = (-sum).cast_unsigned();
            words[(SUMS_AT + 1) * tokens + t] = (-halves[0]).cast_unsigned();
            words[(SUMS_AT + 2) * tokens + t] = (-halves[1]).cast_unsigned();
        }
    }
}

/// Words of codes, aligned so that they can be copied as such.
#[repr(C, align(4))]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Quad([i8; 4]);

/// The scale, the codes (−127..=127, to nearest) and the sums of the two halves of 32 values.
#[inline(always)]
fn code_group(values: &[f32; GROUP]) -> (f32, [Quad; GROUP / 4], [i32; 2]) {
    // Magnitudes compare like the integers of their bits, and not-a-number is the largest: it ends up in the scale.
    let mut largest = 0u32;
    for value in values {
        largest = largest.max(value.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    let (scale, inverse) = if largest < SMALLEST { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) };
    let mut integers = [0i32; GROUP];
    for (integer, value) in integers.iter_mut().zip(values) {
        let rounded = (value * inverse + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits());
        *integer = i32::from(rounded as u8 as i8);
    }
    let mut halves = [0i32; 2];
    for (sum, half) in halves.iter_mut().zip(integers.as_chunks::<16>().0) {
        *sum = half.iter().sum();
    }
    let mut codes = [Quad([0; 4]); GROUP / 4];
    for (quad, integers) in codes.iter_mut().zip(integers.as_chunks::<4>().0) {
        quad.0 = integers.map(|integer| integer as i8);
    }
    (scale, codes, halves)
}

/// Copies the tokens `first..first + tokens` (one tile) into `out`, `[cols][tokens]`.
#[inline(always)]
fn load_floats<S: Source>(source: &S, first: usize, tokens: usize, out: &mut [f32]) {
    for t in 0..tokens {
        let factor = source.begin(first + t);
        for (index, columns) in out.chunks_mut(GROUP * tokens).enumerate() {
            let mut values = [0f32; GROUP];
            let values = &mut values[..columns.len() / tokens];
            source.group(first + t, index * GROUP, factor, values);
            for (column, value) in columns.chunks_exact_mut(tokens).zip(values) {
                column[t] = *value;
            }
        }
    }
}
