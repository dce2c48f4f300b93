//! One tile of a product: 16 rows of weights × 1 to 8 tokens, and what becomes of its values.

use crate::cpu::vector::Vector;
use crate::panel::PANEL_ROWS;

/// What becomes of a tile's values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TileEpilogue {
    /// They are stored.
    Store,
    /// Each row's bias is added first; points at the bias of the tile's first row.
    Bias(*const f32),
    /// They are added to what is there.
    Accumulate,
}

/// One tile to compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// The packed panel.
    pub(crate) panel: *const u8,
    /// Offset of its group scales.
    pub(crate) scales_at: usize,
    /// Offset of its codes.
    pub(crate) codes_at: usize,
    /// The tile's activations: coded groups, or floats.
    pub(crate) activations: *const u32,
    /// Columns.
    pub(crate) cols: usize,
    /// Rows of the panel that exist, 1 to 16.
    pub(crate) rows: usize,
    /// The value of the first row and token.
    pub(crate) out: *mut f32,
    /// Values from one token to the next.
    pub(crate) out_stride: usize,
    /// What becomes of the values.
    pub(crate) epilogue: TileEpilogue,
}

/// What computes the tiles of one format.
pub(crate) trait TileKernel {
    /// Computes a tile of `T` tokens.
    ///
    /// # Safety
    /// `V`'s instructions exist; the pointers of `tile` are valid for a panel, for `T` tokens' activations and for
    /// `rows` values of each of `T` tokens, which nobody else touches.
    unsafe fn tile<V: Vector, const T: usize>(tile: &Tile);
}

/// Applies the epilogue to rows `first..first + LANES` of a tile.
#[inline(always)]
pub(super) unsafe fn finish_tile<V: Vector, const T: usize>(tile: &Tile, first: usize, totals: &[V::Floats; T]) {
    let rows = tile.rows - first;
    // SAFETY: `out` and the bias have `tile.rows` values from the tile's first row on; a vector is read or written
    // there only when it lies inside them.
    unsafe {
        for (t, &total) in totals.iter().enumerate() {
            let out = tile.out.add(t * tile.out_stride + first);
            if rows >= V::LANES {
                let value = match tile.epilogue {
                    TileEpilogue::Store => total,
                    TileEpilogue::Bias(bias) => V::add(total, V::load(bias.add(first))),
                    TileEpilogue::Accumulate => V::add(total, V::load(out)),
                };
                V::store(out, value);
                continue;
            }
            let mut values = [0f32; PANEL_ROWS];
            V::store(values.as_mut_ptr(), total);
            for (row, value) in values.iter().enumerate().take(rows) {
                *out.add(row) = match tile.epilogue {
                    TileEpilogue::Store => *value,
                    TileEpilogue::Bias(bias) => value + *bias.add(first + row),
                    TileEpilogue::Accumulate => value + *out.add(row),
                };
            }
        }
    }
}
