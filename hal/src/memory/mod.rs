//! Memory: how much there is, aligned buffers, mapped files, and the token-aware slots that embeddings travel in.

mod aligned;
mod machine;
mod mapped;
mod process;
pub mod tabm;

pub use aligned::{AlignedBuffer, AllocationError};
pub use machine::MachineMemory;
pub use mapped::{MapError, MappedFile};
pub use process::ProcessMemory;
