//! What the slots of a pool are like: how many, how large, of which elements.

use super::super::AllocationError;

/// What an embedding is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
}

impl ElementType {
    /// The size of one element in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 => 2,
        }
    }
}

/// The shape of a pool: `slots` × `[max_tokens, width]` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotGeometry {
    /// How many slots there are.
    pub slots: usize,
    /// How many rows a slot holds at most, one a token.
    pub max_tokens: usize,
    /// Elements of a row: the embedding width.
    pub width: usize,
    /// What the elements are.
    pub element: ElementType,
}

impl SlotGeometry {
    /// Bytes of one slot.
    ///
    /// # Errors
    /// The geometry is empty or its size overflows.
    pub fn slot_bytes(&self) -> Result<usize, PoolError> {
        for (field, value) in [("slots", self.slots), ("max_tokens", self.max_tokens), ("width", self.width)] {
            if value == 0 {
                return Err(PoolError::Empty { field });
            }
        }
        let elements = self.max_tokens.checked_mul(self.width);
        let bytes = elements.and_then(|elements| elements.checked_mul(self.element.bytes()));
        // The sum over all slots must be a size, too.
        bytes.filter(|bytes| bytes.checked_mul(self.slots).is_some()).ok_or(PoolError::TooLarge { geometry: *self })
    }
}

/// Why there is no pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Nothing would fit into it.
    #[error("a slot pool needs at least one of its {field}, found 0")]
    Empty {
        /// Which number is zero.
        field: &'static str,
    },
    /// Its size overflows.
    #[error(
        "a slot pool of {} slots × {} tokens × {} elements is larger than any memory",
        geometry.slots, geometry.max_tokens, geometry.width
    )]
    TooLarge {
        /// The geometry.
        geometry: SlotGeometry,
    },
    /// There is no such amount of memory.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
}
