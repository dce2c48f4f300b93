//! Splits matrix products into tasks for a lane and tiles for the registers.

use std::marker::PhantomData;
use std::ops::Range;

use nanomind_hal::Lane;

use super::generic::matmul::{Q4K, Q5K, Q6K, Q40, Q41, Q50, Q51, Q80};
use super::generic::tile::{Activate, Place, Tile, TileEpilogue, TileKernel};
use super::unpacked_product::{self, UNPACK_TOKENS};
use super::vector::Vector;
use super::{Op, float_product, panels_at_once, run};
use crate::activations::{TILE, tiles, words_per_token};
use crate::panel::PANEL_ROWS;
use crate::{Activations, Format, Isa, Matrix, Nonlinearity};

/// What becomes of the values of a product.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a> {
    /// `out = W x`.
    Store,
    /// `out = W x + bias`, with one bias for each row of `W`.
    Bias(&'a [f32]),
    /// `out += W x`: the residual stream.
    Accumulate,
    /// `out += W x + bias`: the residual stream after a projection with a bias.
    AccumulateBias(&'a [f32]),
    /// `out = f(W x + bias)`, or `out = f(W x)`: the hidden layer of a feed-forward block.
    Activate(Option<&'a [f32]>, Nonlinearity),
}

impl<'a> Epilogue<'a> {
    /// The biases, one for each row of `W`, if there are any.
    fn bias(self) -> Option<&'a [f32]> {
        match self {
            Epilogue::Bias(bias) | Epilogue::AccumulateBias(bias) => Some(bias),
            Epilogue::Activate(bias, _) => bias,
            Epilogue::Store | Epilogue::Accumulate => None,
        }
    }
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
        if let Some(bias) = epilogue.bias() {
            assert_eq!(bias.len(), weights.rows(), "{} biases for {} rows", bias.len(), weights.rows());
        }
        Product { weights, out: out.as_mut_ptr(), out_len: out.len(), epilogue, borrowed: PhantomData }
    }

    pub(super) fn weights(&self) -> &'a Matrix {
        self.weights
    }

    /// The first of the output's values.
    pub(super) fn out(&self) -> *mut f32 {
        self.out
    }

    /// What becomes of the values of a tile whose first row is `row`.
    pub(super) fn tile_epilogue(&self, row: usize) -> TileEpilogue {
        match self.epilogue {
            Epilogue::Store => TileEpilogue::Store,
            Epilogue::Bias(bias) => TileEpilogue::Bias(bias[row..].as_ptr()),
            Epilogue::Accumulate => TileEpilogue::Accumulate,
            Epilogue::AccumulateBias(bias) => TileEpilogue::AccumulateBias(bias[row..].as_ptr()),
            // The function follows when the task's values are there.
            Epilogue::Activate(bias, _) => {
                bias.map_or(TileEpilogue::Store, |bias| TileEpilogue::Bias(bias[row..].as_ptr()))
            }
        }
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
pub(super) struct Cut {
    pub(super) panels: usize,
    pub(super) tokens: usize,
    pub(super) panel_runs: usize,
    pub(super) token_runs: usize,
}

impl Cut {
    /// Tasks of about `share` panels at most.
    fn new(isa: Isa, weights: &Matrix, tokens: usize, share: usize) -> Cut {
        let all_panels = weights.rows().div_ceil(PANEL_ROWS);
        let fitting = TASK_ACTIVATION_BYTES / (4 * words_per_token(weights)).max(1) / TILE * TILE;
        let run = fitting.max(UNPACK_TOKENS).min(tokens.max(1));
        let by_products = TASK_PRODUCTS / (PANEL_ROWS * weights.cols() * run).max(1);
        let panels = if run < UNPACK_TOKENS {
            let by_bytes = TASK_BYTES / weights.layout().panel_bytes().max(1);
            by_bytes.min(by_products).min(share).max(1)
        } else {
            by_products.min(share).max(1).next_multiple_of(panels_at_once(isa))
        };
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
    let isa = x.isa();
    let panels: usize = products.iter().map(|product| product.weights.rows().div_ceil(PANEL_ROWS)).sum();
    let share = panels.div_ceil(TASKS_PER_THREAD * lane.threads());
    let threads = lane.threads();
    let cut = |weights: &Matrix| match weights.format().is_float() {
        true => float_product::cut(isa, weights, x.tokens(), share, threads),
        false => Cut::new(isa, weights, x.tokens(), share),
    };
    let tasks = products.iter().map(|product| cut(product.weights).tasks()).sum();
    lane.for_each(tasks, |index| {
        let mut index = index;
        for product in products {
            let cut = cut(product.weights);
            if index < cut.tasks() {
                // SAFETY: each index is handed out once, so nobody else has this part of the output.
                unsafe { run_task(product, x, cut, index) };
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
unsafe fn run_task(product: &Product<'_>, x: &Activations, cut: Cut, index: usize) {
    let (panel_run, token_run) = (index % cut.panel_runs, index / cut.panel_runs);
    let words = x.words_for(product.weights);
    let last_panel = ((panel_run + 1) * cut.panels).min(product.weights.rows().div_ceil(PANEL_ROWS));
    let panels = panel_run * cut.panels..last_panel;
    let tokens = token_run * cut.tokens..((token_run + 1) * cut.tokens).min(x.tokens());
    // SAFETY: as the caller says.
    unsafe {
        if product.weights.format().is_float() {
            float_product::run_task(x.isa(), product, bytemuck::cast_slice(words), panels.clone(), tokens.clone());
        } else {
            run_codes(x.isa(), &TaskRange { product, words, panels: panels.clone(), tokens: tokens.clone() });
        }
        activate(x.isa(), product, panels, tokens);
    }
}

/// Takes the function of the task's values, while they are in the cache, if the epilogue is one.
///
/// # Safety
/// As for [`run_task`].
unsafe fn activate(isa: Isa, product: &Product<'_>, panels: Range<usize>, tokens: Range<usize>) {
    let Epilogue::Activate(_, function) = product.epilogue else { return };
    let all = product.weights.rows();
    let (first, last) = (panels.start * PANEL_ROWS, (panels.end * PANEL_ROWS).min(all));
    // SAFETY: `multiply` has checked that the output is `tokens · rows` long; this part of it is the task's.
    let out = unsafe { product.out.add(tokens.start * all + first) };
    run(isa, Activate { function, out, rows: last - first, stride: all, tokens: tokens.len() });
}

/// Computes a task of a product of integer weights.
///
/// # Safety
/// As for [`run_task`].
unsafe fn run_codes(isa: Isa, task: &TaskRange<'_>) {
    if panels_at_once(isa) > 1 && task.tokens.len() >= UNPACK_TOKENS {
        // SAFETY: as the caller says; what is left is this task's, too.
        unsafe { unpacked_product::run_task(isa, task) }.iter().for_each(|rest| run_packed(isa, rest));
    } else {
        run_packed(isa, task);
    }
}

/// Computes a task with the weights as they are packed.
fn run_packed(isa: Isa, task: &TaskRange<'_>) {
    match task.product.weights().format() {
        Format::Q4_0 => run(isa, Task::<Q40>(task, PhantomData)),
        Format::Q4_1 => run(isa, Task::<Q41>(task, PhantomData)),
        Format::Q5_0 => run(isa, Task::<Q50>(task, PhantomData)),
        Format::Q5_1 => run(isa, Task::<Q51>(task, PhantomData)),
        Format::Q8_0 => run(isa, Task::<Q80>(task, PhantomData)),
        Format::Q4K => run(isa, Task::<Q4K>(task, PhantomData)),
        Format::Q5K => run(isa, Task::<Q5K>(task, PhantomData)),
        Format::Q6K => run(isa, Task::<Q6K>(task, PhantomData)),
        Format::F32 | Format::F16 | Format::Bf16 => {}
    }
}

/// Panels × tokens of one product, of which the first token is the first of a tile.
pub(super) struct TaskRange<'a> {
    pub(super) product: &'a Product<'a>,
    pub(super) words: &'a [u32],
    pub(super) panels: Range<usize>,
    pub(super) tokens: Range<usize>,
}

impl TaskRange<'_> {
    /// Where the values of `panel` go, from `token` on.
    pub(super) fn place(&self, panel: usize, token: usize) -> Place {
        let (row, rows) = (panel * PANEL_ROWS, self.product.weights().rows());
        Place {
            rows: PANEL_ROWS.min(rows - row),
            // SAFETY: `multiply` has checked that the output is `tokens · rows` long.
            out: unsafe { self.product.out.add(token * rows + row) },
            stride: rows,
            epilogue: self.product.tile_epilogue(row),
        }
    }
}

/// A task whose format the compiler knows.
struct Task<'t, 'a, K>(&'t TaskRange<'a>, PhantomData<K>);

impl<K: TileKernel> Op for Task<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let task = self.0;
        let weights = task.product.weights();
        let layout = weights.layout();
        let words = words_per_token(weights);
        for panel in task.panels.clone() {
            for (token, width) in tiles(task.tokens.start, task.tokens.len()) {
                let tile = Tile {
                    panel: weights.panel(panel).as_ptr(),
                    scales_at: layout.scales_at(),
                    codes_at: layout.codes_at(),
                    activations: task.words[token * words..][..width * words].as_ptr(),
                    cols: weights.cols(),
                    place: task.place(panel, token),
                };
                // SAFETY: the panel and the activations are borrowed whole; the rows of these tokens are this task's
                // alone; `V` is what the caller says.
                unsafe {
                    match width {
                        TILE => K::tile::<V, TILE>(&tile),
                        2 => K::tile::<V, 2>(&tile),
                        _ => K::tile::<V, 1>(&tile),
                    }
                }
            }
        }
    }
}
