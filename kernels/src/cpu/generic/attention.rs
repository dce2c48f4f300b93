//! Attention of a few tokens of one group of heads, with an online softmax over fixed blocks of positions.
//!
//! Positions are cut into stretches of [`STRETCH`], stretches into blocks; both start at position 0 whatever the queries
//! are. Within a stretch a row's sums run over the positions in order, stretches are joined in order, and what a row may
//! not see adds exact zeros: so a row's result does not depend on the other rows, on how a prompt was cut, on what was
//! reused, or on which thread computed which stretch.
//!
//! Where rows are many, a block is widened to single precision once for all of them; a few rows read it as it is kept,
//! and compute the same.

use std::ops::Range;

use super::attention_tile::{Cells, Codes, Halves, Singles, Tile};
use super::stretch;
use crate::KvFormat;
use crate::block::GROUP;
use crate::cpu::Op;
use crate::cpu::vector::Vector;
use crate::kv_layout::POSITIONS as BLOCK;

/// Positions of a stretch: small enough to spread a step's work evenly, large enough for the joining to weigh nothing.
pub(crate) const STRETCH: usize = 256;
/// Every row of the workspace is a whole number of these, and so of vectors.
pub(crate) const PAD: usize = 16;
/// Rows up to which a block is read as it is kept, and the widest tile of them.
const FEW_ROWS: usize = 8;
const FEW_TILE: usize = 4;
/// Bytes that memory moves at once.
const LINE: usize = 64;

/// The keys and values of one head.
#[derive(Clone, Copy)]
pub(crate) struct KvHead<'a> {
    pub(crate) format: KvFormat,
    /// Blocks of keys, at least up to the last position that is seen.
    pub(crate) keys: &'a [u8],
    /// Blocks of values, as the keys.
    pub(crate) values: &'a [u8],
    /// Bytes of a block of either.
    pub(crate) block_bytes: usize,
}

/// Where the result of a task goes.
pub(crate) enum Sink {
    /// The first token's result, `[group][head_dim]`, once all stretches are joined.
    Out(*mut f32),
    /// The records of the first token's heads in the first stretch of the cache (see [`stretch`]).
    Records {
        at: *mut f32,
        /// Values from one token to the next.
        token_stride: usize,
        /// Values from one stretch to the next.
        stretch_stride: usize,
    },
}

/// The queries of `tokens` tokens and `group` heads that share one head of keys and values.
pub(crate) struct AttentionTask<'a> {
    pub(crate) head: KvHead<'a>,
    /// Values of one head.
    pub(crate) head_dim: usize,
    /// The first token's queries for this group, `[group][head_dim]`.
    pub(crate) queries: *const f32,
    /// Values from one token to the next, of queries and result.
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
    /// The stretches to compute: all that are seen, for [`Sink::Out`].
    pub(crate) stretches: Range<usize>,
    pub(crate) sink: Sink,
    /// What the task works in: at least [`space_len`] values, whatever they are.
    pub(crate) space: &'a mut [f32],
}

/// Values of workspace that a task of `rows` query rows needs.
pub(crate) fn space_len(rows: usize, head_dim: usize) -> usize {
    let padded = head_dim.next_multiple_of(PAD);
    let scales = 2 * head_dim.div_ceil(GROUP) * BLOCK;
    2 * padded * BLOCK
        + scales
        + 2 * padded * rows
        + 2 * rows.next_multiple_of(PAD)
        + rows * stretch::record_len(head_dim)
}

/// The parts of a task's workspace.
pub(super) struct Space<'a> {
    /// The block's keys, `[head_dim][BLOCK]`.
    keys: &'a mut [f32],
    /// The block's values, `[BLOCK][padded head_dim]`.
    values: &'a mut [f32],
    /// The scales of the block's keys, `[head_dim / GROUP][BLOCK]`.
    key_scales: &'a mut [f32],
    /// The scales of its values, in the same order.
    value_scales: &'a mut [f32],
    /// The scaled queries, tile after tile `[head_dim][rows of the tile]`.
    pub(super) queries: &'a mut [f32],
    /// Each row's weighted sum of values of the stretch, `[padded head_dim]`.
    pub(super) totals: &'a mut [f32],
    /// Each row's largest score of the stretch.
    pub(super) most: &'a mut [f32],
    /// Each row's sum of weights of the stretch.
    pub(super) sums: &'a mut [f32],
    /// Each row's record of the stretches before.
    records: &'a mut [f32],
    /// `head_dim`, padded.
    pub(super) padded: usize,
}

