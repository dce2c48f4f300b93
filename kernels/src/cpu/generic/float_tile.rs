//! One tile of a product of float weights. A value is the sum of its columns in their order, each added by one
//! multiply-add, whatever the tile.

use super::tile::{Tile, TileKernel, finish_tile};
use crate::cpu::vector::Vector;
use crate::panel::PANEL_ROWS;

/// A float format, known to the compiler.
trait Float {
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
        impl TileKernel for $name {
            #[inline(always)]
            unsafe fn tile<V: Vector, const T: usize>(tile: &Tile) {
                // SAFETY: as the caller says.
                unsafe { float_tile::<V, Self, T>(tile) }
            }
        }
    )*};
}
float!(Single "Single precision." 4 load, Half "Half precision." 2 load_f16, Brain "Bfloat16." 2 load_bf16);

/// Computes a tile of a float format for `T` tokens, whose activations are `[cols][T]` in single precision; safe as
/// [`TileKernel::tile`] is.
#[inline(always)]
unsafe fn float_tile<V: Vector, F: Float, const T: usize>(tile: &Tile) {
    // SAFETY: all reads stay inside the panel and the activations.
    unsafe {
        for first in (0..tile.rows).step_by(V::LANES) {
            let mut column = tile.panel.add(F::BYTES * first);
            let mut activations = tile.activations.cast::<f32>();
            let mut totals = [V::zero(); T];
            for _ in 0..tile.cols {
                let weights = F::load::<V>(column);
                for (t, total) in totals.iter_mut().enumerate() {
                    *total = V::mul_add(weights, V::splat(*activations.add(t)), *total);
                }
                column = column.add(F::BYTES * PANEL_ROWS);
                activations = activations.add(T);
            }
            finish_tile::<V, T>(tile, first, &totals);
        }
    }
}
