//! One block of positions for a few rows of queries: scores, weights, weighted values.

use half::f16;

use super::attention::{AttentionTask, Space};
use super::rows::{exp, fold, larger, largest};
use crate::block::GROUP;
use crate::cpu::vector::Vector;
use crate::kv_layout::POSITIONS as BLOCK;

/// How the keys and values of a block are kept.
pub(super) trait Cells {
    /// Whether 32 of them share a scale, with which each is multiplied: exactly, as both are short.
    const SCALED: bool;
    /// What one of them is.
    type Element;
    /// Widens as many as a vector has lanes. A scale counts where there are any.
    unsafe fn load<V: Vector>(from: *const Self::Element, scale: V::Floats) -> V::Floats;
    /// Widens one, the same.
    unsafe fn load_one(from: *const Self::Element, scale: f32) -> f32;
}

/// Half precision, as it is kept.
pub(super) struct Halves;
/// Codes of `Q8_0`, as they are kept.
pub(super) struct Codes;
/// What was widened before.
pub(super) struct Singles;

impl Cells for Halves {
    const SCALED: bool = false;
    type Element = u16;
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const u16, _: V::Floats) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::load_f16(from) }
    }
    #[inline(always)]
    unsafe fn load_one(from: *const u16, _: f32) -> f32 {
        // SAFETY: as the caller says.
        unsafe { f16::from_bits(from.read_unaligned()).to_f32() }
    }
}

impl Cells for Codes {
    const SCALED: bool = true;
    type Element = i8;
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const i8, scale: V::Floats) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::mul(V::load_i8(from), scale) }
    }
    #[inline(always)]
    unsafe fn load_one(from: *const i8, scale: f32) -> f32 {
        // SAFETY: as the caller says.
        unsafe { f32::from(*from) * scale }
    }
}

impl Cells for Singles {
    const SCALED: bool = false;
    type Element = f32;
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const f32, _: V::Floats) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn load_one(from: *const f32, _: f32) -> f32 {
        // SAFETY: as the caller says.
        unsafe { *from }
    }
}

/// A block of positions as rows read it.
pub(super) struct Tile<'a, E> {
    /// `[head_dim][BLOCK]`.
    pub(super) keys: *const E,
    /// `[BLOCK][value_stride]`, whole vectors.
    pub(super) values: *const E,
    pub(super) value_stride: usize,
    /// `[head_dim / GROUP][BLOCK]`, where cells have scales.
    pub(super) key_scales: *const f32,
    /// In the same order.
    pub(super) value_scales: *const f32,
    pub(super) task: &'a AttentionTask<'a>,
    /// The block's first position.
    pub(super) start: usize,
    /// Positions of it that any row may see.
    pub(super) positions: usize,
}

