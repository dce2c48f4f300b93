//! One picture on its way to the squares that an encoder sees: resampled band by band, so that no job is long.

use std::sync::Arc;

use nanomind_hal::{JobCost, Lane};

use super::framing::{Framing, TilePlan};
use super::picture::Picture;
use super::preprocess::{Pixels, Preprocess};
use super::resample::{Raster, Window, resample};
use super::resizing::{Blank, Origin, Resizing};

/// The state of one picture: [`Preparation::advance`] until [`Preparation::is_complete`], then [`Preparation::tile`].
///
/// A job owns it while it runs and hands it back.
pub struct Preparation {
    preprocess: Preprocess,
    picture: Arc<Picture>,
    resizing: Resizing,
    canvases: Vec<Canvas>,
    /// Steps that are done, and rows of the one that is not.
    done: (usize, usize),
}

struct Canvas {
    width: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    fn new(blank: &Blank) -> Canvas {
        let len = blank.width * blank.height * 3;
        let rgb = match blank.colour {
            [0, 0, 0] => vec![0; len],
            colour => colour.iter().copied().cycle().take(len).collect(),
        };
        Canvas { width: blank.width, rgb }
    }
}

impl Preparation {
    pub(super) fn new(preprocess: Preprocess, picture: Arc<Picture>) -> Preparation {
        let resizing = Resizing::new(&preprocess, picture.width(), picture.height());
        let canvases = resizing.canvases.iter().map(Canvas::new).collect();
        Preparation { preprocess, picture, resizing, canvases, done: (0, 0) }
    }

    /// What the squares are.
    pub fn plan(&self) -> TilePlan {
        self.resizing.plan
    }

    /// Whether all squares are there.
    pub fn is_complete(&self) -> bool {
        self.done.0 == self.resizing.steps.len()
    }

    /// What the next [`Preparation::advance`] costs.
    pub fn cost(&self) -> JobCost {
        let (index, done) = self.done;
        match self.resizing.steps.get(index) {
            None => JobCost { flops: 0, bytes: 0 },
            Some(step) => self.resizing.rows_cost(step, self.resizing.band(step, done)),
        }
    }

    /// Resamples the next rows.
    pub fn advance(&mut self, lane: &Lane) {
        let (index, done) = self.done;
        let Some(step) = self.resizing.steps.get(index) else { return };
        let Window { resized, at, size: (width, height) } = step.window;
        let rows = self.resizing.band(step, done);
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
        assert!(tile < self.plan().count(), "square {tile} of {}", self.plan().count());
        // Idefics3 sees the whole after the tiles, LLaVA before them.
        let tiles = match self.preprocess.framing {
            Framing::Split { .. } => Some(tile).filter(|tile| tile + 1 < self.plan().count()),
            _ => tile.checked_sub(1),
        };
        let size = self.preprocess.size;
        match (tiles, self.resizing.tiles) {
            (Some(tile), Some(canvas)) => {
                let canvas = &self.canvases[canvas];
                let (x, y) = (tile % self.plan().columns * size, tile / self.plan().columns * size);
                self.preprocess.normalise(lane, &canvas.rgb[(y * canvas.width + x) * 3..], canvas.width * 3)
            }
            _ => self.preprocess.normalise(lane, &self.canvases[self.resizing.whole].rgb, size * 3),
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
}
