//! Splits matrix products into tasks for a lane and tiles for the registers.

use std::marker::PhantomData;

use nanomind_hal::Lane;

use super::generic::float_tile::{Brain, Half, Single};
use super::generic::matmul::{Q4K, Q5K, Q6K, Q40, Q41, Q50, Q51, Q80};
use super::generic::tile::{Tile, TileEpilogue, TileKernel};
use super::vector::Vector;
use super::{Op, run, tile_tokens};
use crate::activations::words_per_token;
use crate::panel::PANEL_ROWS;
use crate::{Activations, Format, Matrix};

/// What becomes of the values of a product.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a> {
    /// `out = W x`.
    Store,
    /// `out = W x + bias`, with one bias for each row of `W`.
    Bias(&'a [f32]),
    /// `out += W x`: the residual stream.
    Accumulate,
}

/// One product to compute: weights `[rows, cols]` and where its values `[tokens, rows]` go.
#[derive(Debug)]
pub struct Product<'a> {
    weights: &'a Matrix,
    out: *mut f32,
    out_len: usize,
    epilogue: Epilogue<'a>,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: `out` stands for a `&mut [f32]`, which may go to another thread.
unsafe impl Send for Product<'_> {}
// SAFETY: through a shared reference nothing is written but by `multiply`, which has the only mutable one and gives
// each task its own part of `out`.
unsafe impl Sync for Product<'_> {}

impl<'a> Product<'a> {
    /// `out = W x`.
    pub fn new(weights: &'a Matrix, out: &'a mut [f32]) -> Product<'a> {
        Product::with(weights, out, Epilogue::Store)
    }

    /// `W x` with an epilogue.
    ///
    /// # Panics
    /// A bias has another length than `weights` has rows.
    pub fn with(weights: &'a Matrix, out: &'a mut [f32], epilogue: Epilogue<'a>) -> Product<'a> {
        if let Epilogue::Bias(bias) = epilogue {
            assert_eq!(bias.len(), weights.rows(), "{} biases for {} rows", bias.len(), weights.rows());
        }
        Product { weights, out: out.as_mut_ptr(), out_len: out.len(), epilogue, borrowed: PhantomData }
    }
}

/// Bytes of weights that one task of a decode step reads: long enough that claiming it costs nothing, short enough that
/// two threads finish together.
const TASK_BYTES: usize = 48 << 10;

/// Tasks that each thread can expect of the smallest call, so that all finish together.
const TASKS_PER_THREAD: usize = 4;

/// Bytes of activations that one task goes through for each panel: they stay in the second-level cache.
const TASK_ACTIVATION_BYTES: usize = 256 << 10;

/// Multiplications that one task makes at most, where there are many tokens.
const TASK_PRODUCTS: usize = 4 << 20;

/// How one product is cut into tasks.
#[derive(Debug, Clone, Copy)]
struct Cut {
    panels: usize,
    tokens: usize,
    panel_runs: usize,
    token_runs: usize,
}

impl Cut {
    /// Tasks of at most `share` panels.
    fn new(weights: &Matrix, tokens: usize, tile: usize, share: usize) -> Cut {
        let all_panels = weights.rows().div_ceil(PANEL_ROWS);
        let fitting = TASK_ACTIVATION_BYTES / (4 * words_per_token(weights)).max(1) / tile * tile;
        let run = fitting.max(tile).min(tokens.max(1));
        let by_bytes = TASK_BYTES / weights.layout().panel_bytes().max(1);
        let by_products = TASK_PRODUCTS / (PANEL_ROWS * weights.cols() * run).max(1);
        let panels = by_bytes.min(by_products).min(share).max(1);
        Cut { panels, tokens: run, panel_runs: all_panels.div_ceil(panels), token_runs: tokens.div_ceil(run) }
    }

    fn tasks(self) -> usize {
        self.panel_runs * self.token_runs
    }
}

