//! Weights, packed once at load for the kernels.

use nanomind_hal::{AlignedBuffer, Lane};

use crate::panel::{PANEL_ROWS, PanelLayout};
use crate::{Format, Isa, ShapeError};

/// A weight matrix `[rows, cols]` in the packed layout of one [`Isa`].
///
/// Immutable and shared between threads. It needs nothing of the file it came from: single rows (token embeddings)
/// can be read back exactly with [`Matrix::row`].
#[derive(Debug)]
pub struct Matrix {
    isa: Isa,
    format: Format,
    rows: usize,
    cols: usize,
    layout: PanelLayout,
    packed: AlignedBuffer,
}

impl Matrix {
    /// Packs the weights of a file, row after row of `cols` values in `format`.
    ///
    /// # Errors
    /// [`ShapeError`] where `cols` is no whole number of blocks, `bytes` is not `rows` rows long, there is no memory,
    /// or this machine does not have `isa`.
    pub fn pack(
        isa: Isa,
        lane: &Lane,
        format: Format,
        rows: usize,
        cols: usize,
        bytes: &[u8],
    ) -> Result<Matrix, ShapeError> {
        if !isa.is_available() {
            return Err(ShapeError::MissingIsa { isa });
        }
        let layout = PanelLayout::new(format, rows, cols)?;
        let row_bytes =
            format.row_bytes(cols).ok_or(ShapeError::UnevenBlocks { format, cols, block: format.block_len() })?;
        let expected = row_bytes.checked_mul(rows).ok_or(ShapeError::TooLarge { format, rows, cols })?;
        if bytes.len() != expected {
            return Err(ShapeError::ByteCount { format, rows, cols, expected, found: bytes.len() });
        }
        let mut packed = AlignedBuffer::zeroed(layout.panel_bytes() * rows.div_ceil(PANEL_ROWS))?;
        if !packed.is_empty() {
            lane.for_each_chunk_mut(packed.as_bytes_mut(), layout.panel_bytes(), |index, panel| {
                let first = index * PANEL_ROWS;
                let last = rows.min(first + PANEL_ROWS);
                layout.pack(&bytes[first * row_bytes..last * row_bytes], row_bytes, panel);
            });
        }
        Ok(Matrix { isa, format, rows, cols, layout, packed })
    }

    /// Bytes that a matrix of this shape takes once it is packed, for whichever [`Isa`]: their layout is one.
    ///
    /// # Errors
    /// [`ShapeError`] where `cols` is no whole number of blocks, or the size overflows.
    pub fn packed_size(format: Format, rows: usize, cols: usize) -> Result<usize, ShapeError> {
        PanelLayout::new(format, rows, cols).map(|layout| layout.panel_bytes() * rows.div_ceil(PANEL_ROWS))
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

    /// The instruction set that computes with it.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes in memory; also what one pass over the weights reads.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.packed.len()
    }

    /// The values of row `row`, `[cols]`, equal bit for bit to [`crate::dequantize()`] of the file's row.
    ///
    /// # Panics
    /// There is no such row, or `out` is not `cols` long.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        assert_eq!(out.len(), self.cols, "a row has {} values, there is room for {}", self.cols, out.len());
        self.layout.row(self.panel(row / PANEL_ROWS), row % PANEL_ROWS, out);
    }

    pub(crate) fn layout(&self) -> &PanelLayout {
        &self.layout
    }

    /// Panel `index`, whole.
    pub(crate) fn panel(&self, index: usize) -> &[u8] {
        &self.packed()[index * self.layout.panel_bytes()..][..self.layout.panel_bytes()]
    }

    pub(crate) fn packed(&self) -> &[u8] {
        self.packed.as_bytes()
    }
}
