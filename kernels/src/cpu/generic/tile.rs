//! What the tiles of all products share: where a tile's values go and what becomes of them.

use super::rows;
use crate::cpu::Op;
use crate::cpu::vector::Vector;
use crate::nonlinearity::Nonlinearity;
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
    /// Each row's bias is added first, and the sum to what is there.
    AccumulateBias(*const f32),
}

impl TileEpilogue {
    /// The same from row `first` of the tile on.
    ///
    /// # Safety
    /// The tile has that row.
    #[inline(always)]
    unsafe fn at_row(self, first: usize) -> TileEpilogue {
        // SAFETY: there is a bias for each row.
        unsafe {
            match self {
                TileEpilogue::Store => TileEpilogue::Store,
                TileEpilogue::Bias(bias) => TileEpilogue::Bias(bias.add(first)),
                TileEpilogue::Accumulate => TileEpilogue::Accumulate,
                TileEpilogue::AccumulateBias(bias) => TileEpilogue::AccumulateBias(bias.add(first)),
            }
        }
    }
}

/// One tile of integer weights to compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// The packed panel.
    pub(crate) panel: *const u8,
    /// Offset of its group scales.
    pub(crate) scales_at: usize,
    /// Offset of its codes.
    pub(crate) codes_at: usize,
    /// The tile's activations: coded groups.
    pub(crate) activations: *const u32,
    /// Columns.
    pub(crate) cols: usize,
    /// Where the values go.
    pub(crate) place: Place,
}

/// Where the values of a tile go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Rows that exist, 1 to as many as the tile has.
    pub(crate) rows: usize,
    /// The value of the first row and token.
    pub(crate) out: *mut f32,
    /// Values from one token to the next.
    pub(crate) stride: usize,
    /// What becomes of the values.
    pub(crate) epilogue: TileEpilogue,
}

impl Place {
    /// The same from row `first` on.
    ///
    /// # Safety
    /// There is such a row.
    #[inline(always)]
    pub(super) unsafe fn at_row(self, first: usize) -> Place {
        // SAFETY: as the caller says.
        unsafe {
            Place {
                rows: self.rows - first,
                out: self.out.add(first),
                stride: self.stride,
                epilogue: self.epilogue.at_row(first),
            }
        }
    }
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
///
/// # Safety
/// As for [`finish_vector`].
#[inline(always)]
pub(super) unsafe fn finish_tile<V: Vector, const T: usize>(tile: &Tile, first: usize, totals: &[V::Floats; T]) {
    // SAFETY: as the caller says.
    unsafe {
        let place = tile.place.at_row(first);
        for (t, total) in totals.iter().enumerate() {
            finish_vector::<V>(place, t, *total);
        }
    }
}

/// Applies the epilogue to the first `LANES` rows of token `t`, or to as many as there are.
///
/// # Safety
/// `V`'s instructions exist; `place` is valid for `rows` values (and biases) of token `t`, which nobody else touches.
#[inline(always)]
pub(super) unsafe fn finish_vector<V: Vector>(place: Place, t: usize, total: V::Floats) {
    // SAFETY: as the caller says; fewer rows than lanes are done one by one.
    unsafe {
        let out = place.out.add(t * place.stride);
        if place.rows >= V::LANES {
            let value = match place.epilogue {
                TileEpilogue::Store => total,
                TileEpilogue::Bias(bias) => V::add(total, V::load(bias)),
                TileEpilogue::Accumulate => V::add(total, V::load(out)),
                TileEpilogue::AccumulateBias(bias) => V::add(V::add(total, V::load(bias)), V::load(out)),
            };
            return V::store(out, value);
        }
        let mut values = [0f32; PANEL_ROWS];
        V::store(values.as_mut_ptr(), total);
        for (row, value) in values.iter().enumerate().take(place.rows) {
            let out = out.add(row);
            *out = match place.epilogue {
                TileEpilogue::Store => *value,
                TileEpilogue::Bias(bias) => value + *bias.add(row),
                TileEpilogue::Accumulate => value + *out,
                TileEpilogue::AccumulateBias(bias) => value + *bias.add(row) + *out,
            };
        }
    }
}

/// The function of values that lie in rows: of `rows` values each, `stride` from one to the next.
pub(crate) struct Activate {
    /// The function.
    pub(crate) function: Nonlinearity,
    /// The first value.
    pub(crate) out: *mut f32,
    /// Values of a row.
    pub(crate) rows: usize,
    /// Values from the start of a row to that of the next.
    pub(crate) stride: usize,
    /// How many rows there are.
    pub(crate) tokens: usize,
}

impl Op for Activate {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for token in 0..self.tokens {
            // SAFETY: the caller lends so many rows.
            let row = unsafe { std::slice::from_raw_parts_mut(self.out.add(token * self.stride), self.rows) };
            match self.function {
                Nonlinearity::GeluTanh => rows::gelu_tanh_in_place(row),
                Nonlinearity::GeluErf => rows::gelu_erf_in_place(row),
                Nonlinearity::GeluQuick => rows::gelu_quick_in_place(row),
                Nonlinearity::Silu => rows::silu_in_place(row),
            }
        }
    }
}
