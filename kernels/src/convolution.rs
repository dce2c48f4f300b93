//! Convolutions along a sequence, as products: a window of frames is a row of input, a filter is a row of weights.

use crate::{Format, ShapeError};

/// A convolution of `[frames, channels]` along its frames, as PyTorch's `Conv1d` without dilation or groups. Whisper's
/// encoder begins with two of three frames, the second with a stride of 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Values of a frame.
    pub channels: usize,
    /// Frames of a window.
    pub kernel: usize,
    /// Frames from a window to the next; at least 1.
    pub stride: usize,
    /// Frames of zeros before the first frame and after the last.
    pub padding: usize,
}

impl Convolution {
    /// Windows of `frames` frames: `(frames + 2 · padding − kernel) / stride + 1`, none where no window fits.
    #[must_use]
    pub fn outputs(&self, frames: usize) -> usize {
        match (frames + 2 * self.padding).checked_sub(self.kernel) {
            Some(moves) if frames > 0 => moves / self.stride.max(1) + 1,
            _ => 0,
        }
    }

    /// Values of a window: the columns of the weights.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.kernel * self.channels
    }

    /// Weights `[rows, channels, kernel]`, as checkpoints have them, in the order of a window, `[rows, kernel,
    /// channels]`: what [`crate::Matrix::pack`] takes as `[rows, kernel · channels]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `format` has blocks of values, which cannot be taken apart, or `bytes` are not `rows` rows.
    pub fn arrange(&self, format: Format, rows: usize, bytes: &[u8]) -> Result<Vec<u8>, ShapeError> {
        let cols = self.columns();
        if !format.is_float() {
            return Err(ShapeError::NotReorderable { format, block: format.block_len() });
        }
        let size = format.block_bytes();
        let expected = cols.checked_mul(size).and_then(|row| row.checked_mul(rows)).ok_or(ShapeError::TooLarge {
            format,
            rows,
            cols,
        })?;
        if bytes.len() != expected {
            return Err(ShapeError::ByteCount { format, rows, cols, expected, found: bytes.len() });
        }
        let mut arranged = vec![0; expected];
        if cols > 0 {
            for (row, out) in bytes.chunks_exact(cols * size).zip(arranged.chunks_exact_mut(cols * size)) {
                for (index, value) in row.chunks_exact(size).enumerate() {
                    let (channel, frame) = (index / self.kernel, index % self.kernel);
                    out[(frame * self.channels + channel) * size..][..size].copy_from_slice(value);
                }
            }
        }
        Ok(arranged)
    }
}