impl<E> Tile<'_, E> {
    /// The block for `R` rows from `row` on, which moves past them.
    ///
    /// # Safety
    /// As [`crate::cpu::Op::run`]; the pointers are as the fields say, the tile's rows are in the workspace.
    #[inline(always)]
    pub(super) unsafe fn compute<V: Vector, C: Cells<Element = E>, const R: usize>(
        &self,
        space: &mut Space<'_>,
        row: &mut usize,
    ) {
        let first = *row;
        *row += R;
        let dim = self.task.head_dim;
        let mut weights = [[0f32; BLOCK]; R];
        let queries = &space.queries[first * dim..][..R * dim];
        // SAFETY: these queries are `[head_dim][R]`.
        unsafe { self.scores::<V, C, R>(queries.as_ptr(), &mut weights) };
        let mut before = [0f32; R];
        for (t, before) in before.iter_mut().enumerate() {
            *before = space.most[first + t];
            let sees = self.task.seen + self.task.advance * ((first + t) / self.task.group);
            let visible = sees.saturating_sub(self.start).min(self.positions);
            if visible < BLOCK {
                weights[t][visible..].fill(f32::NEG_INFINITY);
            }
        }
        // Row by row the steps would wait for each other; step by step the rows overlap.
        let most: [f32; R] = std::array::from_fn(|t| larger(largest(&weights[t]), before[t]));
        let mut factors = [0f32; R];
        for (factor, (before, most)) in factors.iter_mut().zip(before.iter().zip(&most)) {
            *factor = exp(before - most);
        }
        for (weights, most) in weights.iter_mut().zip(&most) {
            for weight in weights {
                *weight = exp(*weight - most);
            }
        }
        for t in 0..R {
            let halves = std::array::from_fn(|i| weights[t][i] + weights[t][i + BLOCK / 2]);
            space.most[first + t] = most[t];
            space.sums[first + t] = space.sums[first + t] * factors[t] + fold(halves, |a, b| a + b);
        }
        let padded = space.padded;
        let totals = space.totals[first * padded..][..R * padded].as_mut_ptr();
        let mut d = 0;
        // SAFETY: a row of values and of totals is a whole number of vectors, and so is what shares a scale.
        unsafe {
            while R < 4 && !C::SCALED && d + 4 * V::LANES <= padded {
                self.add_values::<V, C, R, 4>(&weights, &factors, totals.add(d), padded, d);
                d += 4 * V::LANES;
            }
            while d + 2 * V::LANES <= padded {
                self.add_values::<V, C, R, 2>(&weights, &factors, totals.add(d), padded, d);
                d += 2 * V::LANES;
            }
            while d < padded {
                self.add_values::<V, C, R, 1>(&weights, &factors, totals.add(d), padded, d);
                d += V::LANES;
            }
        }
    }

    /// Scores of `R` rows and all positions of the block: sums over the head's values in order.
    #[inline(always)]
    unsafe fn scores<V: Vector, C: Cells<Element = E>, const R: usize>(
        &self,
        queries: *const f32,
        out: &mut [[f32; BLOCK]; R],
    ) {
        let dim = self.task.head_dim;
        let group = if C::SCALED { GROUP } else { dim };
        // SAFETY: keys are `[head_dim][BLOCK]`, queries `[head_dim][R]`, scales `[head_dim / GROUP][BLOCK]`.
        unsafe {
            for position in (0..BLOCK).step_by(2 * V::LANES) {
                let mut keys = self.keys.add(position);
                let mut queries = queries;
                let mut totals = [[V::zero(); 2]; R];
                for at in 0..dim / group {
                    let mut scales = [V::zero(); 2];
                    if C::SCALED {
                        let from = self.key_scales.add(at * BLOCK + position);
                        scales = [V::load(from), V::load(from.add(V::LANES))];
                    }
                    for _ in 0..group {
                        let key = [C::load::<V>(keys, scales[0]), C::load::<V>(keys.add(V::LANES), scales[1])];
                        for (t, totals) in totals.iter_mut().enumerate() {
                            let query = V::splat(*queries.add(t));
                            totals[0] = V::mul_add(query, key[0], totals[0]);
                            totals[1] = V::mul_add(query, key[1], totals[1]);
                        }
                        keys = keys.add(BLOCK);
                        queries = queries.add(R);
                    }
                }
                for (totals, out) in totals.into_iter().zip(out.iter_mut()) {
                    let out = out.as_mut_ptr().add(position);
                    V::store(out, totals[0]);
                    V::store(out.add(V::LANES), totals[1]);
                }
            }
        }
    }

    /// `totals = totals · factor + weights · values`, position by position, for `R` rows and `N` vectors of a head's
    /// values from element `d` on.
    #[inline(always)]
    unsafe fn add_values<V: Vector, C: Cells<Element = E>, const R: usize, const N: usize>(
        &self,
        weights: &[[f32; BLOCK]; R],
        factors: &[f32; R],
        totals: *mut f32,
        padded: usize,
        d: usize,
    ) {
        // SAFETY: values are `[BLOCK][value_stride]`, totals `[R][padded]`; both have `N` vectors from here on.
        unsafe {
            let mut sums = [[V::zero(); N]; R];
            for (t, sums) in sums.iter_mut().enumerate() {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = V::mul(V::load(totals.add(t * padded + n * V::LANES)), V::splat(factors[t]));
                }
            }
            let mut values = self.values.add(d);
            let scales = self.value_scales.add(d / GROUP * BLOCK);
            for position in 0..self.positions {
                let scale = if C::SCALED { V::splat(*scales.add(position)) } else { V::zero() };
                let mut value = [V::zero(); N];
                for (n, value) in value.iter_mut().enumerate() {
                    *value = C::load::<V>(values.add(n * V::LANES), scale);
                }
                for (t, sums) in sums.iter_mut().enumerate() {
                    let weight = V::splat(*weights[t].as_ptr().add(position));
                    for (sum, value) in sums.iter_mut().zip(value) {
                        *sum = V::mul_add(weight, value, *sum);
                    }
                }
                values = values.add(self.value_stride);
            }
            for (t, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    V::store(totals.add(t * padded + n * V::LANES), *sum);
                }
            }
        }
    }
}
