//! What is resized to make the squares of a picture: it follows from the picture's size alone, no pixel is looked at.

use nanomind_hal::JobCost;

use super::framing::{Framing, TilePlan, fitted, fitted_square, longest_to, whole_tiles};
use super::preprocess::Preprocess;
use super::resample::Window;

/// LLaVA's mean colour, which llama.cpp puts around pictures.
const LLAVA_GREY: [u8; 3] = [122, 116, 104];
/// Products that a band takes: some milliseconds of one core.
const BAND_PRODUCTS: usize = 16 << 20;

/// What a step resizes.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    Picture,
    /// The picture in the middle of a square of this colour.
    Square([u8; 3]),
    Canvas(usize),
}

/// A window on a resized picture, to be put on a canvas.
pub(super) struct Step {
    pub(super) from: Origin,
    pub(super) window: Window,
    pub(super) canvas: usize,
    /// Column and row of the canvas.
    pub(super) at: (usize, usize),
}

/// Pixels that steps write to.
pub(super) struct Blank {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colour: [u8; 3],
}

/// The steps from a picture of one size to its squares.
pub(super) struct Resizing {
    picture: (usize, usize),
    pub(super) plan: TilePlan,
    pub(super) canvases: Vec<Blank>,
    pub(super) steps: Vec<Step>,
    /// The canvas that the tiles are cut out of, and the one that shows the whole.
    pub(super) tiles: Option<usize>,
    pub(super) whole: usize,
}

impl Resizing {
    /// The steps for a picture of this size.
    pub(super) fn new(preprocess: &Preprocess, width: usize, height: usize) -> Resizing {
        let plan = preprocess.plan(width, height);
        let (canvases, steps) = (Vec::new(), Vec::new());
        let mut new = Resizing { picture: (width, height), plan, canvases, steps, tiles: None, whole: 0 };
        let size = preprocess.size;
        match preprocess.framing {
            Framing::Stretch => new.whole = new.resized(Origin::Picture, (size, size)),
            Framing::CentreCrop => {
                let shorter = width.min(height);
                let resized = (size * width / shorter, size * height / shorter);
                let at = ((resized.0 - size) / 2, (resized.1 - size) / 2);
                new.whole = new.canvas((size, size), [0; 3]);
                new.step(Origin::Picture, Window { resized, at, size: (size, size) }, new.whole, (0, 0));
            }
            Framing::Pad => {
                let colour = preprocess.mean.map(|mean| (mean * 255.0) as u8);
                new.whole = new.resized(Origin::Square(colour), (size, size));
            }
            Framing::Fit => {
                new.whole = new.centred((size, size), fitted_square(size, width, height), LLAVA_GREY);
            }
            Framing::Grid(_) => {
                let full = (plan.columns * size, plan.rows * size);
                new.tiles = Some(new.centred(full, fitted(full, width, height), [0; 3]));
                new.whole = new.resized(Origin::Picture, (size, size));
            }
            Framing::Split { longest } => new.split(longest_to(longest, width, height), size),
        }
        new
    }

    fn split(&mut self, longest: (usize, usize), size: usize) {
        let whole_tiles = whole_tiles(longest, size);
        let mut canvas = self.resized(Origin::Picture, longest);
        if whole_tiles != longest {
            canvas = self.resized(Origin::Canvas(canvas), whole_tiles);
        }
        self.whole = canvas;
        if whole_tiles != (size, size) {
            self.tiles = Some(canvas);
            self.whole = self.resized(Origin::Canvas(canvas), (size, size));
        }
    }

    fn canvas(&mut self, (width, height): (usize, usize), colour: [u8; 3]) -> usize {
        self.canvases.push(Blank { width, height, colour });
        self.canvases.len() - 1
    }

    fn step(&mut self, from: Origin, window: Window, canvas: usize, at: (usize, usize)) {
        self.steps.push(Step { from, window, canvas, at });
    }

    /// A canvas for all of `from`, resized.
    fn resized(&mut self, from: Origin, resized: (usize, usize)) -> usize {
        let canvas = self.canvas(resized, [0; 3]);
        self.step(from, Window { resized, at: (0, 0), size: resized }, canvas, (0, 0));
        canvas
    }

    /// A canvas of `colour` with the resized picture in its middle.
    fn centred(&mut self, full: (usize, usize), resized: (usize, usize), colour: [u8; 3]) -> usize {
        let canvas = self.canvas(full, colour);
        let at = ((full.0 - resized.0) / 2, (full.1 - resized.1) / 2);
        self.step(Origin::Picture, Window { resized, at: (0, 0), size: resized }, canvas, at);
        canvas
    }

    /// What all steps cost.
    pub(super) fn cost(&self) -> JobCost {
        let costs = self.steps.iter().map(|step| self.rows_cost(step, step.window.size.1));
        costs.fold(JobCost { flops: 0, bytes: 0 }, crate::shape::matrix::sum)
    }

    /// What `rows` rows of a step's window cost.
    pub(super) fn rows_cost(&self, step: &Step, rows: usize) -> JobCost {
        let products = 2 * (rows * self.row_products(step)) as u64;
        JobCost { flops: products, bytes: (rows * step.window.size.0 * 3) as u64 }
    }

    /// Rows of a step's window that the next job takes, `done` being done.
    pub(super) fn band(&self, step: &Step, done: usize) -> usize {
        (BAND_PRODUCTS / self.row_products(step)).clamp(1, step.window.size.1 - done)
    }

    /// Products that a row of the step's window takes, about: down over the rows that it is made of, and its share of
    /// those made across.
    fn row_products(&self, step: &Step) -> usize {
        let (width, height) = self.size(step.from);
        let taps = |from: usize, to: usize| 6 * from.div_ceil(to).max(1);
        let rows = height.div_ceil(step.window.resized.1).max(1);
        let row = step.window.size.0 * 3;
        row * (taps(height, step.window.resized.1) + rows * taps(width, step.window.resized.0))
    }

    /// Width and height of what is resized, with what is around it.
    fn size(&self, from: Origin) -> (usize, usize) {
        match from {
            Origin::Picture => self.picture,
            Origin::Square(_) => {
                let side = self.picture.0.max(self.picture.1);
                (side, side)
            }
            Origin::Canvas(index) => (self.canvases[index].width, self.canvases[index].height),
        }
    }
}
