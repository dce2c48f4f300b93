//! From a picture to the numbers that an encoder reads, equal to Hugging Face's processors (those of PIL) within a 255th.

use std::sync::Arc;

use nanomind_hal::{JobCost, Lane};

use super::framing::{Framing, TilePlan};
use super::picture::Picture;
use super::preparation::Preparation;
use super::resizing::Resizing;

/// What an encoder expects of its pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Side of a square in pixels.
    pub size: usize,
    /// How a picture becomes squares.
    pub framing: Framing,
    /// Subtracted from each channel, which is in 0..=1.
    pub mean: [f32; 3],
    /// Divides each channel.
    pub std: [f32; 3],
}

/// A square as an encoder reads it: a normalised plane a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    size: usize,
    values: Vec<f32>,
}

impl Preprocess {
    /// How a picture of this size is cut into squares.
    pub fn plan(&self, width: usize, height: usize) -> TilePlan {
        self.framing.plan(self.size, width, height)
    }

    /// What it costs to make the squares of a picture of this size.
    pub(crate) fn cost(&self, width: usize, height: usize) -> JobCost {
        Resizing::new(self, width, height).cost()
    }

    /// A picture on its way to its squares, in jobs.
    pub fn prepare(&self, picture: Arc<Picture>) -> Preparation {
        Preparation::new(self.clone(), picture)
    }

    /// All squares of a picture at once, in the order in which they are encoded.
    pub fn apply(&self, lane: &Lane, picture: &Arc<Picture>) -> Vec<Pixels> {
        let mut preparation = self.prepare(picture.clone());
        while !preparation.is_complete() {
            preparation.advance(lane);
        }
        (0..preparation.plan().count()).map(|tile| preparation.tile(lane, tile)).collect()
    }

    /// Normalises the square whose rows begin at `rows` of a canvas, `stride` bytes apart.
    pub(super) fn normalise(&self, lane: &Lane, rows: &[u8], stride: usize) -> Pixels {
        let mut values = vec![0.0; 3 * self.size * self.size];
        lane.for_each_chunk_mut(&mut values, self.size, |line, values| {
            let (channel, y) = (line / self.size, line % self.size);
            let (mean, std) = (self.mean[channel], self.std[channel]);
            for (value, pixel) in values.iter_mut().zip(rows[y * stride..].chunks_exact(3)) {
                *value = (f32::from(pixel[channel]) / 255.0 - mean) / std;
            }
        });
        Pixels { size: self.size, values }
    }
}

impl Pixels {
    /// Width and height.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The channels, `[3, size, size]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Writes the square patches of `side` pixels, row after row of the picture, as rows `[3, side, side]`; what is
    /// left at the right and at the bottom is passed over.
    pub(super) fn unfold(&self, lane: &Lane, side: usize, out: &mut [f32]) {
        let across = self.size / side;
        lane.for_each_chunk_mut(out, 3 * side * side, |patch, out| {
            let (top, left) = (patch / across * side, patch % across * side);
            for (line, out) in out.chunks_exact_mut(side).enumerate() {
                let (channel, y) = (line / side, top + line % side);
                let from = (channel * self.size + y) * self.size + left;
                out.copy_from_slice(&self.values[from..from + side]);
            }
        });
    }
}
