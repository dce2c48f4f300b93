//! Products of float weights: which tasks they are cut into, and the blocks of a task that stay in the caches.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::attend::Line;
use super::generic::float_tile::{Brain, Float, FloatTile, Half, MOST_ROWS, Single, finish_sums, float_tile};
use super::generic::tile::Place;
use super::product::{Cut, Product};
use super::vector::Vector;
use super::{Op, float_shape, run};
use crate::panel::PANEL_ROWS;
use crate::{Format, Isa, Matrix};

/// Columns of a block: two panels of it in single precision, 48 KiB, are read again for every tile of tokens.
const BLOCK: usize = 384;

/// Tokens of a task at most: a block of their activations stays in the second-level cache from one panel to the next.
const TASK_TOKENS: usize = 384;

/// Bytes of weights that a task reads at most where there are few tokens.
const TASK_BYTES: usize = 48 << 10;

/// Tasks that there should be for each thread, where there are tokens enough to cut.
const TASKS_PER_THREAD: usize = 4;

/// The widths of tiles, widest first; those wider than the registers allow are left out.
const WIDTHS: [usize; 5] = [12, 6, 4, 2, 1];

/// Splits tokens `first..first + count` into tiles of `widest` and then of ever fewer.
pub(crate) fn float_tiles(first: usize, count: usize, widest: usize) -> impl Iterator<Item = (usize, usize)> {
    let (mut next, end) = (first, first + count);
    std::iter::from_fn(move || {
        let width = WIDTHS.into_iter().find(|width| *width <= widest && next + width <= end)?;
        let tile = (next, width);
        next += width;
        Some(tile)
    })
}

/// Rows and tokens of the widest tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloatShape {
    /// Panels of a tile, 1 or 2.
    pub(crate) panels: usize,
    /// Tokens of a tile; one of [`WIDTHS`].
    pub(crate) tokens: usize,
}

/// How the product of `tokens` tokens is cut, of which a task may have `share` panels.
pub(super) fn cut(isa: Isa, weights: &Matrix, tokens: usize, share: usize, threads: usize) -> Cut {
    let shape = float_shape(isa);
    let all = weights.rows().div_ceil(PANEL_ROWS);
    let fitting = TASK_BYTES / weights.layout().panel_bytes().max(1);
    let panels = match tokens > shape.tokens {
        true => shape.panels,
        // Whole tiles where that leaves enough to share out.
        false => fitting.min(share).max(1).next_multiple_of(if share >= shape.panels { shape.panels } else { 1 }),
    };
    let panel_runs = all.div_ceil(panels);
    let wanted = (TASKS_PER_THREAD * threads).div_ceil(panel_runs.max(1));
    let run = tokens.div_ceil(wanted).clamp(1, TASK_TOKENS).next_multiple_of(shape.tokens);
    Cut { panels, tokens: run, panel_runs, token_runs: tokens.div_ceil(run) }
}

thread_local! {
    /// What a thread's tasks work in: widened weights, and sums between two blocks.
    static SPACE: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Computes one task: `panels` × `tokens` of a product with `floats`, the activations.
///
/// # Safety
/// The product has been checked, and no other thread has these values.
pub(super) unsafe fn run_task(
    isa: Isa,
    product: &Product<'_>,
    floats: &[f32],
    panels: Range<usize>,
    tokens: Range<usize>,
) {
    let weights = product.weights();
    let (format, cols, panel_bytes) = (weights.format(), weights.cols(), weights.layout().panel_bytes());
    let column_bytes = format.block_bytes() * PANEL_ROWS;
    let shape = float_shape(isa);
    let widens = format != Format::F32 && tokens.len() >= shape.tokens;
    SPACE.with_borrow_mut(|space| {
        let widened = BLOCK * MOST_ROWS;
        let len = widened + tokens.len() * MOST_ROWS;
        if space.len() * 16 < len {
            space.resize(len.div_ceil(16), Line([0.0; 16]));
        }
        let (widened, sums) = bytemuck::cast_slice_mut(space).split_at_mut(widened);
        for panel in panels.clone().step_by(shape.panels) {
            let count = shape.panels.min(panels.end - panel);
            for block in (0..cols.max(1)).step_by(BLOCK) {
                let columns = block..cols.min(block + BLOCK);
                let stored = &weights.packed()[panel * panel_bytes..][..count * panel_bytes];
                let stored = &stored[block * column_bytes..];
                let mut tiles = Tiles {
                    product,
                    floats,
                    weights: stored,
                    panel_bytes,
                    panels: panel..panel + count,
                    columns,
                    tokens: tokens.clone(),
                    sums,
                };
                if widens {
                    let columns = tiles.columns.len();
                    let from =
                        Widen { from: stored, panel_bytes, columns, to: &mut widened[..count * BLOCK * PANEL_ROWS] };
                    match format {
                        Format::F16 => run(isa, Widening::<Half>(from, PhantomData)),
                        _ => run(isa, Widening::<Brain>(from, PhantomData)),
                    }
                    tiles.weights = bytemuck::cast_slice(widened);
                    tiles.panel_bytes = 4 * PANEL_ROWS * BLOCK;
                }
                match format {
                    Format::F16 if !widens => run(isa, FewTokens::<Half>(tiles, PhantomData)),
                    Format::Bf16 if !widens => run(isa, FewTokens::<Brain>(tiles, PhantomData)),
                    _ => run(isa, AnyTokens(tiles)),
                }
            }
        }
    });
}

/// A block of columns of one or two panels, to be brought to single precision.
struct Widen<'a> {
    /// From the block's first column in the first panel on.
    from: &'a [u8],
    panel_bytes: usize,
    columns: usize,
    /// `[panels][BLOCK][16 rows]`.
    to: &'a mut [f32],
}

