//! Attention of a few tokens of one group of heads, with an online softmax over fixed blocks of positions.
//!
//! Blocks start at position 0 whatever the queries are, a row's sums run over the positions in order, and what a row may
//! not see adds exact zeros: so a row's result does not depend on the other rows, on how a prompt was cut or on what
//! was reused. A block's keys are transposed to single precision once for all rows, so that lanes are positions.

use half::f16;

use super::rows::{exp, fold, larger, largest};
use crate::cpu::Op;
use crate::cpu::vector::Vector;

/// Positions of a block.
pub(crate) const BLOCK: usize = 32;
/// Rows whose sums are in registers at a time, at most.
const MAX_TILE: usize = 8;
/// Every row of the workspace is a whole number of these, and so of vectors.
const PAD: usize = 16;

/// The queries of `tokens` tokens and `group` heads that share one head of keys and values.
pub(crate) struct AttentionTask<'a> {
    /// Keys of this head, `[positions][head_dim]`, at least up to the last token's position.
    pub(crate) keys: &'a [f16],
    /// Values of this head, as the keys.
    pub(crate) values: &'a [f16],
    /// Values of one head.
    pub(crate) head_dim: usize,
    /// The first token's queries for this group, `[group][head_dim]`.
    pub(crate) queries: *const f32,
    /// Where the first token's result goes, `[group][head_dim]`.
    pub(crate) out: *mut f32,
    /// Values from one token to the next, of both.
    pub(crate) stride: usize,
    /// Heads that share the keys.
    pub(crate) group: usize,
    /// Tokens.
    pub(crate) tokens: usize,
    /// Positions that the first token sees.
    pub(crate) seen: usize,
    /// Positions that each token sees beyond those of the token before: 1 where attention is causal, 0 where all
    /// tokens see the same.
    pub(crate) advance: usize,
    /// What scores are multiplied by.
    pub(crate) scale: f32,
    /// What the task works in: at least [`space_len`] values, whatever they are.
    pub(crate) space: &'a mut [f32],
}

/// Values of workspace that a task of `rows` query rows needs.
pub(crate) fn space_len(rows: usize, head_dim: usize) -> usize {
    let padded = head_dim.next_multiple_of(PAD);
    2 * padded * BLOCK + 2 * padded * rows + 2 * rows.next_multiple_of(PAD)
}

/// The parts of a task's workspace.
struct Space<'a> {
    /// The block's keys, `[head_dim][BLOCK]`.
    keys: &'a mut [f32],
    /// The block's values, `[BLOCK][padded head_dim]`.
    values: &'a mut [f32],
    /// The scaled queries, tile after tile `[head_dim][rows of the tile]`.
    queries: &'a mut [f32],
    /// Each row's weighted sum of values, `[padded head_dim]`.
    totals: &'a mut [f32],
    /// Each row's largest score so far.
    most: &'a mut [f32],
    /// Each row's sum of weights so far.
    sums: &'a mut [f32],
    /// `head_dim`, padded.
    padded: usize,
}

impl<'a> Space<'a> {
    #[inline(always)]
    fn new(space: &'a mut [f32], rows: usize, head_dim: usize) -> Space<'a> {
        let padded = head_dim.next_multiple_of(PAD);
        let (keys, space) = space.split_at_mut(padded * BLOCK);
        let (values, space) = space.split_at_mut(padded * BLOCK);
        let (queries, space) = space.split_at_mut(padded * rows);
        let (totals, space) = space.split_at_mut(padded * rows);
        let (most, sums) = space.split_at_mut(rows.next_multiple_of(PAD));
        // The padding of values is weighed with the rest.
        values.fill(0.0);
        totals.fill(0.0);
        most.fill(f32::NEG_INFINITY);
        sums.fill(0.0);
        Space { keys, values, queries, totals, most, sums, padded }
    }
}

impl Op for AttentionTask<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let rows = self.group * self.tokens;
        let space = std::mem::take(&mut self.space);
        let mut space = Space::new(space, rows, self.head_dim);
        let last = self.seen + self.advance * (self.tokens - 1);
        // SAFETY: as the caller says.
        unsafe {
            self.load_queries(&mut space, V::ATTENTION_ROWS);
            for start in (0..last).step_by(BLOCK) {
                let positions = BLOCK.min(last - start);
                self.load_keys::<V>(&mut space, start, positions);
                self.load_values::<V>(&mut space, start, positions);
                let mut row = 0;
                while row < rows {
                    let width = tile_rows(rows - row, V::ATTENTION_ROWS);
                    match width {
                        8 => self.block_tile::<V, 8>(&mut space, row, start, positions),
                        4 => self.block_tile::<V, 4>(&mut space, row, start, positions),
                        3 => self.block_tile::<V, 3>(&mut space, row, start, positions),
                        2 => self.block_tile::<V, 2>(&mut space, row, start, positions),
                        _ => self.block_tile::<V, 1>(&mut space, row, start, positions),
                    }
                    row += width;
                }
            }
            self.store(&space);
        }
    }
}