/// Computes all products over the same activations in one fork-join.
///
/// # Panics
/// An output is not `tokens · rows` long, or the activations were not loaded for a matrix.
pub(crate) fn multiply(lane: &Lane, x: &Activations, products: &mut [Product<'_>]) {
    for product in &*products {
        let expected = x.tokens() * product.weights.rows();
        assert_eq!(product.out_len, expected, "an output of {} values, expected {expected}", product.out_len);
        // Also asserts that the activations fit the weights.
        x.words_for(product.weights);
    }
    let products = &*products;
    let tile = tile_tokens(x.isa());
    let panels: usize = products.iter().map(|product| product.weights.rows().div_ceil(PANEL_ROWS)).sum();
    let share = panels.div_ceil(TASKS_PER_THREAD * lane.threads());
    let tasks = products.iter().map(|product| Cut::new(product.weights, x.tokens(), tile, share).tasks()).sum();
    lane.for_each(tasks, |index| {
        let mut index = index;
        for product in products {
            let cut = Cut::new(product.weights, x.tokens(), tile, share);
            if index < cut.tasks() {
                // SAFETY: each index is handed out once, so nobody else has this part of the output.
                unsafe { run_task(product, x, cut, index, tile) };
                return;
            }
            index -= cut.tasks();
        }
    });
}

/// Computes one task of a product.
///
/// # Safety
/// `multiply` has checked the product, and no other thread runs the same task.
unsafe fn run_task(product: &Product<'_>, x: &Activations, cut: Cut, index: usize, widest: usize) {
    let (panel_run, token_run) = (index % cut.panel_runs, index / cut.panel_runs);
    let task = TaskRange {
        product,
        words: x.words_for(product.weights),
        first_panel: panel_run * cut.panels,
        last_panel: ((panel_run + 1) * cut.panels).min(product.weights.rows().div_ceil(PANEL_ROWS)),
        first_token: token_run * cut.tokens,
        last_token: ((token_run + 1) * cut.tokens).min(x.tokens()),
        widest,
    };
    let isa = x.isa();
    match product.weights.format() {
        Format::F32 => run(isa, Task::<Single>::new(task)),
        Format::F16 => run(isa, Task::<Half>::new(task)),
        Format::Bf16 => run(isa, Task::<Brain>::new(task)),
        Format::Q4_0 => run(isa, Task::<Q40>::new(task)),
        Format::Q4_1 => run(isa, Task::<Q41>::new(task)),
        Format::Q5_0 => run(isa, Task::<Q50>::new(task)),
        Format::Q5_1 => run(isa, Task::<Q51>::new(task)),
        Format::Q8_0 => run(isa, Task::<Q80>::new(task)),
        Format::Q4K => run(isa, Task::<Q4K>::new(task)),
        Format::Q5K => run(isa, Task::<Q5K>::new(task)),
        Format::Q6K => run(isa, Task::<Q6K>::new(task)),
    }
}

/// Panels × tokens of one product.
#[derive(Clone, Copy)]
struct TaskRange<'a> {
    product: &'a Product<'a>,
    words: &'a [u32],
    first_panel: usize,
    last_panel: usize,
    first_token: usize,
    last_token: usize,
    widest: usize,
}

/// A task whose format the compiler knows.
struct Task<'a, K> {
    range: TaskRange<'a>,
    kernel: PhantomData<K>,
}

impl<'a, K> Task<'a, K> {
    fn new(range: TaskRange<'a>) -> Task<'a, K> {
        Task { range, kernel: PhantomData }
    }
}

impl<K: TileKernel> Op for Task<'_, K> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let range = self.range;
        let weights = range.product.weights;
        let layout = weights.layout();
        let words_per_token = words_per_token(weights);
        for panel in range.first_panel..range.last_panel {
            let row = panel * PANEL_ROWS;
            let bytes = &weights.packed()[panel * layout.panel_bytes()..][..layout.panel_bytes()];
            let epilogue = match range.product.epilogue {
                Epilogue::Store => TileEpilogue::Store,
                Epilogue::Bias(bias) => TileEpilogue::Bias(bias[row..].as_ptr()),
                Epilogue::Accumulate => TileEpilogue::Accumulate,
            };
            let mut token = range.first_token;
            let mut width = range.widest;
            while token < range.last_token {
                while token + width > range.last_token {
                    width /= 2;
                }
                let tile = Tile {
                    panel: bytes.as_ptr(),
                    scales_at: layout.scales_at(),
                    codes_at: layout.codes_at(),
                    activations: range.words[token * words_per_token..][..width * words_per_token].as_ptr(),
                    cols: weights.cols(),
                    rows: PANEL_ROWS.min(weights.rows() - row),
                    // SAFETY: `multiply` has checked that the output is `tokens · rows` long.
                    out: unsafe { range.product.out.add(token * weights.rows() + row) },
                    out_stride: weights.rows(),
                    epilogue,
                };
                // SAFETY: the panel and the activations are borrowed whole; the rows of these tokens are this task's
                // alone; `V` is what the caller says.
                unsafe {
                    match width {
                        8 => K::tile::<V, 8>(&tile),
                        4 => K::tile::<V, 4>(&tile),
                        2 => K::tile::<V, 2>(&tile),
                        _ => K::tile::<V, 1>(&tile),
                    }
                }
                token += width;
            }
        }
    }
}
