//! Weights on a device, packed once at load.

use nanomind_hal::gpu::GpuError;

use super::arena::{Place, UNIT};
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

/// The weights of a file, row after row of `cols` values in `format`.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// How they are stored.
    pub format: Format,
    /// Rows, the width of the output.
    pub rows: usize,
    /// Columns, the width of the input.
    pub cols: usize,
    /// `rows` rows of them.
    pub bytes: &'a [u8],
}

impl<'a> Weights<'a> {
    fn split(&self) -> Result<Vec<&'a [u8]>, ShapeError> {
        let Weights { format, rows, cols, bytes } = *self;
        let row = format.row_bytes(cols).ok_or(ShapeError::UnevenBlocks { format, cols, block: format.block_len() })?;
        let expected = row.checked_mul(rows).ok_or(ShapeError::TooLarge { format, rows, cols })?;
        if bytes.len() != expected {
            return Err(ShapeError::ByteCount { format, rows, cols, expected, found: bytes.len() });
        }
        Ok(bytes.chunks_exact(row.max(1)).collect())
    }

    /// Bytes on the device, once their shape is known to fit.
    fn packed_bytes(&self) -> u64 {
        4 * Layout::new(self.format, self.cols).words(self.rows) as u64
    }
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
        let [matrix] = Matrix::upload_together(kernels, [Weights { format, rows, cols, bytes }])?;
        Ok(matrix)
    }

    /// Packs several matrices into one buffer, if a shader can reach all of it: what is multiplied with the same input,
    /// which [`Pass::products`](super::Pass::products) and [`Pass::gate`](super::Pass::gate) then do in one step.
    ///
    /// # Errors
    /// As those of [`Matrix::upload`], of any of them.
    pub fn upload_together<const N: usize>(
        kernels: &Kernels,
        weights: [Weights<'_>; N],
    ) -> Result<[Matrix; N], MatrixError> {
        let mut rows = Vec::with_capacity(N);
        for weights in &weights {
            rows.push(weights.split()?);
        }
        let limits = &kernels.gpu().adapter().limits;
        let most = limits.binding_bytes.min(limits.buffer_bytes).min(1 << 31);
        let bytes = weights.each_ref().map(Weights::packed_bytes);
        let total = bytes.iter().fold(0_u64, |sum, bytes| sum.next_multiple_of(UNIT).saturating_add(*bytes));
        let place = match total <= most {
            true => Some(kernels.place("weights", total)?),
            false => None,
        };
        let mut matrices = Vec::with_capacity(N);
        let mut at = 0_u64;
        for ((weights, rows), bytes) in weights.into_iter().zip(rows).zip(bytes) {
            let Weights { format, cols, .. } = weights;
            let mut matrix =
                Matrix { format, rows: rows.len(), cols, layout: Layout::new(format, cols), shards: Vec::new() };
            match &place {
                Some(place) => {
                    matrix.send(kernels, &rows, 0, place.behind(at))?;
                    at = (at + bytes).next_multiple_of(UNIT);
                }
                None => matrix.send_in_shards(kernels, &rows, most)?,
            }
            matrices.push(matrix);
        }
        let count = matrices.len();
        matrices.try_into().map_err(|_| unreachable!("{count} matrices of {N}"))
    }

    /// Cuts rows into shards of at most so many bytes, and sends each to a buffer of its own.
    fn send_in_shards(&mut self, kernels: &Kernels, rows: &[&[u8]], most: u64) -> Result<(), GpuError> {
        // In pairs, so that halves of words of scales are not parted.
        let pair = 4 * self.layout.words(2).max(1) as u64;
        let each = usize::try_from(most / pair).unwrap_or(usize::MAX / 2).max(1) * 2;
        for (index, rows) in rows.chunks(each).enumerate() {
            let place = kernels.place("weights", 4 * self.layout.words(rows.len()) as u64)?;
            self.send(kernels, rows, index * each, place)?;
        }
        Ok(())
    }

    /// Packs a shard of rows, the first of which is row `first`, and sends it.
    fn send(&mut self, kernels: &Kernels, rows: &[&[u8]], first: usize, place: Place) -> Result<(), GpuError> {
        send(kernels, self.layout, rows, &place)?;
        self.shards.push(Shard { first, rows: rows.len(), place });
        Ok(())
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