/// Rows of the next tile where `left` rows are left: 8, 4, 3, 2 or 1.
#[inline(always)]
fn tile_rows(left: usize, widest: usize) -> usize {
    match left.min(widest) {
        8.. => 8,
        4.. => 4,
        few => few,
    }
}

impl AttentionTask<'_> {
    /// Scales the queries and brings those of each tile of rows together.
    #[inline(always)]
    unsafe fn load_queries(&self, space: &mut Space<'_>, widest: usize) {
        let rows = self.group * self.tokens;
        let mut row = 0;
        while row < rows {
            let width = tile_rows(rows - row, widest);
            let tile = &mut space.queries[row * self.head_dim..][..width * self.head_dim];
            for t in 0..width {
                let (token, head) = ((row + t) / self.group, (row + t) % self.group);
                for (d, queries) in tile.chunks_exact_mut(width).enumerate() {
                    // SAFETY: the queries of every token are `group · head_dim` values.
                    let query = unsafe { *self.queries.add(token * self.stride + head * self.head_dim + d) };
                    queries[t] = query * self.scale;
                }
            }
            row += width;
        }
    }

    /// Brings the keys of `positions` positions from `start` on into the workspace, so that lanes are positions. Lanes
    /// without a position are given zeros.
    #[inline(always)]
    unsafe fn load_keys<V: Vector>(&self, space: &mut Space<'_>, start: usize, positions: usize) {
        let dim = self.head_dim;
        let keys = &self.keys[start * dim..(start + positions) * dim];
        let whole = dim / V::LANES * V::LANES;
        for position in (0..positions).step_by(V::LANES) {
            let lanes = V::LANES.min(positions - position);
            for d in (0..whole).step_by(V::LANES) {
                let to = &mut space.keys[d * BLOCK + position..];
                debug_assert!(to.len() >= (V::LANES - 1) * BLOCK + V::LANES);
                if lanes == V::LANES {
                    // SAFETY: `keys` has this many rows of `dim` values from `position` on, `keys[d..]` of the
                    // workspace as many columns of BLOCK lanes.
                    unsafe {
                        V::transpose_f16(keys.as_ptr().add(position * dim + d).cast(), dim, to.as_mut_ptr(), BLOCK);
                    }
                    continue;
                }
                let mut rows = [f16::ZERO; PAD * PAD];
                for (row, key) in rows.chunks_exact_mut(V::LANES).zip(keys[position * dim..].chunks_exact(dim)) {
                    row.copy_from_slice(&key[d..d + V::LANES]);
                }
                // SAFETY: `rows` has at least LANES rows of LANES values; the workspace as above.
                unsafe { V::transpose_f16(rows.as_ptr().cast(), V::LANES, to.as_mut_ptr(), BLOCK) }
            }
            if whole == dim {
                continue;
            }
            for (lane, key) in keys[position * dim..].chunks_exact(dim).take(lanes).enumerate() {
                for (d, value) in key.iter().enumerate().skip(whole) {
                    space.keys[d * BLOCK + position + lane] = value.to_f32();
                }
            }
        }
    }

    /// Brings the values of `positions` positions from `start` on into the workspace.
    #[inline(always)]
    unsafe fn load_values<V: Vector>(&self, space: &mut Space<'_>, start: usize, positions: usize) {
        let dim = self.head_dim;
        let values = &self.values[start * dim..(start + positions) * dim];
        // Rows without padding are one long row.
        let (dim, padded) = if dim == space.padded { (values.len(), values.len()) } else { (dim, space.padded) };
        for (from, to) in values.chunks_exact(dim).zip(space.values.chunks_exact_mut(padded)) {
            let mut from = from.chunks_exact(V::LANES);
            let mut to = to.chunks_exact_mut(V::LANES);
            for (from, to) in (&mut from).zip(&mut to) {
                // SAFETY: both chunks are one vector long; `f16` is its bits.
                unsafe { V::store(to.as_mut_ptr(), V::load_f16(from.as_ptr().cast())) }
            }
            if let Some(to) = to.next() {
                for (from, to) in from.remainder().iter().zip(to) {
                    *to = from.to_f32();
                }
            }
        }
    }

    /// One block for `R` rows from `row` on.
    #[inline(always)]
    unsafe fn block_tile<V: Vector, const R: usize>(
        &self,
        space: &mut Space<'_>,
        row: usize,
        start: usize,
        positions: usize,
    ) {
        let dim = self.head_dim;
        let mut weights = [[0f32; BLOCK]; MAX_TILE];
        let queries = &space.queries[row * dim..][..R * dim];
        // SAFETY: the keys are `[head_dim][BLOCK]`, these queries `[head_dim][R]`.
        unsafe { scores::<V, R>(space.keys.as_ptr(), queries.as_ptr(), dim, &mut weights) };
        let mut before = [0f32; R];
        for (t, before) in before.iter_mut().enumerate() {
            *before = space.most[row + t];
            let sees = self.seen + self.advance * ((row + t) / self.group);
            let visible = sees.saturating_sub(start).min(positions);
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
            space.most[row + t] = most[t];
            space.sums[row + t] = space.sums[row + t] * factors[t] + fold(halves, |a, b| a + b);
        }
        let padded = space.padded;
        let totals = space.totals[row * padded..][..R * padded].as_mut_ptr();
        let values = space.values[..BLOCK * padded].as_ptr();
        let mut d = 0;
        // SAFETY: a row of values and of totals is `padded` long, a whole number of vectors.
        unsafe {
            while R < 4 && d + 4 * V::LANES <= padded {
                weigh::<V, R, 4>(&weights, &factors, values.add(d), totals.add(d), padded, positions);
                d += 4 * V::LANES;
            }
            while d + 2 * V::LANES <= padded {
                weigh::<V, R, 2>(&weights, &factors, values.add(d), totals.add(d), padded, positions);
                d += 2 * V::LANES;
            }
            while d < padded {
                weigh::<V, R, 1>(&weights, &factors, values.add(d), totals.add(d), padded, positions);
                d += V::LANES;
            }
        }
    }

    /// Divides by the sums of weights and writes the result.
    #[inline(always)]
    unsafe fn store(&self, space: &Space<'_>) {
        for (row, totals) in space.totals.chunks_exact(space.padded).enumerate() {
            let (token, head) = (row / self.group, row % self.group);
            let inverse = 1.0 / space.sums[row];
            // SAFETY: the result of every token has room for `group · head_dim` values.
            unsafe {
                let out = self.out.add(token * self.stride + head * self.head_dim);
                for (d, total) in totals[..self.head_dim].iter().enumerate() {
                    // Adding zero makes every zero positive: exact zeros of unseen positions may have turned its sign.
                    out.add(d).write(total * inverse + 0.0);
                }
            }
        }
    }
}