struct Widening<'a, F>(Widen<'a>, PhantomData<F>);

impl<F: Float> Op for Widening<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Widen { from, panel_bytes, columns, to } = self.0;
        for (panel, to) in to.chunks_exact_mut(BLOCK * PANEL_ROWS).enumerate() {
            let from = &from[panel * panel_bytes..][..columns * PANEL_ROWS * F::BYTES];
            let vectors = from.chunks_exact(V::LANES * F::BYTES).zip(to.chunks_exact_mut(V::LANES));
            for (from, to) in vectors {
                // SAFETY: `V` is what the caller says; both are as long as a vector.
                unsafe { V::store(to.as_mut_ptr(), F::load::<V>(from.as_ptr())) };
            }
        }
    }
}

/// The tiles of one or two panels in a block of columns.
struct Tiles<'a> {
    product: &'a Product<'a>,
    floats: &'a [f32],
    /// From the block's first column in the first panel on.
    weights: &'a [u8],
    /// Bytes from a panel to the next.
    panel_bytes: usize,
    panels: Range<usize>,
    columns: Range<usize>,
    tokens: Range<usize>,
    /// `[tokens][32]`.
    sums: &'a mut [f32],
}

impl Tiles<'_> {
    /// The tile of `width` tokens from `token` on.
    #[inline(always)]
    fn tile(&mut self, token: usize, width: usize) -> FloatTile {
        let weights = self.product.weights();
        let (cols, all_rows, row) = (weights.cols(), weights.rows(), self.panels.start * PANEL_ROWS);
        let columns = self.columns.len();
        FloatTile {
            weights: self.weights.as_ptr(),
            panel_bytes: self.panel_bytes,
            activations: self.floats[token * cols + self.columns.start * width..][..columns * width].as_ptr(),
            columns,
            sums: self.sums[(token - self.tokens.start) * MOST_ROWS..][..width * MOST_ROWS].as_mut_ptr(),
            begins: self.columns.start == 0,
            ends: self.columns.end == cols,
            place: Place {
                rows: (self.panels.len() * PANEL_ROWS).min(all_rows - row),
                // SAFETY: the output is `tokens · rows` long.
                out: unsafe { self.product.out().add(token * all_rows + row) },
                stride: all_rows,
                epilogue: self.product.tile_epilogue(row),
            },
        }
    }
}

/// Tiles of any width, of weights in single precision.
struct AnyTokens<'a>(Tiles<'a>);

impl Op for AnyTokens<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut tiles = self.0;
        let single = tiles.panels.len() * PANEL_ROWS == V::LANES;
        for (token, width) in float_tiles(tiles.tokens.start, tiles.tokens.len(), V::FLOAT_TOKENS) {
            let tile = tiles.tile(token, width);
            // SAFETY: the block and the activations are borrowed whole; the rows of these tokens are this task's
            // alone; `V` is what the caller says.
            unsafe {
                match (single, width) {
                    (true, 12) => float_tile::<V, Single, 1, 12>(&tile),
                    (false, 12) => float_tile::<V, Single, 2, 12>(&tile),
                    (true, _) => of_width::<V, Single, 1>(&tile, width),
                    (false, _) => of_width::<V, Single, 2>(&tile, width),
                }
                if tile.ends {
                    finish_sums::<V>(&tile, width);
                }
            }
        }
    }
}

/// Tiles of fewer tokens than the widest has, of weights as they are stored.
struct FewTokens<'a, F>(Tiles<'a>, PhantomData<F>);

impl<F: Float> Op for FewTokens<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let mut tiles = self.0;
        let single = tiles.panels.len() * PANEL_ROWS == V::LANES;
        for (token, width) in float_tiles(tiles.tokens.start, tiles.tokens.len(), V::FLOAT_TOKENS) {
            let tile = tiles.tile(token, width);
            // SAFETY: as above.
            unsafe {
                match single {
                    true => of_width::<V, F, 1>(&tile, width),
                    false => of_width::<V, F, 2>(&tile, width),
                }
                if tile.ends {
                    finish_sums::<V>(&tile, width);
                }
            }
        }
    }
}

/// The tile of `width` tokens, at most 6.
///
/// # Safety
/// As for [`float_tile`].
#[inline(always)]
unsafe fn of_width<V: Vector, F: Float, const N: usize>(tile: &FloatTile, width: usize) {
    // SAFETY: as the caller says.
    unsafe {
        match width {
            6 => float_tile::<V, F, N, 6>(tile),
            4 => float_tile::<V, F, N, 4>(tile),
            2 => float_tile::<V, F, N, 2>(tile),
            _ => float_tile::<V, F, N, 1>(tile),
        }
    }
}
