//! Weights on a device, packed once at load.

use nanomind_hal::gpu::{Buffer, BufferUse, GpuError};

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
    pub(super) buffer: Buffer,
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
        Matrix::stacked(kernels, format, cols, &[(rows, bytes)])
    }

    /// Several matrices of the same columns, rows of the first first, as one: queries, keys and values in one product.
    ///
    /// # Errors
    /// As those of [`Matrix::upload`].
    pub fn stacked(
        kernels: &Kernels,
        format: Format,
        cols: usize,
        parts: &[(usize, &[u8])],
    ) -> Result<Matrix, MatrixError> {
        let mut rows = Vec::new();
        for (count, bytes) in parts {
            rows.extend(split(format, *count, cols, bytes)?);
        }
        Matrix::of_rows(kernels, format, cols, &rows)
    }

    /// Two matrices of one shape, a row of the first and a row of the second by turns: a gate and what it lets through,
    /// for [`Epilogue::Gate`](super::Epilogue::Gate).
    ///
    /// # Errors
    /// As those of [`Matrix::upload`].
    pub fn interleaved(
        kernels: &Kernels,
        format: Format,
        rows: usize,
        cols: usize,
        gate: &[u8],
        up: &[u8],
    ) -> Result<Matrix, MatrixError> {
        let pairs = split(format, rows, cols, gate)?.into_iter().zip(split(format, rows, cols, up)?);
        let rows: Vec<&[u8]> = pairs.flat_map(|(gate, up)| [gate, up]).collect();
        Matrix::of_rows(kernels, format, cols, &rows)
    }

    fn of_rows(kernels: &Kernels, format: Format, cols: usize, rows: &[&[u8]]) -> Result<Matrix, MatrixError> {
        let (gpu, layout) = (kernels.gpu(), Layout::new(format, cols));
        let limits = &gpu.adapter().limits;
        let most = usize::try_from(limits.binding_bytes.min(limits.buffer_bytes)).unwrap_or(usize::MAX);
        // In pairs, so that no gate is parted from what it lets through; and of a size that words can be counted in.
        let pair = 4 * layout.words(2).max(1);
        let each = (most.min(1 << 31) / pair).max(1) * 2;
        let mut shards = Vec::new();
        for (index, rows) in rows.chunks(each).enumerate() {
            let bytes = 4 * layout.words(rows.len()) as u64;
            let buffer = gpu.buffer("weights", bytes, BufferUse::Storage)?;
            send(kernels, layout, rows, &buffer)?;
            shards.push(Shard { first: index * each, rows: rows.len(), buffer });
        }
        Ok(Matrix { format, rows: rows.len(), cols, layout, shards })
    }

    /// Rows, the width of the output; of interleaved ones, twice that.
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
        self.shards.iter().map(|shard| shard.buffer.bytes()).sum()
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
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
fn send(kernels: &Kernels, layout: Layout, rows: &[&[u8]], buffer: &Buffer) -> Result<(), GpuError> {
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
                gpu.write(buffer, 4 * at as u64, bytemuck::cast_slice(&words[part]))?;
            }
        }
        gpu.flush()?;
    }
    Ok(())
}
