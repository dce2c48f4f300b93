//! Panels whose codes are unpacked to bytes and whose scales are multiplied out, once for many tokens, and the tile that
//! two of them make with [`TILE`] tokens: an input that is brought to a register is multiplied with the codes of both.
//!
//! Values have the bits that [`super::matmul`] gives them: the same sums in the same order.

use super::matmul::{AHEAD, Coded, code_pair, group_scales};
use super::tile::{Place, finish_vector};
use crate::activations::{GROUP_WORDS, LOW_AT, SCALES_AT, STARTS_AT, TILE, TOTALS_AT};
use crate::block::GROUP;
use crate::cpu::vector::Vector;
use crate::panel::{PANEL_ROWS, PanelLayout, code_bytes, has_min, header_bytes, scale_bytes};

/// Panels of a tile.
pub(crate) const UNPACKED_PANELS: usize = 2;

/// Bytes of a row's share of 32 columns of an unpacked panel: a byte for each code, then the scale, then the minimum or
/// the scale of the last 16 columns.
const SHARE: usize = GROUP + 8;

/// Bytes of an unpacked panel.
pub(crate) const fn unpacked_bytes(cols: usize) -> usize {
    cols / GROUP * SHARE * PANEL_ROWS
}

/// Unpacks a packed panel of rows of `cols` values.
///
/// # Safety
/// `V`'s instructions exist; the panel is whole and `layout` its layout, and `to` has room for [`unpacked_bytes`].
#[inline(always)]
pub(crate) unsafe fn unpack<V: Vector, F: Coded>(panel: *const u8, layout: &PanelLayout, cols: usize, to: *mut u8) {
    // SAFETY: all reads stay inside the panel and all writes inside what is lent, whose sizes the strides are made of.
    unsafe {
        for first in (0..PANEL_ROWS).step_by(V::LANES) {
            let mut header = panel.add(2 * first);
            let mut scales = panel.add(layout.scales_at() + first);
            let mut codes = panel.add(layout.codes_at() + 4 * first);
            let mut to = to.add(4 * first);
            for _ in 0..cols / F::FORMAT.block_len() {
                let d = V::load_f16(header.cast());
                let min = if has_min(F::FORMAT) { V::load_f16(header.add(2 * PANEL_ROWS).cast()) } else { d };
                header = header.add(header_bytes(F::FORMAT));
                for _ in 0..F::GROUPS {
                    let (scale, second) = group_scales::<V, F>(d, min, scales);
                    unpack_codes::<V, F>(codes, to);
                    V::store(to.add(GROUP * PANEL_ROWS).cast(), scale);
                    V::store(to.add((GROUP + 4) * PANEL_ROWS).cast(), second);
                    scales = scales.add(scale_bytes(F::FORMAT));
                    codes = codes.add(code_bytes(F::FORMAT));
                    to = to.add(SHARE * PANEL_ROWS);
                }
            }
        }
    }
}

/// Unpacks the codes of 32 columns.
#[inline(always)]
unsafe fn unpack_codes<V: Vector, F: Coded>(codes: *const u8, to: *mut u8) {
    // SAFETY: the caller lends a group of codes and room for 32 bytes a row.
    unsafe {
        for line in (0..code_bytes(F::FORMAT)).step_by(64) {
            V::prefetch(codes.wrapping_add(AHEAD + line));
        }
        for step in 0..4 {
            let [low, high] = code_pair::<V, F>(codes, step);
            V::store_codes(to.add(4 * PANEL_ROWS * step), low);
            V::store_codes(to.add(4 * PANEL_ROWS * (step + 4)), high);
        }
    }
}

/// One tile of unpacked panels and [`TILE`] tokens to compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnpackedTile {
    /// The unpacked panels.
    pub(crate) panels: [*const u8; UNPACKED_PANELS],
    /// The tile's activations: coded groups.
    pub(crate) activations: *const u32,
    /// Columns.
    pub(crate) cols: usize,
    /// Which of a group's starts its products start from.
    pub(crate) start: usize,
    /// Where the values of each panel go.
    pub(crate) places: [Place; UNPACKED_PANELS],
}

