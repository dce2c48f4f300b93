//! Keys and values of one layer on a device, and the angles that keys are turned by.

use std::ops::Range;

use nanomind_hal::gpu::{Buffer, BufferUse, GpuError};

use super::kernels::Kernels;
use crate::{RopeLayout, RopeTable};

/// Keys and values of one layer in half precision, `[positions, kv_heads, head_dim]` each. One for each layer of a sequence.
#[derive(Debug)]
pub struct KvCache {
    pub(super) keys: Buffer,
    pub(super) values: Buffer,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) capacity: usize,
}

/// Keys and values of some positions of a layer in half precision, `[positions, kv_heads, head_dim]` each: how they leave
/// a device and come to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvRows {
    /// Bits of keys.
    pub keys: Vec<u16>,
    /// Bits of values.
    pub values: Vec<u16>,
}

impl KvCache {
    /// Room for `capacity` positions.
    ///
    /// # Errors
    /// It is more than a shader can reach at once, or the device is lost or has no memory.
    ///
    /// # Panics
    /// A head is no whole number of four values, or has more than 256.
    pub fn new(kernels: &Kernels, capacity: usize, kv_heads: usize, head_dim: usize) -> Result<KvCache, GpuError> {
        assert!(head_dim.is_multiple_of(4) && (4..=256).contains(&head_dim), "heads of {head_dim} values");
        let bytes = 2 * (capacity * kv_heads) as u64 * head_dim as u64;
        let keys = kernels.gpu().buffer("keys", bytes, BufferUse::Storage)?;
        let values = kernels.gpu().buffer("values", bytes, BufferUse::Storage)?;
        Ok(KvCache { keys, values, kv_heads, head_dim, capacity })
    }

    /// Positions that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes in the device's memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.keys.bytes() + self.values.bytes()
    }

    /// Takes keys and values of `positions` off the device, when all that was submitted has ended.
    ///
    /// # Errors
    /// The device is lost or has no memory for the way.
    ///
    /// # Panics
    /// There are no such positions.
    pub fn export(&self, kernels: &Kernels, positions: Range<usize>, rows: &mut KvRows) -> Result<(), GpuError> {
        assert!(positions.start <= positions.end && positions.end <= self.capacity, "{positions:?}");
        let each = self.kv_heads * self.head_dim;
        for (side, bits) in [(&self.keys, &mut rows.keys), (&self.values, &mut rows.values)] {
            bits.clear();
            bits.resize(positions.len() * each, 0);
            let at = 2 * (positions.start * each) as u64;
            kernels.gpu().download(side, at, bytemuck::cast_slice_mut(bits))?;
        }
        Ok(())
    }

    /// Brings keys and values to the positions from `first` on, before whatever is submitted next.
    ///
    /// # Errors
    /// The device is lost or has no memory for the way.
    ///
    /// # Panics
    /// They are no whole number of positions, or there is no room for them.
    pub fn import(&self, kernels: &Kernels, first: usize, rows: &KvRows) -> Result<(), GpuError> {
        let each = self.kv_heads * self.head_dim;
        for (side, bits) in [(&self.keys, &rows.keys), (&self.values, &rows.values)] {
            let count = bits.len() / each;
            assert!(count * each == bits.len() && first + count <= self.capacity, "{count} positions at {first}");
            kernels.gpu().write(side, 2 * (first * each) as u64, bytemuck::cast_slice(bits))?;
        }
        Ok(())
    }
}

/// The cosines and sines of all positions of a context, as the CPU computes them: made once for a model.
#[derive(Debug)]
pub struct RopeAngles {
    pub(super) buffer: Buffer,
    pub(super) positions: usize,
    pub(super) pairs: usize,
    pub(super) interleaved: bool,
}

impl RopeAngles {
    /// The angles of `table` for the positions `0..positions`.
    ///
    /// # Errors
    /// They are more than a shader can reach at once, or the device is lost or has no memory.
    pub fn new(kernels: &Kernels, table: &RopeTable, positions: usize) -> Result<RopeAngles, GpuError> {
        let mut angles = crate::RopeAngles::new();
        angles.set(table, 0, positions);
        let mut pairs: Vec<[f32; 2]> = angles.cosines_and_sines().collect();
        // Something to bind where nothing is turned.
        pairs.resize(pairs.len().max(1), [1.0, 0.0]);
        let buffer = kernels.gpu().upload("angles", bytemuck::cast_slice(&pairs))?;
        let interleaved = table.layout() == RopeLayout::Interleaved;
        Ok(RopeAngles { buffer, positions, pairs: table.rotated() / 2, interleaved })
    }
}
