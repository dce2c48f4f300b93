//! Memory that many small things share: fewer buffers, and steps that reach several of them in one.

use std::sync::Arc;

use nanomind_hal::gpu::{Buffer, BufferUse, Gpu, GpuError};

/// Bytes of the first chunk; each is twice the one before, …
const FIRST: u64 = 256 << 10;

/// … up to so many.
const MOST: u64 = 4 << 20;

/// What would take more than this part of a chunk gets a buffer of its own, so that no chunk is left half empty.
const SHARE: u64 = 4;

/// Bytes that places are multiples of.
pub(super) const UNIT: u64 = 64;

/// Hands out places, one behind the other. A chunk's memory is free again when nothing is left of all that was placed in
/// it: what is loaded together, and goes together, lies together.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunk: Option<Arc<Buffer>>,
    used: u64,
    /// Bytes of the chunk before.
    last: u64,
}

/// Some bytes of a buffer.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) buffer: Arc<Buffer>,
    /// The first word.
    pub(super) at: usize,
}

impl Place {
    /// The place that begins so many bytes behind this one.
    pub(super) fn behind(&self, bytes: u64) -> Place {
        Place { buffer: Arc::clone(&self.buffer), at: self.at + (bytes / 4) as usize }
    }
}

impl Arena {
    /// A place of so many bytes, whatever they are.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    pub(super) fn place(&mut self, gpu: &Gpu, what: &str, bytes: u64) -> Result<Place, GpuError> {
        let size = (2 * self.last).clamp(FIRST, MOST);
        if bytes > size / SHARE {
            let buffer = Arc::new(gpu.buffer(what, bytes, BufferUse::Storage)?);
            return Ok(Place { buffer, at: 0 });
        }
        if self.chunk.as_ref().is_some_and(|chunk| Arc::strong_count(chunk) == 1) {
            self.used = 0;
        }
        if let Some(chunk) = self.chunk.as_ref().filter(|chunk| chunk.bytes() - self.used >= bytes) {
            let at = (self.used / 4) as usize;
            self.used = (self.used + bytes).next_multiple_of(UNIT).min(chunk.bytes());
            return Ok(Place { buffer: Arc::clone(chunk), at });
        }
        let buffer = Arc::new(gpu.buffer(what, size, BufferUse::Storage)?);
        self.chunk = Some(Arc::clone(&buffer));
        self.used = bytes.next_multiple_of(UNIT);
        self.last = size;
        Ok(Place { buffer, at: 0 })
    }
}
