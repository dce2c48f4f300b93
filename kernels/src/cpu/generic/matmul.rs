//! One tile of a product of integer weights: 16 rows × 1 to 8 tokens, over all columns.
//!
//! A value is the sum over blocks of 32 columns, in column order, of `dot · (scale · activation scale)` and
//! `min · activation sum`, each added by one multiply-add. Nothing of that order depends on the tile's size, on which
//! tile a token is in or on who computes it, so results do not either.

use std::ops::Range;

use super::tile::{Tile, TileKernel, finish_tile};
use crate::Format;
use crate::activations::{GROUP_WORDS, LOW_AT, SCALES_AT, SUMS_AT};
use crate::block::{self, Offset};
use crate::cpu::vector::Vector;
use crate::panel::{PANEL_ROWS, code_bytes, has_min, header_bytes, scale_bytes};

/// An integer format, known to the compiler.
pub(crate) trait Coded {
    /// The format.
    const FORMAT: Format;
    /// Codes are below `2^BITS`; 4, 6 or 8.
    const BITS: u32;
    /// The code that means zero is `2^ZERO`; 0 where the format has minima instead.
    const ZERO: u32 = match block::offset(Self::FORMAT) {
        Some(Offset::Zero(zero)) => zero.ilog2(),
        _ => 0,
    };
    /// Groups of 32 columns that share a header.
    const GROUPS: usize = Self::FORMAT.block_len() / 32;
    /// Whether every 16 columns have a scale of their own.
    const HALVES: bool = matches!(Self::FORMAT, Format::Q6K);
}

macro_rules! coded {
    ($($name:ident $format:ident $bits:literal),*) => {$(
        /// The format of the same name.
        pub(crate) struct $name;
        impl Coded for $name {
            const FORMAT: Format = Format::$format;
            const BITS: u32 = $bits;
        }
        impl TileKernel for $name {
            #[inline(always)]
            unsafe fn tile<V: Vector, const T: usize>(tile: &Tile) {
                // SAFETY: as the caller says.
                unsafe { coded_tile::<V, Self, T>(tile) }
            }
        }
    )*};
}
coded!(Q40 Q4_0 4, Q41 Q4_1 4, Q50 Q5_0 6, Q51 Q5_1 6, Q80 Q8_0 8, Q4K Q4K 4, Q5K Q5K 6, Q6K Q6K 6);

/// How far ahead of their use the product of a few tokens asks memory for weights, as hardware does not look beyond a
/// page. Many tokens, tile after tile, find them in the cache.
const AHEAD: usize = 6 << 10;

/// Computes a tile of an integer format for `T` tokens; safe as [`TileKernel::tile`] is.
#[inline(always)]
unsafe fn coded_tile<V: Vector, F: Coded, const T: usize>(tile: &Tile) {
    // SAFETY: all reads stay inside the panel and the groups, whose sizes the strides below are made of.
    unsafe {
        for first in (0..tile.place.rows).step_by(V::LANES) {
            let mut header = tile.panel.add(2 * first);
            let mut scales = tile.panel.add(tile.scales_at + first);
            let mut codes = tile.panel.add(tile.codes_at + 4 * first);
            let mut group = tile.activations;
            let mut totals = [V::zero(); T];
            for _ in 0..tile.cols / F::FORMAT.block_len() {
                let d = V::load_f16(header.cast());
                let min = if has_min(F::FORMAT) { V::load_f16(header.add(2 * PANEL_ROWS).cast()) } else { d };
                if T < V::TILE {
                    V::prefetch(header.wrapping_add(AHEAD));
                    V::prefetch(scales.wrapping_add(AHEAD));
                }
                header = header.add(header_bytes(F::FORMAT));
                for _ in 0..F::GROUPS {
                    if T < V::TILE {
                        for line in (0..code_bytes(F::FORMAT)).step_by(64) {
                            V::prefetch(codes.wrapping_add(AHEAD + line));
                        }
                    }
                    coded_group::<V, F, T>(&mut totals, d, min, scales, codes, group);
                    scales = scales.add(scale_bytes(F::FORMAT));
                    codes = codes.add(code_bytes(F::FORMAT));
                    group = group.add(GROUP_WORDS * T);
                }
            }
            finish_tile::<V, T>(tile, first, &totals);
        }
    }
}