/// Computes a tile, of a format with a scale for every 16 columns (`HALVES`) or with a minimum (`MIN`), or with neither:
/// to bytes, formats are the same but for that.
///
/// # Safety
/// As for [`super::tile::TileKernel::tile`], with [`TILE`] tokens, for both panels.
#[inline(always)]
pub(crate) unsafe fn unpacked_tile<V: Vector, const HALVES: bool, const MIN: bool>(tile: &UnpackedTile) {
    // SAFETY: all reads stay inside the panels and the groups, whose sizes the strides below are made of.
    unsafe {
        for first in (0..PANEL_ROWS).step_by(V::LANES) {
            let mut panels = tile.panels.map(|panel| panel.wrapping_add(4 * first));
            let mut group = tile.activations;
            let mut totals = [[V::zero(); TILE]; UNPACKED_PANELS];
            for _ in 0..tile.cols / GROUP {
                if HALVES {
                    add_dots::<V, MIN, 4>(&mut totals, panels, 0, group, tile.start);
                    add_dots::<V, MIN, 4>(&mut totals, panels, 4, group, tile.start + 1);
                } else {
                    add_dots::<V, MIN, 8>(&mut totals, panels, 0, group, tile.start);
                }
                if MIN {
                    add_minima::<V>(&mut totals[0], panels[0], group);
                    add_minima::<V>(&mut totals[1], panels[1], group);
                }
                panels = panels.map(|panel| panel.wrapping_add(SHARE * PANEL_ROWS));
                group = group.add(GROUP_WORDS * TILE);
            }
            finish::<V>(&totals[0], tile.places[0], first);
            finish::<V>(&totals[1], tile.places[1], first);
        }
    }
}

/// Applies the epilogue to rows `first..first + LANES` of a panel, as far as there are such.
#[inline(always)]
unsafe fn finish<V: Vector>(totals: &[V::Floats; TILE], place: Place, first: usize) {
    if first < place.rows {
        for (t, total) in totals.iter().enumerate() {
            // SAFETY: as the caller says; there is a row `first`.
            unsafe { finish_vector::<V>(place.at_row(first), t, *total) }
        }
    }
}

/// Adds the minima of 32 columns of a panel.
#[inline(always)]
unsafe fn add_minima<V: Vector>(totals: &mut [V::Floats; TILE], panel: *const u8, group: *const u32) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        let min = V::load(panel.add((GROUP + 4) * PANEL_ROWS).cast());
        let sums = group.add(TOTALS_AT * TILE).cast::<f32>();
        for (t, total) in totals.iter_mut().enumerate() {
            *total = V::mul_add(min, V::splat(*sums.add(t)), *total);
        }
    }
}

/// Adds the products of `STEPS` times 4 columns from step `first` on. What is of one panel and what is of the other have
/// names of their own: as arrays of two, the compiler would keep them in memory.
#[inline(always)]
unsafe fn add_dots<V: Vector, const MIN: bool, const STEPS: usize>(
    totals: &mut [[V::Floats; TILE]; UNPACKED_PANELS],
    panels: [*const u8; UNPACKED_PANELS],
    first: usize,
    group: *const u32,
    start: usize,
) {
    // SAFETY: the caller lends one group of each.
    unsafe {
        let (high_plane, low_plane) = (group.cast::<i8>(), group.add(LOW_AT * TILE).cast::<i8>());
        let starts = group.add((STARTS_AT + start) * TILE).cast::<i32>();
        let (mut upper_high, mut upper_low) = ([V::no_sums(); TILE], [V::no_sums(); TILE]);
        if !MIN {
            for (t, sum) in upper_low.iter_mut().enumerate() {
                *sum = V::start::<8, 7>(starts.add(t));
            }
        }
        let (mut lower_high, mut lower_low) = (upper_high, upper_low);
        for step in first..first + STEPS {
            let at = 4 * PANEL_ROWS * step;
            let (upper, lower) = (V::codes(panels[0].add(at)), V::codes(panels[1].add(at)));
            for t in 0..TILE {
                let inputs = high_plane.add(32 * t + 4 * step);
                upper_high[t] = V::dot::<8>(upper_high[t], upper, inputs);
                lower_high[t] = V::dot::<8>(lower_high[t], lower, inputs);
            }
            for t in 0..TILE {
                let inputs = low_plane.add(32 * t + 4 * step);
                upper_low[t] = V::dot::<8>(upper_low[t], upper, inputs);
                lower_low[t] = V::dot::<8>(lower_low[t], lower, inputs);
            }
        }
        let scale_at = (GROUP + first) * PANEL_ROWS;
        let scales = (V::load(panels[0].add(scale_at).cast()), V::load(panels[1].add(scale_at).cast()));
        let factors = group.add(SCALES_AT * TILE).cast::<f32>();
        let [upper_totals, lower_totals] = totals;
        for t in 0..TILE {
            let factor = V::splat(*factors.add(t));
            let upper = V::finish::<8, 7>(upper_high[t], upper_low[t], starts.add(t));
            upper_totals[t] = V::mul_add(upper, V::mul(scales.0, factor), upper_totals[t]);
            let lower = V::finish::<8, 7>(lower_high[t], lower_low[t], starts.add(t));
            lower_totals[t] = V::mul_add(lower, V::mul(scales.1, factor), lower_totals[t]);
        }
    }
}
