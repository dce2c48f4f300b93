//! Buffers: bytes on the device, and how they get there and back.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use super::device::Gpu;
use super::error::GpuError;
use super::recorder::Submission;

/// What a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferUse {
    /// Shaders read and write it; bytes are copied in and out.
    Storage,
    /// Shaders read parameters in it.
    Parameters,
    /// Results are copied into it, for the processor to read.
    Readback,
}

/// Bytes on a device.
pub struct Buffer {
    pub(super) buffer: wgpu::Buffer,
    /// Tells buffers apart, of all devices of a process.
    id: u64,
    bytes: u64,
    what: String,
    of: Gpu,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.of.inner.layouts.unbind(self.id);
    }
}

impl Buffer {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A number that no other buffer of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it holds, in a word.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("what", &self.what).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Bytes are copied and bound in fours.
const UNIT: u64 = 4;

impl Gpu {
    /// A buffer of `bytes` zero bytes, rounded up to a multiple of four. `what` names it in errors.
    ///
    /// # Errors
    /// It is larger than the adapter takes, memory is full, or the device is lost.
    pub fn buffer(&self, what: &str, bytes: u64, purpose: BufferUse) -> Result<Buffer, GpuError> {
        let limits = &self.adapter().limits;
        let most = match purpose {
            BufferUse::Storage => limits.buffer_bytes.min(limits.binding_bytes),
            BufferUse::Parameters | BufferUse::Readback => limits.buffer_bytes,
        };
        let size = bytes.max(1).next_multiple_of(UNIT);
        if size > most {
            let adapter = self.adapter().name.clone();
            return Err(GpuError::TooLarge { adapter, what: what.to_owned(), bytes, most });
        }
        let usage = match purpose {
            BufferUse::Storage => {
                wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
            }
            BufferUse::Parameters => wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            BufferUse::Readback => wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        };
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        let buffer = self.attempt(what, size, || self.inner.device.create_buffer(&descriptor))?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Buffer { buffer, id, bytes: size, what: what.to_owned(), of: self.clone() })
    }

    /// A storage buffer that holds `data`, with zeros up to a multiple of four bytes.
    ///
    /// # Errors
    /// As those of [`Gpu::buffer`].
    pub fn upload(&self, what: &str, data: &[u8]) -> Result<Buffer, GpuError> {
        let buffer = self.buffer(what, data.len() as u64, BufferUse::Storage)?;
        self.write(&buffer, 0, data)?;
        Ok(buffer)
    }

    /// Puts `data` at `offset` bytes of the buffer, before whatever is submitted next. The offset is a multiple of four;
    /// bytes that `data` lacks to a multiple of four become zero.
    ///
    /// # Errors
    /// It does not fit, memory for the way is full, or the device is lost.
    pub fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<(), GpuError> {
        let whole = data.len() / UNIT as usize * UNIT as usize;
        let queue = &self.inner.queue;
        self.attempt(&buffer.what, data.len() as u64, || {
            if whole > 0 {
                queue.write_buffer(&buffer.buffer, offset, &data[..whole]);
            }
            if whole < data.len() {
                let mut last = [0; UNIT as usize];
                last[..data.len() - whole].copy_from_slice(&data[whole..]);
                queue.write_buffer(&buffer.buffer, offset + whole as u64, &last);
            }
        })
    }

    /// Has what was written begin its way, for callers that write much and submit nothing yet.
    ///
    /// # Errors
    /// The device is lost.
    pub fn flush(&self) -> Result<(), GpuError> {
        self.attempt("a flush", 0, || {
            self.inner.queue.submit([]);
        })
    }

    /// Waits until `submission` has ended and copies the first bytes of `buffer`, one for [`BufferUse::Readback`], to
    /// `data`. Blocks this thread.
    ///
    /// # Errors
    /// The buffer is shorter or not for reading, or the device is or gets lost.
    pub fn read(&self, buffer: &Buffer, submission: Submission, data: &mut [u8]) -> Result<(), GpuError> {
        self.check()?;
        if data.is_empty() {
            return self.wait(submission);
        }
        let size = (data.len() as u64).next_multiple_of(UNIT);
        if size > buffer.bytes || !buffer.buffer.usage().contains(wgpu::BufferUsages::MAP_READ) {
            return Err(self.refused(format!("{size} bytes cannot be read from {}", buffer.what)));
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let slice = buffer.buffer.slice(..size);
        slice.map_async(wgpu::MapMode::Read, move |mapped| {
            // The receiver waits for it, unless waiting failed.
            let _ = sender.send(mapped);
        });
        self.wait(submission)?;
        // Another thread that waits for the device may have been told first; it passes that on at once.
        if !matches!(receiver.recv(), Ok(Ok(()))) {
            self.check()?;
            return Err(self.refused(format!("{} cannot be mapped", buffer.what)));
        }
        let view = slice.get_mapped_range().map_err(|error| self.refused(error.to_string()))?;
        data.copy_from_slice(&view[..data.len()]);
        drop(view);
        buffer.buffer.unmap();
        Ok(())
    }

    /// Copies `data.len()` bytes at `offset` of a storage buffer to `data`, when all that was submitted has ended. Makes
    /// a buffer for the way: for tests and for what is rare. The offset is a multiple of four.
    ///
    /// # Errors
    /// They are not all there, memory for the way is full, or the device is lost.
    pub fn download(&self, buffer: &Buffer, offset: u64, data: &mut [u8]) -> Result<(), GpuError> {
        let bytes = (data.len() as u64).next_multiple_of(UNIT);
        let way = self.buffer(&buffer.what, bytes, BufferUse::Readback)?;
        let mut recorder = self.record();
        recorder.copy(buffer, offset, &way, 0, bytes);
        let submission = recorder.submit()?;
        self.read(&way, submission, data)
    }
}
