//! Causal attention of a few tokens of one group of heads, with an online softmax over fixed blocks of positions.
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
/// Query rows (heads of a group × tokens) of a task.
pub(crate) const MAX_ROWS: usize = 128;
/// The widest head.
pub(crate) const MAX_HEAD_DIM: usize = 256;
/// Rows whose sums are in registers at a time, at most.
const MAX_TILE: usize = 8;

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
    /// Tokens; `group · tokens` is at most [`MAX_ROWS`].
    pub(crate) tokens: usize,
    /// The first token's position: it sees the positions up to and including this one.
    pub(crate) first_position: usize,
    /// What scores are multiplied by.
    pub(crate) scale: f32,
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

/// What a task works in: about 330 kB of the thread's stack, of which a task touches what its shape needs.
#[repr(C, align(64))]
struct Workspace {
    /// The block's keys, `[head_dim][BLOCK]`.
    keys: [f32; MAX_HEAD_DIM * BLOCK],
    /// The block's values, `[BLOCK][padded head_dim]`.
    values: [f32; MAX_HEAD_DIM * BLOCK],
    /// The scaled queries, tile after tile `[head_dim][rows of the tile]`.
    queries: [f32; MAX_HEAD_DIM * MAX_ROWS],
    /// Each row's weighted sum of values, `[padded head_dim]`.
    totals: [f32; MAX_HEAD_DIM * MAX_ROWS],
    /// The scores, then the weights, of one tile of rows.
    weights: [[f32; BLOCK]; MAX_TILE],
    /// Each row's largest score so far.
    most: [f32; MAX_ROWS],
    /// Each row's sum of weights so far.
    sums: [f32; MAX_ROWS],
}

impl Op for AttentionTask<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let rows = self.group * self.tokens;
        debug_assert!(rows <= MAX_ROWS && self.head_dim <= MAX_HEAD_DIM && rows > 0);
        let padded = self.head_dim.next_multiple_of(16);
        let mut space = std::mem::MaybeUninit::<Workspace>::uninit();
        // SAFETY: every array is plain floats. What is read is written first: the parts that `rows` and `head_dim`
        // reach are cleared here, the queries are filled, and the weights are written whole before they are read.
        let space = unsafe {
            let space = space.as_mut_ptr();
            (&raw mut (*space).keys).cast::<f32>().write_bytes(0, self.head_dim * BLOCK);
            (&raw mut (*space).values).cast::<f32>().write_bytes(0, padded * BLOCK);
            (&raw mut (*space).totals).cast::<f32>().write_bytes(0, padded * rows);
            for row in 0..MAX_ROWS {
                (&raw mut (*space).most).cast::<f32>().add(row).write(f32::NEG_INFINITY);
                (&raw mut (*space).sums).cast::<f32>().add(row).write(0.0);
            }
            space
        };
        let last = self.first_position + self.tokens;
        // SAFETY: as the caller says; the workspace is prepared.
        unsafe {
            self.load_queries(space, V::ATTENTION_ROWS);
            for start in (0..last).step_by(BLOCK) {
                let positions = BLOCK.min(last - start);
                self.load_block::<V>(space, start, positions, padded);
                let mut row = 0;
                while row < rows {
                    let width = tile_rows(rows - row, V::ATTENTION_ROWS);
                    match width {
                        8 => self.block_tile::<V, 8>(space, row, start, positions, padded),
                        3 => self.block_tile::<V, 3>(space, row, start, positions, padded),
                        4 => self.block_tile::<V, 4>(space, row, start, positions, padded),
                        2 => self.block_tile::<V, 2>(space, row, start, positions, padded),
                        _ => self.block_tile::<V, 1>(space, row, start, positions, padded),
                    }
                    row += width;
                }
            }
            self.store(space, padded);
        }
    }
}

