//! Brings input rows into the form that float weights are multiplied with: tile after tile, `[columns][tokens]`.

use super::load::Source;
use crate::block::GROUP;
use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Tokens of the widest tile, rounded up to whole registers.
const MOST_TOKENS: usize = 16;

/// Loads one tile.
pub(crate) struct LoadFloats<'a, S> {
    /// Where the rows come from.
    pub(crate) source: &'a S,
    /// The first token of the tile.
    pub(crate) first: usize,
    /// Tokens of the tile: one of the widths that [`crate::cpu::float_tiles`] gives.
    pub(crate) tokens: usize,
    /// The tile's columns.
    pub(crate) out: &'a mut [f32],
}

impl<S: Source> Op for LoadFloats<'_, S> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: as the caller says.
        unsafe {
            match self.tokens {
                12 => load::<V, S, 12>(self.source, self.first, self.out),
                6 => load::<V, S, 6>(self.source, self.first, self.out),
                4 => load::<V, S, 4>(self.source, self.first, self.out),
                2 => load::<V, S, 2>(self.source, self.first, self.out),
                _ => load::<V, S, 1>(self.source, self.first, self.out),
            }
        }
    }
}

/// Transposes the tokens `first..first + T` into `out`, `[cols][T]`, 32 columns at a time.
#[inline(always)]
unsafe fn load<V: Vector, S: Source, const T: usize>(source: &S, first: usize, out: &mut [f32]) {
    let mut rows = [source.begin(first); T];
    for (t, row) in rows.iter_mut().enumerate().skip(1) {
        *row = source.begin(first + t);
    }
    let mut values = [[0f32; GROUP]; MOST_TOKENS];
    let mut columns = [[0f32; MOST_TOKENS]; GROUP];
    for (index, out) in out.chunks_mut(GROUP * T).enumerate() {
        let count = out.len() / T;
        for (t, row) in rows.iter().enumerate() {
            source.group(first + t, index * GROUP, *row, &mut values[t][..count]);
        }
        for token in (0..T).step_by(V::LANES) {
            for column in (0..GROUP).step_by(V::LANES) {
                // SAFETY: `LANES` divides 16 and 32, so that whole squares lie inside both arrays.
                unsafe {
                    let from = values.as_ptr().cast::<f32>().add(token * GROUP + column);
                    let to = columns.as_mut_ptr().cast::<f32>().add(column * MOST_TOKENS + token);
                    V::transpose(from, GROUP, to, MOST_TOKENS);
                }
            }
        }
        for (out, column) in out.as_chunks_mut::<T>().0.iter_mut().zip(&columns) {
            out.copy_from_slice(&column[..T]);
        }
    }
}
