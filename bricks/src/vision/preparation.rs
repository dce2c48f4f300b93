//! One picture on its way to the squares that an encoder sees: resampled band by band, so that no job is long.

use std::sync::Arc;

use nanomind_hal::{JobCost, Lane};

use super::framing::{Framing, TilePlan, fitted, fitted_square, longest_to, whole_tiles};
use super::picture::Picture;
use super::preprocess::{Pixels, Preprocess};
use super::resample::{Raster, Window, resample};

/// LLaVA's mean colour, which llama.cpp puts around pictures.
const LLAVA_GREY: [u8; 3] = [122, 116, 104];
/// Products that a band takes: some milliseconds of one core.
const BAND_PRODUCTS: usize = 16 << 20;

/// The state of one picture: [`Preparation::advance`] until [`Preparation::is_complete`], then [`Preparation::tile`].
///
/// A job owns it while it runs and hands it back.
pub struct Preparation {
    preprocess: Preprocess,
    picture: Arc<Picture>,
    plan: TilePlan,
    canvases: Vec<Canvas>,
    steps: Vec<Step>,
    /// Steps that are done, and rows of the one that is not.
    done: (usize, usize),
    /// The canvas that the tiles are cut out of, and the one that shows the whole.
    tiles: Option<usize>,
    whole: usize,
}

struct Canvas {
    width: usize,
    rgb: Vec<u8>,
}

/// What a step resizes.
#[derive(Clone, Copy)]
enum Origin {
    Picture,
    /// The picture in the middle of a square of this colour.
    Square([u8; 3]),
    Canvas(usize),
}

/// A window on a resized picture, to be put on a canvas.
struct Step {
    from: Origin,
    window: Window,
    canvas: usize,
    /// Column and row of the canvas.
    at: (usize, usize),
}

impl Preparation {
    pub(super) fn new(preprocess: Preprocess, picture: Arc<Picture>) -> Preparation {
        let (width, height) = (picture.width(), picture.height());
        let plan = preprocess.plan(width, height);
        let mut new = Preparation {
            preprocess,
            picture,
            plan,
            canvases: Vec::new(),
            steps: Vec::new(),
            done: (0, 0),
            tiles: None,
            whole: 0,
        };
        let size = new.preprocess.size;
        match new.preprocess.framing.clone() {
            Framing::Stretch => new.whole = new.resized(Origin::Picture, (size, size)),
            Framing::CentreCrop => {
                let shorter = width.min(height);
                let resized = (size * width / shorter, size * height / shorter);
                let at = ((resized.0 - size) / 2, (resized.1 - size) / 2);
                new.whole = new.canvas((size, size), [0; 3]);
                new.step(Origin::Picture, Window { resized, at, size: (size, size) }, new.whole, (0, 0));
            }
            Framing::Pad => {
                let colour = new.preprocess.mean.map(|mean| (mean * 255.0) as u8);
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
            Framing::Split { longest } => new.split(longest),
        }
        new
    }

    fn split(&mut self, longest: usize) {
        let size = self.preprocess.size;
        let longest = longest_to(longest, self.picture.width(), self.picture.height());
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
        let rgb = match colour {
            [0, 0, 0] => vec![0; width * height * 3],
            _ => colour.iter().copied().cycle().take(width * height * 3).collect(),
        };
        self.canvases.push(Canvas { width, rgb });
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

    /// What the squares are.
    pub fn plan(&self) -> TilePlan {
        self.plan
    }

    /// Whether all squares are there.
    pub fn is_complete(&self) -> bool {
        self.done.0 == self.steps.len()
    }

    /// What the next [`Preparation::advance`] costs.
    pub fn cost(&self) -> JobCost {
        match self.steps.get(self.done.0) {
            None => JobCost { flops: 0, bytes: 0 },
            Some(step) => {
                let rows = self.band(step);
                let products = 2 * (rows * self.row_products(step)) as u64;
                JobCost { flops: products, bytes: (rows * step.window.size.0 * 3) as u64 }
            }
        }
    }

    /// Resamples the next rows.
    pub fn advance(&mut self, lane: &Lane) {
        let (index, done) = self.done;
        let Some(step) = self.steps.get(index) else { return };
        let Window { resized, at, size: (width, height) } = step.window;
        let rows = self.band(step);
        let window = Window { resized, at: (at.0, at.1 + done), size: (width, rows) };
        let pixels = resample(lane, self.raster(step.from), self.preprocess.framing.filter(), window);
        let (canvas, at) = (&mut self.canvases[step.canvas], (step.at.0, step.at.1 + done));
        for (row, pixels) in pixels.chunks_exact(width * 3).enumerate() {
            let start = ((at.1 + row) * canvas.width + at.0) * 3;
            canvas.rgb[start..start + pixels.len()].copy_from_slice(pixels);
        }
        self.done = if done + rows == height { (index + 1, 0) } else { (index, done + rows) };
    }

    /// Square `tile` in the order in which they are encoded, normalised.
    ///
    /// # Panics
    /// The preparation is not complete, or there is no such square.
    pub fn tile(&self, lane: &Lane, tile: usize) -> Pixels {
        assert!(self.is_complete(), "rows are left to resample");
        assert!(tile < self.plan.count(), "square {tile} of {}", self.plan.count());
        // Idefics3 sees the whole after the tiles, LLaVA before them.
        let tiles = match self.preprocess.framing {
            Framing::Split { .. } => Some(tile).filter(|tile| tile + 1 < self.plan.count()),
            _ => tile.checked_sub(1),
        };
        let size = self.preprocess.size;
        match (tiles, self.tiles) {
            (Some(tile), Some(canvas)) => {
                let canvas = &self.canvases[canvas];
                let (x, y) = (tile % self.plan.columns * size, tile / self.plan.columns * size);
                self.preprocess.normalise(lane, &canvas.rgb[(y * canvas.width + x) * 3..], canvas.width * 3)
            }
            _ => self.preprocess.normalise(lane, &self.canvases[self.whole].rgb, size * 3),
        }
    }

    fn raster(&self, from: Origin) -> Raster<'_> {
        let picture = || Raster::new(self.picture.width(), self.picture.height(), self.picture.rgb());
        match from {
            Origin::Picture => picture(),
            Origin::Square(colour) => picture().on_square(colour),
            Origin::Canvas(index) => {
                let canvas = &self.canvases[index];
                Raster::new(canvas.width, canvas.rgb.len() / canvas.width / 3, &canvas.rgb)
            }
        }
    }

    /// Rows of the step that the next band takes.
    fn band(&self, step: &Step) -> usize {
        (BAND_PRODUCTS / self.row_products(step)).clamp(1, step.window.size.1 - self.done.1)
    }

    /// Products that a row of the step's window takes, about: down over the rows that it is made of, and its share of
    /// those made across.
    fn row_products(&self, step: &Step) -> usize {
        let (width, height) = self.raster(step.from).size();
        let taps = |from: usize, to: usize| 6 * from.div_ceil(to).max(1);
        let rows = height.div_ceil(step.window.resized.1).max(1);
        let row = step.window.size.0 * 3;
        row * (taps(height, step.window.resized.1) + rows * taps(width, step.window.resized.0))
    }
}