impl<'a> Space<'a> {
    #[inline(always)]
    fn new(space: &'a mut [f32], rows: usize, head_dim: usize) -> Space<'a> {
        let padded = head_dim.next_multiple_of(PAD);
        let scales = head_dim.div_ceil(GROUP) * BLOCK;
        let (keys, space) = space.split_at_mut(padded * BLOCK);
        let (values, space) = space.split_at_mut(padded * BLOCK);
        let (key_scales, space) = space.split_at_mut(scales);
        let (value_scales, space) = space.split_at_mut(scales);
        let (queries, space) = space.split_at_mut(padded * rows);
        let (totals, space) = space.split_at_mut(padded * rows);
        let (most, space) = space.split_at_mut(rows.next_multiple_of(PAD));
        let (sums, records) = space.split_at_mut(rows.next_multiple_of(PAD));
        if padded > head_dim {
            // The padding of values is weighed with the rest.
            values.fill(0.0);
        }
        Space { keys, values, key_scales, value_scales, queries, totals, most, sums, records, padded }
    }

    /// Begins a stretch.
    #[inline(always)]
    fn clear(&mut self) {
        self.totals.fill(0.0);
        // Finite, so that a row that sees nothing yet has differences that are numbers.
        self.most.fill(f32::MIN);
        self.sums.fill(0.0);
    }
}

impl Op for AttentionTask<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: as the caller says.
        unsafe {
            match self.head.format {
                KvFormat::F16 => self.attend::<V, Halves>(),
                KvFormat::Q8_0 => self.attend::<V, Codes>(),
            }
        }
    }
}

/// Rows of the next tile where `left` rows are left: 8, 4, 3 or 1. Few widths, for each is compiled for every kind of
/// cells and every instruction set.
#[inline(always)]
fn tile_rows(left: usize, widest: usize) -> usize {
    match left.min(widest) {
        8.. => 8,
        4.. => 4,
        3 if widest == FEW_TILE => 3,
        _ => 1,
    }
}