/// Adds 32 columns to the totals of `T` tokens.
#[inline(always)]
unsafe fn coded_group<V: Vector, F: Coded, const T: usize>(
    totals: &mut [V::Floats; T],
    d: V::Floats,
    min: V::Floats,
    scales: *const u8,
    codes: *const u8,
    group: *const u32,
) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        let activations = group.cast::<i8>();
        let factors = group.add(SCALES_AT * T).cast::<f32>();
        let sums = group.add(SUMS_AT * T).cast::<i32>();
        if F::HALVES {
            for half in 0..2 {
                let scale = V::mul(d, V::load_i8(scales.add(PANEL_ROWS * half).cast()));
                let sums = sums.add((1 + half) * T);
                let dots = dots::<V, T, 6, 5>(codes, 4 * half..4 * half + 4, activations, sums);
                for (t, total) in totals.iter_mut().enumerate() {
                    *total = V::mul_add(dots[t], V::mul(scale, V::splat(*factors.add(t))), *total);
                }
            }
            return;
        }
        let (scale, min) = if F::GROUPS > 1 {
            (V::mul(d, V::load_u8(scales)), V::mul(min, V::load_u8(scales.add(PANEL_ROWS))))
        } else {
            (d, min)
        };
        let dots = coded_dots::<V, F, T>(codes, activations, sums);
        for (t, total) in totals.iter_mut().enumerate() {
            *total = V::mul_add(dots[t], V::mul(scale, V::splat(*factors.add(t))), *total);
            if has_min(F::FORMAT) {
                *total = V::mul_add(min, V::splat(*factors.add(T + t)), *total);
            }
        }
    }
}

/// The dot products of 32 columns.
#[inline(always)]
unsafe fn coded_dots<V: Vector, F: Coded, const T: usize>(
    codes: *const u8,
    activations: *const i8,
    sums: *const i32,
) -> [V::Floats; T] {
    // SAFETY: as the caller says.
    unsafe {
        // A const argument cannot be an associated constant yet; the match is decided at compile time.
        match (F::BITS, F::ZERO) {
            (4, 0) => dots::<V, T, 4, 0>(codes, 0..4, activations, sums),
            (4, _) => dots::<V, T, 4, 3>(codes, 0..4, activations, sums),
            (6, 0) => dots::<V, T, 6, 0>(codes, 0..8, activations, sums),
            (6, _) => dots::<V, T, 6, 4>(codes, 0..8, activations, sums),
            _ => dots::<V, T, 8, 7>(codes, 0..8, activations, sums),
        }
    }
}

/// The dot products of the columns in `steps` of a group: codes are read and unpacked once for both planes.
#[inline(always)]
unsafe fn dots<V: Vector, const T: usize, const BITS: u32, const ZERO: u32>(
    codes: *const u8,
    steps: Range<usize>,
    activations: *const i8,
    sums: *const i32,
) -> [V::Floats; T] {
    // SAFETY: the caller lends one group of each.
    unsafe {
        let low_plane = activations.add(4 * LOW_AT * T);
        let (mut high, mut low) = ([V::no_sums(); T], [V::no_sums(); T]);
        for step in steps {
            let stored = V::codes(codes.add(4 * PANEL_ROWS * step));
            if BITS == 4 {
                let (first, last) = (V::low(stored), V::high(stored));
                for t in 0..T {
                    let at = 32 * t + 4 * step;
                    high[t] = V::dot::<BITS>(high[t], first, activations.add(at));
                    high[t] = V::dot::<BITS>(high[t], last, activations.add(at + 16));
                    low[t] = V::dot::<BITS>(low[t], first, low_plane.add(at));
                    low[t] = V::dot::<BITS>(low[t], last, low_plane.add(at + 16));
                }
            } else {
                for t in 0..T {
                    let at = 32 * t + 4 * step;
                    high[t] = V::dot::<BITS>(high[t], stored, activations.add(at));
                    low[t] = V::dot::<BITS>(low[t], stored, low_plane.add(at));
                }
            }
        }
        let mut values = [V::zero(); T];
        for (t, value) in values.iter_mut().enumerate() {
            *value = V::finish::<BITS, ZERO>(high[t], low[t], sums.add(t));
        }
        values
    }
}