impl AttentionTask<'_> {
    /// Scales the queries and brings those of each tile of rows together.
    #[inline(always)]
    unsafe fn load_queries(&self, space: *mut Workspace, widest: usize) {
        let rows = self.group * self.tokens;
        let mut row = 0;
        while row < rows {
            let width = tile_rows(rows - row, widest);
            for t in 0..width {
                let (token, head) = ((row + t) / self.group, (row + t) % self.group);
                for d in 0..self.head_dim {
                    // SAFETY: the queries of every token are `group · head_dim` values; `row + width` is at most
                    // MAX_ROWS.
                    unsafe {
                        let query = *self.queries.add(token * self.stride + head * self.head_dim + d);
                        let queries = (&raw mut (*space).queries).cast::<f32>();
                        queries.add(row * self.head_dim + d * width + t).write(query * self.scale);
                    }
                }
            }
            row += width;
        }
    }

    /// Brings the keys (transposed) and values of `positions` positions from `start` on into the workspace.
    #[inline(always)]
    unsafe fn load_block<V: Vector>(&self, space: *mut Workspace, start: usize, positions: usize, padded: usize) {
        let dim = self.head_dim;
        let from = start * dim..(start + positions) * dim;
        let (keys, values) = (&self.keys[from.clone()], &self.values[from]);
        let whole = dim / V::LANES * V::LANES;
        // SAFETY: reads stay inside the slices just taken, writes inside the arrays of the workspace.
        unsafe {
            let to = (&raw mut (*space).keys).cast::<f32>();
            let mut position = 0;
            while position + V::LANES <= positions {
                for d in (0..whole).step_by(V::LANES) {
                    let from = keys.as_ptr().add(position * dim + d);
                    V::transpose_f16(from.cast(), dim, to.add(d * BLOCK + position), BLOCK);
                }
                for p in position..position + V::LANES {
                    for d in whole..dim {
                        to.add(d * BLOCK + p).write(keys[p * dim + d].to_f32());
                    }
                }
                position += V::LANES;
            }
            for p in position..positions {
                for d in 0..dim {
                    to.add(d * BLOCK + p).write(keys[p * dim + d].to_f32());
                }
            }
            let to = (&raw mut (*space).values).cast::<f32>();
            for p in 0..positions {
                for d in (0..whole).step_by(V::LANES) {
                    V::store(to.add(p * padded + d), V::load_f16(values.as_ptr().add(p * dim + d).cast()));
                }
                for d in whole..dim {
                    to.add(p * padded + d).write(values[p * dim + d].to_f32());
                }
            }
        }
    }

    /// One block for `R` rows from `row` on.
    #[inline(always)]
    unsafe fn block_tile<V: Vector, const R: usize>(
        &self,
        space: *mut Workspace,
        row: usize,
        start: usize,
        positions: usize,
        padded: usize,
    ) {
        // SAFETY: rows and widths are those that the workspace was prepared for.
        unsafe {
            let weights = &mut (*space).weights;
            scores::<V, R>(
                &raw const (*space).keys as *const f32,
                (&raw const (*space).queries).cast::<f32>().add(row * self.head_dim),
                self.head_dim,
                weights,
            );
            let mut before = [0f32; R];
            for (t, before) in before.iter_mut().enumerate() {
                *before = (*space).most[row + t];
                let sees = self.first_position + (row + t) / self.group + 1;
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
                (*space).most[row + t] = most[t];
                (*space).sums[row + t] = (*space).sums[row + t] * factors[t] + fold(halves, |a, b| a + b);
            }
            let values = (&raw const (*space).values).cast::<f32>();
            let totals = (&raw mut (*space).totals).cast::<f32>().add(row * padded);
            let mut d = 0;
            while R < 4 && d + 4 * V::LANES <= padded {
                weigh::<V, R, 4>(weights, &factors, values.add(d), totals.add(d), padded, positions);
                d += 4 * V::LANES;
            }
            while d + 2 * V::LANES <= padded {
                weigh::<V, R, 2>(weights, &factors, values.add(d), totals.add(d), padded, positions);
                d += 2 * V::LANES;
            }
            while d < padded {
                weigh::<V, R, 1>(weights, &factors, values.add(d), totals.add(d), padded, positions);
                d += V::LANES;
            }
        }
    }

    /// Divides by the sums of weights and writes the result.
    #[inline(always)]
    unsafe fn store(&self, space: *const Workspace, padded: usize) {
        for row in 0..self.group * self.tokens {
            let (token, head) = (row / self.group, row % self.group);
            // SAFETY: the result of every token has room for `group · head_dim` values.
            unsafe {
                let inverse = 1.0 / (*space).sums[row];
                let out = self.out.add(token * self.stride + head * self.head_dim);
                for d in 0..self.head_dim {
                    // Adding zero makes every zero positive: exact zeros of unseen positions may have turned its sign.
                    out.add(d).write((*space).totals[row * padded + d] * inverse + 0.0);
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
