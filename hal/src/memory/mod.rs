//! Memory: aligned buffers, mapped files, and the token-aware slots that embeddings travel in.

mod aligned;
mod mapped;
pub mod tabm;

pub use aligned::{AlignedBuffer, AllocationError};
pub use mapped::{MapError, MappedFile};
