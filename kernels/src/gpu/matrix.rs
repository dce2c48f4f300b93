//! Weights on a device, packed once at load.

use nanomind_hal::gpu::GpuError;

use super::arena::Place;
use super::kernels::Kernels;
use super::packing::Layout;
use crate::{Format, ShapeError};

/// Bytes that are packed and sent at once.
const STAGE: usize = 8 << 20;

/// A weight matrix `[rows, cols]` on a device, cut into shards of rows where it is more than a shader can reach at once.
#[derive(Debug)]
pub struct Matrix {
    format: Format,
    rows: usize,
    cols: usize,
    layout: Layout,
    shards: Vec<Shard>,
}

/// Rows of a matrix that are in one buffer.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) place: Place,
}

/// Why weights did not get to a device.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// Their shape does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The device does not take them.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

impl Matrix {
    /// Packs the weights of a file, row after row of `cols` values in `format`, and sends them to the device.
    ///
    /// # Errors
    /// `cols` is no whole number of blocks, `bytes` is not `rows` rows long, or the device is lost or has no memory.
    pub fn upload(
        kernels: &Kernels,
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Matrix, MatrixError> {
        let rows = split(format, rows, cols, bytes)?;
        let (gpu, layout) = (kernels.gpu(), Layout::new(format, cols));
        let limits = &gpu.adapter().limits;
        let most = usize::try_from(limits.binding_bytes.min(limits.buffer_bytes)).unwrap_or(usize::MAX);
        // In pairs, so that halves of words of scales are not parted; and of a size that words can be counted in.
        let pair = 4 * layout.words(2).max(1);
        let each = (most.min(1 << 31) / pair).max(1) * 2;
        let mut shards = Vec::new();
        for (index, rows) in rows.chunks(each).enumerate() {
            let bytes = 4 * layout.words(rows.len()) as u64;
            let place = kernels.place("weights", bytes)?;
            send(kernels, layout, rows, &place)?;
            shards.push(Shard { first: index * each, rows: rows.len(), place });
        }
        Ok(Matrix { format, rows: rows.len(), cols, layout, shards })
    }

    /// Rows, the width of the output.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns, the width of the input.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The format that the file had.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes in the device's memory; also what one pass over the weights reads.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| 4 * self.layout.words(shard.rows) as u64).sum()
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Where the codes, the bits and the scales of a shard are in its buffer, in words.
    pub(super) fn parts(&self, shard: &Shard) -> [usize; 3] {
        let at = shard.place.at;
        [at, at + self.layout.bits_at(shard.rows), at + self.layout.scales_at(shard.rows)]
    }

    pub(super) fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

/// The rows of a tensor of a file.
fn split(format: Format, rows: usize, cols: usize, bytes: &[u8]) -> Result<Vec<&[u8]>, ShapeError> {
    let row = format.row_bytes(cols).ok_or(ShapeError::UnevenBlocks { format, cols, block: format.block_len() })?;
    let expected = row.checked_mul(rows).ok_or(ShapeError::TooLarge { format, rows, cols })?;
    if bytes.len() != expected {
        return Err(ShapeError::ByteCount { format, rows, cols, expected, found: bytes.len() });
    }
    Ok(bytes.chunks_exact(row.max(1)).collect())
}

/// Packs rows and sends them, a few megabytes at a time where their parts can be sent by themselves.
fn send(kernels: &Kernels, layout: Layout, rows: &[&[u8]], place: &Place) -> Result<(), GpuError> {
    let gpu = kernels.gpu();
    // An even number of rows, so that each part of each stage begins at a whole word.
    let each = (STAGE / (4 * layout.words(2)).max(1)).max(1) * 2;
    let mut words = Vec::new();
    for (index, stage) in rows.chunks(each).enumerate() {
        words.clear();
        words.resize(layout.words(stage.len()), 0_u32);
        layout.pack(stage, &mut words);
        let (bits, scales) = (layout.bits_at(stage.len()), layout.scales_at(stage.len()));
        let before = index * each;
        let scales_at = layout.scales_at(rows.len()) + (layout.words(before) - layout.scales_at(before));
        let bits_at = layout.bits_at(rows.len()) + (layout.scales_at(before) - layout.bits_at(before));
        let parts = [(layout.bits_at(before), 0..bits), (bits_at, bits..scales), (scales_at, scales..words.len())];
        for (at, part) in parts {
            if !part.is_empty() {
                gpu.write(&place.buffer, 4 * (place.at + at) as u64, bytemuck::cast_slice(&words[part]))?;
            }
        }
        gpu.flush()?;
    }
    Ok(())
}