/// Scores of `R` rows and all positions of a block: sums over the head's values in order.
#[inline(always)]
unsafe fn scores<V: Vector, const R: usize>(
    keys: *const f32,
    queries: *const f32,
    head_dim: usize,
    out: &mut [[f32; BLOCK]; MAX_TILE],
) {
    // SAFETY: keys are `[head_dim][BLOCK]`, queries `[head_dim][R]`.
    unsafe {
        for position in (0..BLOCK).step_by(2 * V::LANES) {
            let mut totals = [[V::zero(); 2]; R];
            let mut keys = keys.add(position);
            let mut queries = queries;
            for _ in 0..head_dim {
                let key = [V::load(keys), V::load(keys.add(V::LANES))];
                for (t, totals) in totals.iter_mut().enumerate() {
                    let query = V::splat(*queries.add(t));
                    totals[0] = V::mul_add(query, key[0], totals[0]);
                    totals[1] = V::mul_add(query, key[1], totals[1]);
                }
                keys = keys.add(BLOCK);
                queries = queries.add(R);
            }
            for (t, totals) in totals.iter().enumerate() {
                let out = out[t].as_mut_ptr().add(position);
                V::store(out, totals[0]);
                V::store(out.add(V::LANES), totals[1]);
            }
        }
    }
}

/// `totals = totals · factor + weights · values`, position by position, for `R` rows and `N` vectors of a head's values.
#[inline(always)]
unsafe fn weigh<V: Vector, const R: usize, const N: usize>(
    weights: &[[f32; BLOCK]; MAX_TILE],
    factors: &[f32; R],
    values: *const f32,
    totals: *mut f32,
    padded: usize,
    positions: usize,
) {
    // SAFETY: values are `[BLOCK][padded]`, totals `[R][padded]`; both have `N` vectors from here on.
    unsafe {
        let mut sums = [[V::zero(); N]; R];
        for (t, sums) in sums.iter_mut().enumerate() {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = V::mul(V::load(totals.add(t * padded + n * V::LANES)), V::splat(factors[t]));
            }
        }
        let mut values = values;
        for position in 0..positions {
            let mut value = [V::zero(); N];
            for (n, value) in value.iter_mut().enumerate() {
                *value = V::load(values.add(n * V::LANES));
            }
            for (t, sums) in sums.iter_mut().enumerate() {
                let weight = V::splat(*weights[t].as_ptr().add(position));
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = V::mul_add(weight, value, *sum);
                }
            }
            values = values.add(padded);
        }
        for (t, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                V::store(totals.add(t * padded + n * V::LANES), *sum);
            }
        }
    }
}
