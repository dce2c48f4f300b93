//! Where keys and values lie in a cache, and how they get there and back.
//!
//! Both are kept in blocks of [`POSITIONS`] positions, head by head, so that attention reads a block from its first byte
//! to its last: the keys of a block by element, `[head_dim][POSITIONS]`, so that the lanes of a vector are positions and
//! nothing is turned at each step; its values by position, `[POSITIONS][head_dim]`. In `Q8_0` a block begins with its
//! scales, `[head_dim / 32][POSITIONS]`.

use std::ops::Range;

use nanomind_hal::Lane;

use crate::cpu::{self, ReadKv, StoreKv};
use crate::{Isa, KvFormat, ShapeError};

/// Positions of a block.
pub(crate) const POSITIONS: usize = 32;

/// Keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvSide {
    /// What queries are compared with.
    Keys,
    /// What is added up.
    Values,
}

/// Where the keys of one layer lie, or its values: they take as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvLayout {
    format: KvFormat,
    heads: usize,
    capacity: usize,
    head_dim: usize,
    /// Bytes of a block of positions of one head.
    block_bytes: usize,
    /// Bytes of all heads.
    bytes: usize,
}

impl KvLayout {
    /// The layout of `heads` heads of `head_dim` values with room for at least `capacity` positions.
    ///
    /// # Errors
    /// [`ShapeError::UnevenHead`] where a head is no whole number of the format's blocks, [`ShapeError::KvTooLarge`]
    /// where the size overflows.
    pub fn new(format: KvFormat, heads: usize, capacity: usize, head_dim: usize) -> Result<KvLayout, ShapeError> {
        let block = format.block_len();
        if !head_dim.is_multiple_of(block) {
            return Err(ShapeError::UnevenHead { format, head_dim, block });
        }
        let too_large = ShapeError::KvTooLarge { format, heads, capacity, head_dim };
        let block_bytes = format.head_bytes(head_dim).and_then(|bytes| bytes.checked_mul(POSITIONS));
        let bytes = block_bytes
            .and_then(|bytes| bytes.checked_mul(capacity.div_ceil(POSITIONS)))
            .and_then(|bytes| bytes.checked_mul(heads));
        match (block_bytes, bytes) {
            (Some(block_bytes), Some(bytes)) => Ok(KvLayout { format, heads, capacity, head_dim, block_bytes, bytes }),
            _ => Err(too_large),
        }
    }

    /// How the values are kept.
    #[must_use]
    pub fn format(&self) -> KvFormat {
        self.format
    }

    /// Heads of keys and values.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Positions that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Values of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Bytes of the keys of all heads, which are also those of the values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of one head.
    pub(crate) fn head_bytes(&self) -> usize {
        self.capacity.div_ceil(POSITIONS) * self.block_bytes
    }

    /// Bytes of one head.
    pub(crate) fn head<'a>(&self, head: usize, bytes: &'a [u8]) -> &'a [u8] {
        let size = self.head_bytes();
        &bytes[head * size..(head + 1) * size]
    }

    /// Writes `rows`, `[tokens, heads · head_dim]`, to the positions from `first` on of `bytes`, which are all keys or all
    /// values of a layer. Values beyond half precision (in `Q8_0`: beyond 127 times that) become infinite, in `Q8_0`
    /// not-a-number.
    ///
    /// # Panics
    /// The rows are no whole number of tokens or leave the capacity, or `bytes` are not as many as the layout's.
    pub fn store(&self, lane: &Lane, isa: Isa, side: KvSide, first: usize, rows: &[f32], bytes: &mut [u8]) {
        let width = self.heads * self.head_dim;
        assert!(rows.len().is_multiple_of(width), "{} values are no whole number of rows of {width}", rows.len());
        let tokens = rows.len() / width;
        let (end, capacity) = (first + tokens, self.capacity);
        assert!(end <= capacity, "positions up to {end} in a cache of {capacity}");
        assert_eq!(bytes.len(), self.bytes, "bytes of a layer's keys or values");
        let store = |head: usize, bytes: &mut [u8]| {
            let rows = rows.get(head * self.head_dim..).unwrap_or_default();
            cpu::run(isa, StoreKv { layout: self, side, first, rows, stride: width, tokens, bytes });
        };
        if tokens < FEW {
            bytes.chunks_mut(self.head_bytes()).enumerate().for_each(|(head, bytes)| store(head, bytes));
        } else {
            lane.for_each_chunk_mut(bytes, self.head_bytes(), store);
        }
    }

    /// As [`KvLayout::store`], of one head: `rows` are `[positions, head_dim]`.
    ///
    /// # Panics
    /// Head or positions are not in the layout, or `bytes` are not as many as the layout's.
    pub fn store_head(&self, isa: Isa, side: KvSide, head: usize, first: usize, rows: &[f32], bytes: &mut [u8]) {
        let tokens = rows.len() / self.head_dim;
        assert!(head < self.heads && first + tokens <= self.capacity, "head {head}, {tokens} positions from {first}");
        assert_eq!(bytes.len(), self.bytes, "bytes of a layer's keys or values");
        let size = self.head_bytes();
        let bytes = &mut bytes[head * size..(head + 1) * size];
        cpu::run(isa, StoreKv { layout: self, side, first, rows, stride: self.head_dim, tokens, bytes });
    }

    /// Reads positions of one head back into `out`, `[positions, head_dim]`: exactly what attention computes with.
    ///
    /// # Panics
    /// Head or positions are not in the layout, `out` has another length, or `bytes` are not as many as the layout's.
    pub fn read(&self, isa: Isa, side: KvSide, head: usize, positions: Range<usize>, bytes: &[u8], out: &mut [f32]) {
        assert!(head < self.heads && positions.end <= self.capacity, "head {head}, positions {positions:?}");
        assert_eq!(bytes.len(), self.bytes, "bytes of a layer's keys or values");
        assert_eq!(out.len(), positions.len() * self.head_dim, "values of {} positions", positions.len());
        cpu::run(isa, ReadKv { layout: self, side, first: positions.start, bytes: self.head(head, bytes), out });
    }

    /// Where the block of position `position` begins in a head's bytes.
    pub(crate) fn block_at(&self, position: usize) -> usize {
        position / POSITIONS * self.block_bytes
    }

    /// Bytes of a block of positions of one head.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }
}

/// Tokens that are stored sooner than a lane could be told about them.
const FEW: usize = 16;
