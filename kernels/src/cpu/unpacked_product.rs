//! Products of many tokens with integer weights, where registers hold tiles of two panels: these are unpacked once and
//! stay in the caches while all tokens of the task go by.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::attend::Line;
use super::generic::matmul::{Coded, Q4K, Q5K, Q6K, Q40, Q41, Q50, Q51, Q80, start_of};
use super::generic::unpacked::{UNPACKED_PANELS, UnpackedTile, unpack, unpacked_bytes, unpacked_tile};
use super::product::TaskRange;
use super::vector::Vector;
use super::{Op, run};
use crate::activations::{TILE, words_per_token};
use crate::panel::has_min;
use crate::{Format, Isa, Matrix};

/// Tokens from which unpacking pays: it takes about as long as wider tiles save with a dozen.
pub(super) const UNPACK_TOKENS: usize = 4 * TILE;

thread_local! {
    /// What a thread's tasks unpack to.
    static SPACE: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Computes the whole tiles of a task and gives what is left of it: a panel with all tokens, and all other panels with
/// the last few.
///
/// # Safety
/// The product has been checked, and no other thread runs the same task.
pub(super) unsafe fn run_task<'a>(isa: Isa, task: &TaskRange<'a>) -> [TaskRange<'a>; 2] {
    let weights = task.product.weights();
    let pairs = task.panels.start..task.panels.end - task.panels.len() % UNPACKED_PANELS;
    let whole = task.tokens.start..task.tokens.end - task.tokens.len() % TILE;
    let bytes = unpacked_bytes(weights.cols());
    SPACE.with_borrow_mut(|space| {
        let lines = (UNPACKED_PANELS * bytes).div_ceil(size_of::<Line>());
        if space.len() < lines {
            space.resize(lines, Line([0.0; 16]));
        }
        let space: &mut [u8] = bytemuck::cast_slice_mut(space);
        for panel in pairs.clone().step_by(UNPACKED_PANELS) {
            let (first, rest) = space.split_at_mut(bytes);
            unpack_panel(isa, weights, panel, first);
            unpack_panel(isa, weights, panel + 1, &mut rest[..bytes]);
            let tiles = Tiles { task, panel, tokens: whole.clone(), unpacked: space };
            // Bytes are the same to every dot product but for what they start from and are scaled with.
            match weights.format() {
                Format::Q6K => run(isa, TilesOf::<true, false>(tiles)),
                format if has_min(format) => run(isa, TilesOf::<false, true>(tiles)),
                _ => run(isa, TilesOf::<false, false>(tiles)),
            }
        }
    });
    let rest = |panels: Range<usize>, tokens: Range<usize>| TaskRange { panels, tokens, ..*task };
    [rest(pairs.end..task.panels.end, task.tokens.clone()), rest(pairs, whole.end..task.tokens.end)]
}

/// Unpacks a panel.
fn unpack_panel(isa: Isa, weights: &Matrix, panel: usize, to: &mut [u8]) {
    match weights.format() {
        Format::Q4_0 => run(isa, Unpack::<Q40>::new(weights, panel, to)),
        Format::Q4_1 => run(isa, Unpack::<Q41>::new(weights, panel, to)),
        Format::Q5_0 => run(isa, Unpack::<Q50>::new(weights, panel, to)),
        Format::Q5_1 => run(isa, Unpack::<Q51>::new(weights, panel, to)),
        Format::Q8_0 => run(isa, Unpack::<Q80>::new(weights, panel, to)),
        Format::Q4K => run(isa, Unpack::<Q4K>::new(weights, panel, to)),
        Format::Q5K => run(isa, Unpack::<Q5K>::new(weights, panel, to)),
        Format::Q6K => run(isa, Unpack::<Q6K>::new(weights, panel, to)),
        Format::F32 | Format::F16 | Format::Bf16 => {}
    }
}

/// A panel of a format that the compiler knows, to be unpacked.
struct Unpack<'a, F> {
    weights: &'a Matrix,
    panel: &'a [u8],
    to: &'a mut [u8],
    format: PhantomData<F>,
}

impl<'a, F> Unpack<'a, F> {
    fn new(weights: &'a Matrix, panel: usize, to: &'a mut [u8]) -> Unpack<'a, F> {
        Unpack { weights, panel: weights.panel(panel), to, format: PhantomData }
    }
}

impl<F: Coded> Op for Unpack<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        if V::PANELS == UNPACKED_PANELS {
            let cols = self.weights.cols();
            assert_eq!(self.to.len(), unpacked_bytes(cols));
            // SAFETY: the panel is whole, and there is room; `V` is what the caller says.
            unsafe { unpack::<V, F>(self.panel.as_ptr(), self.weights.layout(), cols, self.to.as_mut_ptr()) }
        }
    }
}

/// Two panels × whole tiles of tokens.
struct Tiles<'t, 'a> {
    task: &'t TaskRange<'a>,
    panel: usize,
    tokens: Range<usize>,
    unpacked: &'t [u8],
}

/// [`Tiles`] of formats with a scale for every 16 columns (`HALVES`) or with a minimum (`MIN`), or with neither.
struct TilesOf<'t, 'a, const HALVES: bool, const MIN: bool>(Tiles<'t, 'a>);

impl<const HALVES: bool, const MIN: bool> Op for TilesOf<'_, '_, HALVES, MIN> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        if V::PANELS != UNPACKED_PANELS {
            return;
        }
        let Tiles { task, panel, tokens, unpacked } = self.0;
        let weights = task.product.weights();
        let words = words_per_token(weights);
        let (first, second) = unpacked.split_at(unpacked_bytes(weights.cols()));
        for token in tokens.step_by(TILE) {
            let tile = UnpackedTile {
                panels: [first.as_ptr(), second.as_ptr()],
                activations: task.words[token * words..][..TILE * words].as_ptr(),
                cols: weights.cols(),
                start: start_of(weights.format()),
                places: [task.place(panel, token), task.place(panel + 1, token)],
            };
            // SAFETY: both panels and the activations are whole; the rows of these tokens are this task's alone; `V` is
            // what the caller says.
            unsafe { unpacked_tile::<V, HALVES, MIN>(&tile) }
        }
    }
}
