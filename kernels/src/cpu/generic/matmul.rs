//! One tile of a product of integer weights as they are packed: 16 rows × 1, 2 or 4 tokens, over all columns.
//!
//! A value is the sum over blocks of 32 columns, in column order, of `dot · (scale · activation scale)` and
//! `min · activation sum`, each added by one multiply-add; a dot product is an integer, `high · 2^HIGH_BITS + low` of its
//! two planes. Nothing of that depends on the tile's size, on which tile a token is in or on who computes it, so results
//! do not either.

use super::tile::{Tile, TileKernel, finish_tile};
use crate::Format;
use crate::activations::{GROUP_WORDS, LOW_AT, SCALES_AT, STARTS_AT, TILE, TOTALS_AT};
use crate::block::{self, Offset};
use crate::cpu::vector::Vector;
use crate::panel::{PANEL_ROWS, code_bytes, has_min, header_bytes, scale_bytes, upper_bits};

/// An integer format, known to the compiler.
pub(crate) trait Coded {
    /// The format.
    const FORMAT: Format;
    /// Codes are below `2^BITS`; 4, 6 (those of 5 bits, too) or 8.
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
    /// Which of a group's starts its products start from.
    const START: usize = start_of(Self::FORMAT);
}

/// Which of a group's starts products with `format` start from, that of the second half following that of the first.
pub(crate) const fn start_of(format: Format) -> usize {
    match format {
        Format::Q5_0 => 1,
        Format::Q8_0 => 2,
        Format::Q6K => 3,
        _ => 0,
    }
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

/// How far ahead of their use memory is asked for weights, as hardware does not look beyond a page. Where all tokens come
/// tile after tile as they are, the widest tiles find them in the cache.
pub(super) const AHEAD: usize = 6 << 10;

/// Computes a tile of an integer format for `T` tokens; safe as [`TileKernel::tile`] is.
#[inline(always)]
unsafe fn coded_tile<V: Vector, F: Coded, const T: usize>(tile: &Tile) {
    // SAFETY: all reads stay inside the panel and the groups, whose sizes the strides below are made of.
    unsafe {
        let fetches = T < TILE || V::PANELS > 1;
        for first in (0..tile.place.rows).step_by(V::LANES) {
            let mut header = tile.panel.add(2 * first);
            let mut scales = tile.panel.add(tile.scales_at + first);
            let mut codes = tile.panel.add(tile.codes_at + 4 * first);
            let mut group = tile.activations;
            let mut totals = [V::zero(); T];
            for _ in 0..tile.cols / F::FORMAT.block_len() {
                let d = V::load_f16(header.cast());
                let min = if has_min(F::FORMAT) { V::load_f16(header.add(2 * PANEL_ROWS).cast()) } else { d };
                if fetches {
                    V::prefetch(header.wrapping_add(AHEAD));
                    V::prefetch(scales.wrapping_add(AHEAD));
                }
                header = header.add(header_bytes(F::FORMAT));
                for _ in 0..F::GROUPS {
                    if fetches {
                        for line in (0..code_bytes(F::FORMAT)).step_by(64) {
                            V::prefetch(codes.wrapping_add(AHEAD + line));
                        }
                    }
                    let (scale, second) = group_scales::<V, F>(d, min, scales);
                    coded_group::<V, F, T>(&mut totals, scale, second, codes, group);
                    scales = scales.add(scale_bytes(F::FORMAT));
                    codes = codes.add(code_bytes(F::FORMAT));
                    group = group.add(GROUP_WORDS * T);
                }
            }
            finish_tile::<V, T>(tile, first, &totals);
        }
    }
}

/// The scale of 32 columns and their minimum; or, where every 16 columns have a scale of their own, both scales.
#[inline(always)]
pub(super) unsafe fn group_scales<V: Vector, F: Coded>(
    d: V::Floats,
    min: V::Floats,
    scales: *const u8,
) -> (V::Floats, V::Floats) {
    // SAFETY: the caller lends the scales of one group.
    unsafe {
        let second = scales.add(PANEL_ROWS);
        if F::HALVES {
            (V::mul(d, V::load_i8(scales.cast())), V::mul(d, V::load_i8(second.cast())))
        } else if F::GROUPS > 1 {
            (V::mul(d, V::load_u8(scales)), V::mul(min, V::load_u8(second)))
        } else {
            (d, min)
        }
    }
}

/// The codes of columns `4 · step..` and `16 + 4 · step..` of a group, with `step` below 4.
#[inline(always)]
pub(super) unsafe fn code_pair<V: Vector, F: Coded>(codes: *const u8, step: usize) -> [V::Codes; 2] {
    // SAFETY: the caller lends a group of codes.
    unsafe {
        let at = |step: usize| codes.add(4 * PANEL_ROWS * step);
        let stored = V::codes(at(step));
        if F::BITS == 8 {
            return [stored, V::codes(at(step + 4))];
        }
        let [low, high] = [V::low(stored), V::high(stored)];
        // Where the upper bits come to be: bit 4, or bits 4 and 5.
        let left = 4 - (upper_bits(F::FORMAT) * step).cast_signed() as i32;
        match upper_bits(F::FORMAT) {
            0 => [low, high],
            1 => {
                let upper = V::codes(at(4));
                [V::merge(low, upper, left, 0x10), V::merge(high, upper, left - 4, 0x10)]
            }
            _ => [V::merge(low, V::codes(at(4)), left, 0x30), V::merge(high, V::codes(at(5)), left, 0x30)],
        }
    }
}

/// Adds 32 columns to the totals of `T` tokens.
#[inline(always)]
unsafe fn coded_group<V: Vector, F: Coded, const T: usize>(
    totals: &mut [V::Floats; T],
    scale: V::Floats,
    second: V::Floats,
    codes: *const u8,
    group: *const u32,
) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        // A const argument cannot be an associated constant yet; the match is decided at compile time.
        match (F::BITS, F::ZERO) {
            (4, 0) => add_dots::<V, F, T, 4, 0>(totals, [scale, scale], codes, group),
            (4, _) => add_dots::<V, F, T, 4, 3>(totals, [scale, scale], codes, group),
            (6, 0) => add_dots::<V, F, T, 6, 0>(totals, [scale, scale], codes, group),
            (6, 4) => add_dots::<V, F, T, 6, 4>(totals, [scale, scale], codes, group),
            (6, _) => add_dots::<V, F, T, 6, 5>(totals, [scale, second], codes, group),
            _ => add_dots::<V, F, T, 8, 7>(totals, [scale, scale], codes, group),
        }
        if has_min(F::FORMAT) {
            let sums = group.add(TOTALS_AT * T).cast::<f32>();
            for (t, total) in totals.iter_mut().enumerate() {
                *total = V::mul_add(second, V::splat(*sums.add(t)), *total);
            }
        }
    }
}