impl AttentionTask<'_> {
    /// Computes the task over cells that are kept as `K`.
    #[inline(always)]
    unsafe fn attend<V: Vector, K: Cells>(mut self) {
        let rows = self.group * self.tokens;
        let space = std::mem::take(&mut self.space);
        let mut space = Space::new(space, rows, self.head_dim);
        let last = self.seen + self.advance * (self.tokens - 1);
        let as_kept = self.reads_as_kept();
        let widest = if as_kept { FEW_TILE } else { V::ATTENTION_ROWS };
        // SAFETY: as the caller says.
        unsafe {
            self.load_queries(&mut space, widest);
            for stretch in self.stretches.clone() {
                space.clear();
                let end = last.min((stretch + 1) * STRETCH);
                for start in (stretch * STRETCH..end).step_by(BLOCK) {
                    let positions = BLOCK.min(end - start);
                    let (keys, values) = self.block::<V, K>(&mut space, start);
                    if as_kept {
                        self.few_rows::<V, K>(&mut space, keys, values, start, positions);
                    } else {
                        self.widen_block::<V, K>(&mut space, keys, values, positions);
                        self.many_rows::<V>(&mut space, start, positions);
                    }
                }
                self.settle::<V>(&mut space, stretch);
            }
            self.finish(&space);
        }
    }

    /// Whether rows are so few that widening a block for them would not pay.
    #[inline(always)]
    fn reads_as_kept(&self) -> bool {
        self.group * self.tokens <= FEW_ROWS && self.head_dim.is_multiple_of(PAD)
    }

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

    /// Where the cells of the block at `start` are, keys and values; its scales are brought into the workspace.
    #[inline(always)]
    unsafe fn block<V: Vector, K: Cells>(
        &self,
        space: &mut Space<'_>,
        start: usize,
    ) -> (*const K::Element, *const K::Element) {
        let at = start / BLOCK * self.head.block_bytes;
        let blocks = [self.head.keys, self.head.values].map(|side| &side[at..at + self.head.block_bytes]);
        let count = if K::SCALED { self.head_dim / GROUP * BLOCK } else { 0 };
        for (block, scales) in blocks.iter().zip([&mut *space.key_scales, &mut *space.value_scales]) {
            for (from, to) in block[..2 * count].chunks_exact(2 * V::LANES).zip(scales.chunks_exact_mut(V::LANES)) {
                // SAFETY: both are one vector long.
                unsafe { V::store(to.as_mut_ptr(), V::load_f16(from.as_ptr().cast())) }
            }
        }
        if self.reads_as_kept() {
            // The next block, while this one is computed: a block is a page, which is as far as the machine looks ahead.
            for side in [self.head.keys, self.head.values] {
                for line in (0..self.head.block_bytes).step_by(LINE) {
                    // SAFETY: a prefetch of any address is harmless.
                    unsafe { V::prefetch(side.as_ptr().wrapping_add(at + self.head.block_bytes + line)) }
                }
            }
        }
        let [keys, values] = blocks.map(|block| block[2 * count..].as_ptr().cast());
        (keys, values)
    }

    /// Widens a block into the workspace. Keys of positions that are not written yet are whatever they are; nobody sees
    /// them.
    #[inline(always)]
    unsafe fn widen_block<V: Vector, K: Cells>(
        &self,
        space: &mut Space<'_>,
        keys: *const K::Element,
        values: *const K::Element,
        positions: usize,
    ) {
        let dim = self.head_dim;
        // SAFETY: a block has `dim · BLOCK` cells of either side, in rows of BLOCK and of `dim`; a scale is shared by GROUP
        // cells of a position, which are whole vectors.
        unsafe {
            for (d, row) in space.keys.chunks_exact_mut(BLOCK).take(dim).enumerate() {
                let from = keys.add(d * BLOCK);
                for at in (0..BLOCK).step_by(V::LANES) {
                    let scale = match K::SCALED {
                        true => V::load(space.key_scales[d / GROUP * BLOCK + at..].as_ptr()),
                        false => V::zero(),
                    };
                    V::store(row.as_mut_ptr().add(at), K::load::<V>(from.add(at), scale));
                }
            }
            let whole = dim / V::LANES * V::LANES;
            for (position, row) in space.values.chunks_exact_mut(space.padded).take(positions).enumerate() {
                let from = values.add(position * dim);
                let scale = |d: usize| match K::SCALED {
                    true => space.value_scales[d / GROUP * BLOCK + position],
                    false => 0.0,
                };
                for at in (0..whole).step_by(V::LANES) {
                    V::store(row.as_mut_ptr().add(at), K::load::<V>(from.add(at), V::splat(scale(at))));
                }
                for (at, to) in row[..dim].iter_mut().enumerate().skip(whole) {
                    *to = K::load_one(from.add(at), scale(at));
                }
            }
        }
    }

    /// One block for rows that read it as it is kept.
    #[inline(always)]
    unsafe fn few_rows<V: Vector, K: Cells>(
        &self,
        space: &mut Space<'_>,
        keys: *const K::Element,
        values: *const K::Element,
        start: usize,
        positions: usize,
    ) {
        let rows = self.group * self.tokens;
        let (key_scales, value_scales) = (space.key_scales.as_ptr(), space.value_scales.as_ptr());
        let tile =
            Tile { keys, values, value_stride: self.head_dim, key_scales, value_scales, task: self, start, positions };
        let mut row = 0;
        // SAFETY: the cells are a block's; a head is a whole number of vectors.
        unsafe {
            while row < rows {
                match tile_rows(rows - row, FEW_TILE) {
                    4 => tile.compute::<V, K, 4>(space, &mut row),
                    3 => tile.compute::<V, K, 3>(space, &mut row),
                    _ => tile.compute::<V, K, 1>(space, &mut row),
                }
            }
        }
    }

    /// One block, which is in the workspace, for all rows.
    #[inline(always)]
    unsafe fn many_rows<V: Vector>(&self, space: &mut Space<'_>, start: usize, positions: usize) {
        let rows = self.group * self.tokens;
        let tile = Tile {
            keys: space.keys.as_ptr(),
            values: space.values.as_ptr(),
            value_stride: space.padded,
            key_scales: space.key_scales.as_ptr(),
            value_scales: space.value_scales.as_ptr(),
            task: self,
            start,
            positions,
        };
        let mut row = 0;
        // SAFETY: the cells are a block's, each row of values padded to a whole number of vectors.
        unsafe {
            while row < rows {
                match tile_rows(rows - row, V::ATTENTION_ROWS) {
                    8 => tile.compute::<V, Singles, 8>(space, &mut row),
                    4 => tile.compute::<V, Singles, 4>(space, &mut row),
                    3 => tile.compute::<V, Singles, 3>(space, &mut row),
                    _ => tile.compute::<V, Singles, 1>(space, &mut row),
                }
            }
        }
    }

    /// Ends a stretch: joins it to those before, or writes its records.
    #[inline(always)]
    unsafe fn settle<V: Vector>(&self, space: &mut Space<'_>, stretch: usize) {
        let (padded, len) = (space.padded, stretch::record_len(self.head_dim));
        for row in 0..self.group * self.tokens {
            let totals = space.totals[row * padded..][..padded].as_ptr();
            let (most, sum) = (space.most[row], space.sums[row]);
            // SAFETY: totals are `padded` values, each record `record_len`; a record to write is this task's own.
            unsafe {
                match self.sink {
                    Sink::Out(_) => {
                        let record = space.records[row * len..][..len].as_mut_ptr();
                        if stretch == self.stretches.start {
                            stretch::write::<V>(record, totals, most, sum, padded);
                        } else {
                            stretch::join::<V>(record, totals, most, sum, padded);
                        }
                    }
                    Sink::Records { at, token_stride, stretch_stride } => {
                        let (token, head) = (row / self.group, row % self.group);
                        let record = at.add(stretch * stretch_stride + token * token_stride + head * len);
                        stretch::write::<V>(record, totals, most, sum, padded);
                    }
                }
            }
        }
    }

    /// Writes the result, where it is this task's to write.
    #[inline(always)]
    unsafe fn finish(&self, space: &Space<'_>) {
        let Sink::Out(out) = self.sink else { return };
        let records = space.records.chunks_exact(stretch::record_len(self.head_dim));
        for (row, record) in records.take(self.group * self.tokens).enumerate() {
            let (token, head) = (row / self.group, row % self.group);
            // SAFETY: the result of every token has room for `group · head_dim` values.
            unsafe {
                let out = out.add(token * self.stride + head * self.head_dim);
                stretch::finish(record.as_ptr(), space.padded, self.head_dim, out);
            }
        }
    }
}
