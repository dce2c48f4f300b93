//! From a picture to the numbers that an encoder reads, equal to Hugging Face's processors within a 255th.

use nanomind_hal::Lane;

use super::picture::Picture;
use super::resample::{Window, resample};

/// How a picture becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The shorter side is resized to the square's, the middle is cut out; CLIP's way.
    CentreCrop,
    /// Both sides are resized to the square's; SigLIP's way.
    Stretch,
}

/// What an encoder expects of its pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// Side of the square in pixels.
    pub size: usize,
    /// How a picture becomes a square.
    pub framing: Framing,
    /// Subtracted from each channel, which is in 0..=1.
    pub mean: [f32; 3],
    /// Divides each channel.
    pub std: [f32; 3],
}

/// A picture as an encoder reads it: a normalised plane a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    size: usize,
    values: Vec<f32>,
}

impl Preprocess {
    /// Resizes, crops and normalises, on `lane`.
    pub fn apply(&self, lane: &Lane, picture: &Picture) -> Pixels {
        let square = resample(lane, picture, self.window(picture.width(), picture.height()));
        let plane = self.size * self.size;
        let mut values = vec![0.0; 3 * plane];
        lane.for_each_chunk_mut(&mut values, plane, |channel, plane| {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            for (value, pixel) in plane.iter_mut().zip(square.chunks_exact(3)) {
                *value = (f32::from(pixel[channel]) / 255.0 - mean) / std;
            }
        });
        Pixels { size: self.size, values }
    }

    fn window(&self, width: usize, height: usize) -> Window {
        let side = self.size;
        match self.framing {
            Framing::Stretch => Window { resized: (side, side), left: 0, top: 0, side },
            Framing::CentreCrop => {
                let shorter = width.min(height);
                let resized = (side * width / shorter, side * height / shorter);
                Window { resized, left: (resized.0 - side) / 2, top: (resized.1 - side) / 2, side }
            }
        }
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
