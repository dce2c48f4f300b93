//! A projection: a matrix and perhaps a bias.

use super::{Backend, Cpu};
use crate::{Epilogue, Format, Nonlinearity, Product};

/// What is known of weights wherever they are.
pub trait WeightMatrix {
    /// The format that the file had.
    fn format(&self) -> Format;
    /// Rows, the width of the output.
    fn rows(&self) -> usize;
    /// Columns, the width of the input.
    fn cols(&self) -> usize;
    /// Bytes in memory; also what one pass over the weights reads.
    fn packed_bytes(&self) -> usize;
}

/// A projection `W x + bias`.
pub struct Linear<B: Backend> {
    /// `W`, `[rows, cols]`.
    pub matrix: B::Matrix,
    /// One number for each row of `W`, where there are any.
    pub bias: Option<B::Vector>,
}

impl Linear<Cpu> {
    /// The product with loaded activations, to go to `out`, `[tokens, rows]`.
    pub fn product<'a>(&'a self, out: &'a mut [f32]) -> Product<'a> {
        Product::with(&self.matrix, out, self.epilogue())
    }

    /// What the product is added to a residual stream with.
    #[must_use]
    pub fn accumulate(&self) -> Epilogue<'_> {
        match &self.bias {
            Some(bias) => Epilogue::AccumulateBias(bias),
            None => Epilogue::Accumulate,
        }
    }

    /// What the function of the product is stored with.
    #[must_use]
    pub fn activate(&self, function: Nonlinearity) -> Epilogue<'_> {
        Epilogue::Activate(self.bias.as_deref(), function)
    }

    /// What the product is stored with.
    #[must_use]
    pub fn epilogue(&self) -> Epilogue<'_> {
        match &self.bias {
            Some(bias) => Epilogue::Bias(bias),
            None => Epilogue::Store,
        }
    }
}
