//! The shape of one weight matrix, and what a product with it costs.

use nanomind_hal::JobCost;
use nanomind_kernels::{Format, Matrix, ShapeError};

use crate::gguf::{Gguf, GgufError, GgufProblem};

/// A weight matrix `[rows, cols]` as a file stores it and as the kernels hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixShape {
    rows: usize,
    cols: usize,
    packed_bytes: u64,
    stored_bytes: u64,
}

impl MatrixShape {
    /// A matrix of `rows` rows of `cols` values in `format`.
    ///
    /// # Errors
    /// `cols` is no whole number of blocks of the format, or the size overflows.
    pub fn new(format: Format, rows: usize, cols: usize) -> Result<MatrixShape, ShapeError> {
        let packed_bytes = Matrix::packed_size(format, rows, cols)? as u64;
        let stored = format.row_bytes(cols).and_then(|row| row.checked_mul(rows));
        let stored_bytes = stored.ok_or(ShapeError::TooLarge { format, rows, cols })? as u64;
        Ok(MatrixShape { rows, cols, packed_bytes, stored_bytes })
    }

    /// The shape of a packed matrix.
    pub(crate) fn of(matrix: &Matrix) -> MatrixShape {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let row_bytes = matrix.format().row_bytes(cols).unwrap_or(0);
        MatrixShape {
            rows,
            cols,
            packed_bytes: matrix.packed_bytes() as u64,
            stored_bytes: row_bytes as u64 * rows as u64,
        }
    }

    /// The shape of the tensor `name` as a matrix of `rows` rows: a convolution has one for each channel that it makes.
    pub(crate) fn of_tensor(gguf: &Gguf, name: &str, rows: usize) -> Result<MatrixShape, GgufError> {
        let info = gguf.tensor(name)?;
        let wrong = |expected: String, found: String| {
            GgufError::new(gguf.file(), format!("tensor `{name}`"), GgufProblem::Inconsistent { expected, found })
        };
        let Some(format) = info.format() else {
            let found = info.tensor_type().name().to_owned();
            return Err(wrong("a type that there are kernels for".into(), found));
        };
        if rows == 0 || !info.elements().is_multiple_of(rows) {
            return Err(wrong(format!("{rows} rows"), format!("{} elements", info.elements())));
        }
        MatrixShape::new(format, rows, info.elements() / rows)
            .map_err(|error| wrong("a size that can be packed".into(), error.to_string()))
    }

    /// Rows: the width of a product's output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the width of a product's input.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How many weights it has.
    pub fn weights(&self) -> u64 {
        self.rows as u64 * self.cols as u64
    }

    /// Bytes in memory, which a product reads.
    pub fn packed_bytes(&self) -> u64 {
        self.packed_bytes
    }

    /// Bytes in the file, which loading reads.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// What a product with `inputs` rows costs.
    pub fn product(&self, inputs: usize) -> JobCost {
        JobCost { flops: 2 * inputs as u64 * self.weights(), bytes: self.packed_bytes }
    }
}

/// The cost of no work.
pub(crate) const NOTHING: JobCost = JobCost { flops: 0, bytes: 0 };

/// The cost of both.
pub(crate) fn sum(a: JobCost, b: JobCost) -> JobCost {
    JobCost { flops: a.flops + b.flops, bytes: a.bytes + b.bytes }
}
