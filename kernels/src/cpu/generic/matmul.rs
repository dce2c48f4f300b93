//! One tile of a product of integer weights: 16 rows × 1 to 8 tokens, over all columns.
//!
//! A value is the sum over blocks of 32 columns, in column order, of `dot · (scale · activation scale)` and
//! `min · activation sum`, each added by one multiply-add. Where a group of one of its tokens needs both planes, a tile
//! computes both for all of them: the others' low codes are 0 there, and `high · 2^HIGH_BITS` in units of the low scale
//! is to the bit what `high` is in units of the high one. So nothing depends on the tile's size, on which tile a token is
//! in or on who computes it.

use std::ops::Range;

use super::tile::{Tile, TileKernel, finish_tile};
use crate::Format;
use crate::activations::{GROUP_WORDS, LOW_AT, NEEDED_AT, SCALES_AT, STARTS_AT, TOTALS_AT};
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
        let needed = *group.add(NEEDED_AT * T) != 0;
        if F::HALVES {
            for half in 0..2 {
                let scale = V::mul(d, V::load_i8(scales.add(PANEL_ROWS * half).cast()));
                let steps = 4 * half..4 * half + 4;
                if needed {
                    add_dots::<V, T, 6, 5, true>(totals, scale, codes, steps, group, 3 + half);
                } else {
                    add_dots::<V, T, 6, 5, false>(totals, scale, codes, steps, group, 3 + half);
                }
            }
            return;
        }
        let scale = if F::GROUPS > 1 { V::mul(d, V::load_u8(scales)) } else { d };
        if needed {
            add_coded_dots::<V, F, T, true>(totals, scale, codes, group);
        } else {
            add_coded_dots::<V, F, T, false>(totals, scale, codes, group);
        }
        if has_min(F::FORMAT) {
            let min = if F::GROUPS > 1 { V::mul(min, V::load_u8(scales.add(PANEL_ROWS))) } else { min };
            let sums = group.add(TOTALS_AT * T).cast::<f32>();
            for (t, total) in totals.iter_mut().enumerate() {
                *total = V::mul_add(min, V::splat(*sums.add(t)), *total);
            }
        }
    }
}

/// Adds the products of 32 columns that share a scale; of their low plane, too, where `BOTH` is set.
#[inline(always)]
unsafe fn add_coded_dots<V: Vector, F: Coded, const T: usize, const BOTH: bool>(
    totals: &mut [V::Floats; T],
    scale: V::Floats,
    codes: *const u8,
    group: *const u32,
) {
    // SAFETY: as the caller says.
    unsafe {
        // A const argument cannot be an associated constant yet; the match is decided at compile time.
        match (F::BITS, F::ZERO) {
            (4, 0) => add_dots::<V, T, 4, 0, BOTH>(totals, scale, codes, 0..4, group, 0),
            (4, _) => add_dots::<V, T, 4, 3, BOTH>(totals, scale, codes, 0..4, group, 0),
            (6, 0) => add_dots::<V, T, 6, 0, BOTH>(totals, scale, codes, 0..8, group, 0),
            (6, _) => add_dots::<V, T, 6, 4, BOTH>(totals, scale, codes, 0..8, group, 1),
            _ => add_dots::<V, T, 8, 7, BOTH>(totals, scale, codes, 0..8, group, 2),
        }
    }
}

/// Adds the products of the columns in `steps`, which start from the `start`-th starts of the group's planes.
#[inline(always)]
unsafe fn add_dots<V: Vector, const T: usize, const BITS: u32, const ZERO: u32, const BOTH: bool>(
    totals: &mut [V::Floats; T],
    scale: V::Floats,
    codes: *const u8,
    steps: Range<usize>,
    group: *const u32,
    start: usize,
) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        let low = group.add(LOW_AT * T);
        let starts = group.add((STARTS_AT + start) * T).cast::<i32>();
        let mut sums = [V::no_sums(); T];
        for (t, sum) in sums.iter_mut().enumerate() {
            *sum = V::start::<BITS, ZERO>(starts.add(t));
        }
        dots::<V, T, BITS, BITS>(&mut sums, codes, steps.clone(), group.cast());
        if BOTH {
            let low_starts = low.add((STARTS_AT + start) * T).cast::<i32>();
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = V::raise::<BITS, ZERO>(*sum, starts.add(t), low_starts.add(t));
            }
            // Raised sums have 32 bits everywhere, as those of 6-bit codes do. With few tokens, products that wait for those
            // of the other plane would take longer than the weights take to arrive.
            let mut apart = [V::no_sums(); T];
            let further = if T < 4 { &mut apart } else { &mut sums };
            if BITS == 8 {
                dots::<V, T, BITS, 8>(further, codes, steps, low.cast());
            } else {
                dots::<V, T, BITS, 6>(further, codes, steps, low.cast());
            }
            if T < 4 {
                for (sum, apart) in sums.iter_mut().zip(apart) {
                    *sum = V::join(*sum, apart);
                }
            }
        }
        let factors = if BOTH { low } else { group }.add(SCALES_AT * T).cast::<f32>();
        for (t, total) in totals.iter_mut().enumerate() {
            let dot =
                if BOTH { V::finish::<8, 0>(sums[t], starts) } else { V::finish::<BITS, ZERO>(sums[t], starts.add(t)) };
            *total = V::mul_add(dot, V::mul(scale, V::splat(*factors.add(t))), *total);
        }
    }
}

/// Adds the dot products of the columns in `steps` with one plane of activations; `BITS` says how codes are stored,
/// `SUM_BITS` how they are summed.
#[inline(always)]
unsafe fn dots<V: Vector, const T: usize, const BITS: u32, const SUM_BITS: u32>(
    sums: &mut [V::Sums; T],
    codes: *const u8,
    steps: Range<usize>,
    activations: *const i8,
) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        for step in steps {
            let stored = V::codes(codes.add(4 * PANEL_ROWS * step));
            let first = if BITS == 4 { V::low(stored) } else { stored };
            for (t, sum) in sums.iter_mut().enumerate() {
                *sum = V::dot::<SUM_BITS>(*sum, first, activations.add(32 * t + 4 * step));
            }
            if BITS == 4 {
                let last = V::high(stored);
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = V::dot::<SUM_BITS>(*sum, last, activations.add(32 * t + 4 * step + 16));
                }
            }
        }
    }
}
