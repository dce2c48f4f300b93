//! Weights on their way from a file to a backend.

use crate::Format;

/// A projection as a file has it.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// How the weights are coded.
    pub format: Format,
    /// Rows, the width of the output.
    pub rows: usize,
    /// Columns, the width of the input.
    pub cols: usize,
    /// The weights, row after row.
    pub bytes: &'a [u8],
    /// A number for each row, where there are any.
    pub bias: Option<Vec<f32>>,
}

/// What takes memory on a backend.
pub trait Held {
    /// Bytes of weights; also what one pass over them reads.
    fn bytes(&self) -> u64;
}

impl<T: Held, const N: usize> Held for [T; N] {
    fn bytes(&self) -> u64 {
        self.iter().map(Held::bytes).sum()
    }
}