/// Adds the products of 32 columns, of which the first 16 and the last may have scales of their own. Codes are read and
/// unpacked once for both planes, whose sums wait for nothing of each other.
#[inline(always)]
unsafe fn add_dots<V: Vector, F: Coded, const T: usize, const BITS: u32, const ZERO: u32>(
    totals: &mut [V::Floats; T],
    scales: [V::Floats; 2],
    codes: *const u8,
    group: *const u32,
) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        let (high_plane, low_plane) = (group.cast::<i8>(), group.add(LOW_AT * T).cast::<i8>());
        let starts = group.add((STARTS_AT + F::START) * T).cast::<i32>();
        let factors = group.add(SCALES_AT * T).cast::<f32>();
        let mut sums = Planes::<V, T>::start::<BITS, ZERO>(starts);
        for step in 0..4 {
            let [low, high] = code_pair::<V, F>(codes, step);
            sums.add::<BITS>(low, high_plane.add(4 * step), low_plane.add(4 * step));
            if !F::HALVES {
                sums.add::<BITS>(high, high_plane.add(4 * step + 16), low_plane.add(4 * step + 16));
            }
        }
        sums.finish::<BITS, ZERO>(totals, scales[0], starts, factors);
        if F::HALVES {
            // Both halves at once would take more registers than some machines have.
            let starts = starts.add(T);
            let mut sums = Planes::<V, T>::start::<BITS, ZERO>(starts);
            for step in 0..4 {
                let [_, high] = code_pair::<V, F>(codes, step);
                sums.add::<BITS>(high, high_plane.add(4 * step + 16), low_plane.add(4 * step + 16));
            }
            sums.finish::<BITS, ZERO>(totals, scales[1], starts, factors);
        }
    }
}

/// Sums of the high and of the low plane of `T` tokens.
struct Planes<V: Vector, const T: usize> {
    high: [V::Sums; T],
    low: [V::Sums; T],
}

impl<V: Vector, const T: usize> Planes<V, T> {
    /// Sums of no columns yet.
    #[inline(always)]
    unsafe fn start<const BITS: u32, const ZERO: u32>(starts: *const i32) -> Planes<V, T> {
        // SAFETY: the caller lends a start of every token.
        unsafe {
            let (high, mut low) = ([V::no_sums(); T], [V::no_sums(); T]);
            for (t, sum) in low.iter_mut().enumerate() {
                *sum = V::start::<BITS, ZERO>(starts.add(t));
            }
            Planes { high, low }
        }
    }

    /// Adds the products of four columns.
    #[inline(always)]
    unsafe fn add<const BITS: u32>(&mut self, codes: V::Codes, high_plane: *const i8, low_plane: *const i8) {
        // SAFETY: the caller lends four columns of every token.
        unsafe {
            add_step::<V, T, BITS>(&mut self.high, codes, high_plane);
            add_step::<V, T, BITS>(&mut self.low, codes, low_plane);
        }
    }

    /// Adds the sums, scaled, to the totals.
    #[inline(always)]
    unsafe fn finish<const BITS: u32, const ZERO: u32>(
        self,
        totals: &mut [V::Floats; T],
        scale: V::Floats,
        starts: *const i32,
        factors: *const f32,
    ) {
        // SAFETY: the caller lends a start and a factor of every token.
        unsafe {
            for (t, total) in totals.iter_mut().enumerate() {
                let dot = V::finish::<BITS, ZERO>(self.high[t], self.low[t], starts.add(t));
                *total = V::mul_add(dot, V::mul(scale, V::splat(*factors.add(t))), *total);
            }
        }
    }
}

/// Adds the products of four columns' codes with a plane of each of `T` tokens.
#[inline(always)]
unsafe fn add_step<V: Vector, const T: usize, const BITS: u32>(
    sums: &mut [V::Sums; T],
    codes: V::Codes,
    plane: *const i8,
) {
    // SAFETY: the caller lends four columns of every token.
    unsafe {
        for (t, sum) in sums.iter_mut().enumerate() {
            *sum = V::dot::<BITS>(*sum, codes, plane.add(32 * t));
        }
    }
}
