//! The one error of this crate: a tensor whose shape, size or instruction set does not fit what was asked.

use crate::{Format, Isa, KvFormat};

/// Why a tensor was refused. Every variant names what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The columns of a row are not a whole number of blocks.
    #[error("{format}: a row of {cols} columns is not a whole number of blocks of {block}")]
    UnevenBlocks {
        /// Block format of the tensor.
        format: Format,
        /// Columns of one row.
        cols: usize,
        /// Values in one block of the format.
        block: usize,
    },
    /// The values of a row cannot be put in another order.
    #[error("{format}: values in blocks of {block} cannot be reordered")]
    NotReorderable {
        /// Block format of the tensor.
        format: Format,
        /// Values in one block of the format.
        block: usize,
    },
    /// The tensor's bytes are not what its shape needs.
    #[error("{format} [{rows}, {cols}]: expected {expected} bytes, found {found}")]
    ByteCount {
        /// Block format of the tensor.
        format: Format,
        /// Rows of the tensor.
        rows: usize,
        /// Columns of the tensor.
        cols: usize,
        /// Bytes that the shape needs.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// A buffer for values has the wrong length.
    #[error("{format}: expected room for {expected} values, found {found}")]
    ValueCount {
        /// Block format of the tensor.
        format: Format,
        /// Values that the bytes hold.
        expected: usize,
        /// Values that there is room for.
        found: usize,
    },
    /// The sizes overflow the address space.
    #[error("{format} [{rows}, {cols}] is too large for this machine")]
    TooLarge {
        /// Block format of the tensor.
        format: Format,
        /// Rows of the tensor.
        rows: usize,
        /// Columns of the tensor.
        cols: usize,
    },
    /// Heads of keys and values are not a whole number of blocks.
    #[error("{format} keys and values: a head of {head_dim} values is not a whole number of blocks of {block}")]
    UnevenHead {
        /// How they are kept.
        format: KvFormat,
        /// Values of one head.
        head_dim: usize,
        /// Values in one block of the format.
        block: usize,
    },
    /// The sizes of keys or values overflow the address space.
    #[error("{format} keys or values [{heads}, {capacity}, {head_dim}] are too large for this machine")]
    KvTooLarge {
        /// How they are kept.
        format: KvFormat,
        /// Heads of keys and values.
        heads: usize,
        /// Positions of each.
        capacity: usize,
        /// Values of one head.
        head_dim: usize,
    },
    /// The instruction set is not one that this machine has.
    #[error("this machine does not have the instruction set {isa}")]
    MissingIsa {
        /// The instruction set that was asked for.
        isa: Isa,
    },
    /// There is no memory for the packed weights.
    #[error(transparent)]
    OutOfMemory(#[from] nanomind_hal::AllocationError),
}
