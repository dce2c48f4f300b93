//! One tile of a product of float weights: one or two panels × up to 12 tokens, over a block of columns.
//!
//! A value is the sum of its columns in their order, each added by one multiply-add: neither the tile nor the block
//! changes anything about that.

use super::tile::{Place, finish_vector};
use crate::cpu::vector::Vector;
use crate::panel::PANEL_ROWS;

/// Rows of the widest tile, for each of which there is a sum between two blocks of columns.
pub(crate) const MOST_ROWS: usize = 2 * PANEL_ROWS;

/// A float format, known to the compiler.
pub(crate) trait Float {
    /// Bytes of a value.
    const BYTES: usize;
    /// Reads one column of `V::LANES` rows.
    ///
    /// # Safety
    /// As for [`Vector::load`].
    unsafe fn load<V: Vector>(from: *const u8) -> V::Floats;
}

macro_rules! float {
    ($($name:ident $format:literal $bytes:literal $load:ident),*) => {$(
        #[doc = $format]
        pub(crate) struct $name;
        impl Float for $name {
            const BYTES: usize = $bytes;
            #[inline(always)]
            unsafe fn load<V: Vector>(from: *const u8) -> V::Floats {
                // SAFETY: as the caller says.
                unsafe { V::$load(from.cast()) }
            }
        }
    )*};
}
float!(Single "Single precision." 4 load, Half "Half precision." 2 load_f16, Brain "Bfloat16." 2 load_bf16);

/// One tile to compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloatTile {
    /// The first column of the block in the first panel, `[columns][16 rows]`.
    pub(crate) weights: *const u8,
    /// Bytes from a panel to the next.
    pub(crate) panel_bytes: usize,
    /// The block's activations, `[columns][tokens]`.
    pub(crate) activations: *const f32,
    /// Columns of the block.
    pub(crate) columns: usize,
    /// Sums of the blocks before, and then also of this one, `[tokens][32]`.
    pub(crate) sums: *mut f32,
    /// Whether this is the first block of the columns.
    pub(crate) begins: bool,
    /// Whether this is the last block of the columns.
    pub(crate) ends: bool,
    /// Where the values go.
    pub(crate) place: Place,
}

/// How far ahead of its use a single token's product asks memory for weights.
const AHEAD: usize = 4 << 10;

/// Adds a block of columns to the sums of `N · LANES` rows of `T` tokens.
///
/// # Safety
/// `V`'s instructions exist; the pointers of `tile` are valid for a block of `N · LANES` rows, for `T` tokens'
/// activations and sums, and for `rows` values of each of `T` tokens, which nobody else touches.
#[inline(always)]
pub(crate) unsafe fn float_tile<V: Vector, F: Float, const N: usize, const T: usize>(tile: &FloatTile) {
    // SAFETY: all reads stay inside the block and the activations.
    unsafe {
        let mut totals = [[V::zero(); N]; T];
        if !tile.begins {
            for (t, total) in totals.iter_mut().enumerate() {
                for (v, total) in total.iter_mut().enumerate() {
                    *total = V::load(tile.sums.add(t * MOST_ROWS + v * V::LANES));
                }
            }
        }
        let mut column = tile.weights;
        let mut activations = tile.activations;
        for _ in 0..tile.columns {
            let mut weights = [V::zero(); N];
            for (v, weights) in weights.iter_mut().enumerate() {
                let row = v * V::LANES;
                let at = row / PANEL_ROWS * tile.panel_bytes + row % PANEL_ROWS * F::BYTES;
                *weights = F::load::<V>(column.add(at));
                if T == 1 {
                    V::prefetch(column.wrapping_add(at + AHEAD));
                }
            }
            for (t, total) in totals.iter_mut().enumerate() {
                let activation = V::splat(*activations.add(t));
                for (v, total) in total.iter_mut().enumerate() {
                    *total = V::mul_add(weights[v], activation, *total);
                }
            }
            column = column.add(F::BYTES * PANEL_ROWS);
            activations = activations.add(T);
        }
        // Nothing but stores to fixed places follows, or the sums would live on the stack all along.
        for (t, total) in totals.iter().enumerate() {
            for (v, total) in total.iter().enumerate() {
                V::store(tile.sums.add(t * MOST_ROWS + v * V::LANES), *total);
            }
        }
    }
}

/// Applies the epilogue to the sums of a tile of `tokens` tokens.
///
/// # Safety
/// As for [`float_tile`].
#[inline(always)]
pub(crate) unsafe fn finish_sums<V: Vector>(tile: &FloatTile, tokens: usize) {
    for first in (0..tile.place.rows).step_by(V::LANES) {
        // SAFETY: the row is one of the tile's, of which there are 32 at most.
        unsafe {
            let place = tile.place.at_row(first);
            for t in 0..tokens {
                finish_vector::<V>(place, t, V::load(tile.sums.add(t * MOST_ROWS + first)));
            }
        }
    }
}
