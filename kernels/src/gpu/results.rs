//! Results: what the processor reads of what a device computed.

use nanomind_hal::gpu::{Buffer, BufferUse, GpuError, Submission};

use super::kernels::Kernels;

/// Room for what a pass brings back, allocated once: tokens or values, four bytes each.
#[derive(Debug)]
pub struct Results {
    buffer: Buffer,
    words: usize,
}

/// A pass that was handed to the device.
#[derive(Debug)]
#[must_use = "results are there when the pass is done"]
pub struct Done<'a> {
    kernels: &'a Kernels,
    submission: Submission,
}

impl Results {
    /// Room for so many tokens or values.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    pub fn new(kernels: &Kernels, words: usize) -> Result<Results, GpuError> {
        let buffer = kernels.gpu().buffer("results", 4 * words as u64, BufferUse::Readback)?;
        Ok(Results { buffer, words })
    }

    /// How many tokens or values there is room for.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Waits for the pass and takes the first tokens that it brought back.
    ///
    /// # Errors
    /// The device is or gets lost.
    pub fn tokens(&self, done: Done<'_>, tokens: &mut [u32]) -> Result<(), GpuError> {
        done.kernels.gpu().read(&self.buffer, done.submission, bytemuck::cast_slice_mut(tokens))
    }

    /// Waits for the pass and takes the first values that it brought back.
    ///
    /// # Errors
    /// The device is or gets lost.
    pub fn values(&self, done: Done<'_>, values: &mut [f32]) -> Result<(), GpuError> {
        done.kernels.gpu().read(&self.buffer, done.submission, bytemuck::cast_slice_mut(values))
    }

    pub(super) fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

impl<'a> Done<'a> {
    pub(super) fn new(kernels: &'a Kernels, submission: Submission) -> Done<'a> {
        Done { kernels, submission }
    }

    /// Waits until the pass has ended.
    ///
    /// # Errors
    /// The device is or gets lost.
    pub fn wait(self) -> Result<(), GpuError> {
        self.kernels.gpu().wait(self.submission)
    }
}
