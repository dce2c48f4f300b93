//! Zeroed host memory whose start is aligned for every vector width: weights, activations, caches and slots.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

use bytemuck::Pod;
use memmap2::MmapMut;

/// From this size on, memory is mapped rather than taken from the heap: its zero pages cost nothing until they are
/// touched, huge pages save address lookups when weights are streamed, and what is dropped goes back to the system at once,
/// whatever else the heap holds. The last page, which is not filled, is a sixteenth of it at the most.
const MAP_FROM: usize = 64 << 10;

/// A fixed number of zeroed bytes, aligned to 64. Dereferences to nothing: ask for bytes or for a typed slice.
pub struct AlignedBuffer {
    memory: Memory,
}

enum Memory {
    Empty,
    Heap(Heap),
    Map(MmapMut),
}

impl AlignedBuffer {
    /// The alignment of the first byte: a cache line, and an AVX-512 register.
    pub const ALIGNMENT: usize = 64;

    /// A buffer of `len` zero bytes.
    ///
    /// # Errors
    /// The machine has no such amount of memory to give.
    pub fn zeroed(len: usize) -> Result<AlignedBuffer, AllocationError> {
        let refused = AllocationError { bytes: len };
        let memory = match len {
            0 => Memory::Empty,
            MAP_FROM.. => {
                let map = MmapMut::map_anon(len).map_err(|_| refused)?;
                // Only a hint: without huge pages all works, a little slower.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::HugePage);
                Memory::Map(map)
            }
            _ => Memory::Heap(Heap::zeroed(len).ok_or(refused)?),
        };
        Ok(AlignedBuffer { memory })
    }

    /// A buffer of `count` zeroed items of `T`.
    ///
    /// # Errors
    /// The machine has no such amount of memory to give, or their size overflows.
    pub fn zeroed_for<T: Pod>(count: usize) -> Result<AlignedBuffer, AllocationError> {
        let bytes = count.checked_mul(size_of::<T>()).ok_or(AllocationError { bytes: usize::MAX })?;
        AlignedBuffer::zeroed(bytes)
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Empty => &[],
            Memory::Heap(heap) => heap.bytes(),
            Memory::Map(map) => map,
        }
    }

    /// All bytes, to write.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Empty => &mut [],
            Memory::Heap(heap) => heap.bytes_mut(),
            Memory::Map(map) => map,
        }
    }

    /// As many whole `T` as fit; bytes that are left over at the end are not seen.
    ///
    /// # Panics
    /// `T` wants more than 64-byte alignment.
    pub fn as_slice<T: Pod>(&self) -> &[T] {
        match whole::<T>(self.len()) {
            0 => &[],
            whole => bytemuck::cast_slice(&self.as_bytes()[..whole]),
        }
    }

    /// As many whole `T` as fit, to write; bytes that are left over at the end are not seen.
    ///
    /// # Panics
    /// `T` wants more than 64-byte alignment.
    pub fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        match whole::<T>(self.len()) {
            0 => &mut [],
            whole => bytemuck::cast_slice_mut(&mut self.as_bytes_mut()[..whole]),
        }
    }
}

/// Bytes of `len` that make whole `T`.
fn whole<T>(len: usize) -> usize {
    match size_of::<T>() {
        0 => 0,
        size => len - len % size,
    }
}

impl Default for AlignedBuffer {
    /// A buffer without bytes.
    fn default() -> AlignedBuffer {
        AlignedBuffer { memory: Memory::Empty }
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The machine has no such amount of memory to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of memory: {bytes} bytes could not be allocated")]
pub struct AllocationError {
    /// How much was asked for.
    pub bytes: usize,
}

/// A heap allocation of at least one byte.
struct Heap {
    start: NonNull<u8>,
    layout: Layout,
}

impl Heap {
    fn zeroed(len: usize) -> Option<Heap> {
        let layout = Layout::from_size_align(len, AlignedBuffer::ALIGNMENT).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Heap { start, layout })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is an allocation of this many bytes, all of them initialised, which lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed mutably, so nobody else sees them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: `start` came from this allocator with this layout, and is freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

// SAFETY: `Heap` owns its bytes alone and hands them out by the borrow rules only, as `Vec<u8>` does.
unsafe impl Send for Heap {}
// SAFETY: as above: a shared `Heap` gives shared bytes only.
unsafe impl Sync for Heap {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_zeroed_and_aligned_whatever_its_size() {
        for len in [0, 1, 63, 64, 1000, MAP_FROM - 1, MAP_FROM, MAP_FROM + 5] {
            let mut buffer = AlignedBuffer::zeroed(len).expect("memory");
            assert_eq!(buffer.len(), len);
            assert!(buffer.as_bytes().iter().all(|byte| *byte == 0), "{len} bytes are not zero");
            if len > 0 {
                let address = buffer.as_bytes().as_ptr().addr();
                assert_eq!(address % AlignedBuffer::ALIGNMENT, 0, "{len} bytes at {address:#x}");
            }
            buffer.as_bytes_mut().fill(7);
            assert!(buffer.as_bytes().iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn typed_views_hold_the_whole_items_only() {
        let mut buffer = AlignedBuffer::zeroed(11).expect("memory");
        assert_eq!(buffer.as_slice::<f32>().len(), 2);
        buffer.as_mut_slice::<f32>().copy_from_slice(&[1.0, 2.0]);
        assert_eq!(buffer.as_slice::<f32>(), [1.0, 2.0]);
        assert_eq!(AlignedBuffer::zeroed_for::<u64>(3).expect("memory").len(), 24);
        assert!(AlignedBuffer::default().as_slice::<u64>().is_empty());
    }

    #[test]
    fn too_much_is_an_error_and_not_an_abort() {
        for bytes in [usize::MAX, isize::MAX as usize, 1 << 60] {
            let error = AlignedBuffer::zeroed(bytes).expect_err("that much");
            assert_eq!(error.to_string(), format!("out of memory: {bytes} bytes could not be allocated"));
        }
        assert!(AlignedBuffer::zeroed_for::<u64>(usize::MAX / 2).is_err());
    }
}
