//! Values and token numbers on a device.

use std::ops::Range;
use std::sync::Arc;

use nanomind_hal::gpu::{Buffer, BufferUse, GpuError};

use super::arena::Place;
use super::kernels::Kernels;
use super::packing::CHUNK;

/// `f32` values `[rows, width]` on a device, allocated once. Also norm weights and biases, of one row.
#[derive(Debug)]
pub struct Rows {
    place: Place,
    rows: usize,
    width: usize,
    /// Values from a row to the next: the width, and zeros up to what a shader reads at once.
    stride: usize,
}

impl Rows {
    /// Rows of zeros.
    ///
    /// # Errors
    /// They are more than a shader can reach at once, or the device is lost or has no memory.
    pub fn new(kernels: &Kernels, rows: usize, width: usize) -> Result<Rows, GpuError> {
        let stride = width.next_multiple_of(CHUNK);
        let bytes = 4 * (rows as u64) * (stride as u64);
        let buffer = Arc::new(kernels.gpu().buffer("rows", bytes, BufferUse::Storage)?);
        Ok(Rows { place: Place { buffer, at: 0 }, rows, width, stride })
    }

    /// One row of these values: the weights of a norm, or biases. Lies beside other such rows and is not to be written.
    ///
    /// # Errors
    /// As those of [`Rows::new`].
    pub fn of(kernels: &Kernels, values: &[f32]) -> Result<Rows, GpuError> {
        let (width, stride) = (values.len(), values.len().next_multiple_of(CHUNK));
        let rows = Rows { place: kernels.place("numbers", 4 * stride as u64)?, rows: 1, width, stride };
        let mut padded = values.to_vec();
        padded.resize(stride, 0.0);
        kernels.gpu().write(&rows.place.buffer, rows.byte(0), bytemuck::cast_slice(&padded))?;
        Ok(rows)
    }

    /// Sends whole rows to the places from row `first` on, before whatever is submitted next.
    ///
    /// # Errors
    /// The device is lost.
    ///
    /// # Panics
    /// `values` are no whole number of rows, or there are not so many.
    pub fn write(&self, kernels: &Kernels, first: usize, values: &[f32]) -> Result<(), GpuError> {
        assert!(values.len().is_multiple_of(self.width.max(1)), "{} values in rows of {}", values.len(), self.width);
        assert!(first + values.len() / self.width.max(1) <= self.rows, "more rows than {}", self.rows);
        if self.stride == self.width {
            return kernels.gpu().write(&self.place.buffer, self.byte(first), bytemuck::cast_slice(values));
        }
        for (index, row) in values.chunks_exact(self.width).enumerate() {
            kernels.gpu().write(&self.place.buffer, self.byte(first + index), bytemuck::cast_slice(row))?;
        }
        Ok(())
    }

    /// Takes the rows from `first` on back, when all that was submitted has ended. For tests and for what is rare.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    ///
    /// # Panics
    /// `values` are no whole number of rows, or there are not so many.
    pub fn read(&self, kernels: &Kernels, first: usize, values: &mut [f32]) -> Result<(), GpuError> {
        let count = values.len() / self.width.max(1);
        assert!(values.len() == count * self.width && first + count <= self.rows, "rows {first} and {count} more");
        let mut all = vec![0_f32; count * self.stride];
        kernels.gpu().download(&self.place.buffer, self.byte(first), bytemuck::cast_slice_mut(&mut all))?;
        for (row, values) in all.chunks_exact(self.stride).zip(values.chunks_exact_mut(self.width)) {
            values.copy_from_slice(&row[..self.width]);
        }
        Ok(())
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// All of it.
    #[must_use]
    pub fn all(&self) -> View<'_> {
        View { of: self, first: 0, rows: self.rows, column: 0, width: self.width }
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// There are no such rows.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> View<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        View { first: rows.start, rows: rows.len(), ..self.all() }
    }

    /// Where a row begins in its buffer, in bytes.
    fn byte(&self, row: usize) -> u64 {
        4 * (self.place.at + row * self.stride) as u64
    }

    pub(super) fn buffer(&self) -> &Buffer {
        &self.place.buffer
    }

    /// Place of the first value in its buffer.
    pub(super) fn at(&self) -> usize {
        self.place.at
    }
}

/// Rows of [`Rows`], or columns of theirs.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    of: &'a Rows,
    first: usize,
    rows: usize,
    column: usize,
    width: usize,
}

impl<'a> View<'a> {
    /// Some columns of these rows: queries among queries, keys and values.
    ///
    /// # Panics
    /// There are no such columns.
    #[must_use]
    pub fn columns(self, columns: Range<usize>) -> View<'a> {
        assert!(columns.start <= columns.end && columns.end <= self.width, "columns {columns:?} of {}", self.width);
        View { column: self.column + columns.start, width: columns.len(), ..self }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    pub(super) fn buffer(&self) -> &'a Buffer {
        &self.of.place.buffer
    }

    /// Place of the first value.
    pub(super) fn at(&self) -> usize {
        self.of.place.at + self.first * self.of.stride + self.column
    }

    pub(super) fn first(&self) -> usize {
        self.first
    }

    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// Values from a row to the next.
    pub(super) fn stride(&self) -> usize {
        self.of.stride
    }
}

/// Token numbers on a device: what is looked up, and what was picked.
#[derive(Debug)]
pub struct Tokens {
    buffer: Buffer,
    count: usize,
}

impl Tokens {
    /// Room for `count` tokens, all 0.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    pub fn new(kernels: &Kernels, count: usize) -> Result<Tokens, GpuError> {
        let buffer = kernels.gpu().buffer("tokens", 4 * count as u64, BufferUse::Storage)?;
        Ok(Tokens { buffer, count })
    }

    /// Sends tokens to the places from `first` on, before whatever is submitted next.
    ///
    /// # Errors
    /// The device is lost.
    ///
    /// # Panics
    /// There is no room for them.
    pub fn write(&self, kernels: &Kernels, first: usize, tokens: &[u32]) -> Result<(), GpuError> {
        assert!(first + tokens.len() <= self.count, "{} tokens at {first} of {}", tokens.len(), self.count);
        kernels.gpu().write(&self.buffer, 4 * first as u64, bytemuck::cast_slice(tokens))
    }

    /// How many there is room for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    pub(super) fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}
