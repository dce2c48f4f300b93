//! A projection on the CPU: a matrix and perhaps a bias.

use nanomind_hal::Lane;

use super::{Held, Part};
use crate::{Epilogue, Isa, Matrix, Nonlinearity, Product, ShapeError};

/// A projection `W x + bias`.
#[derive(Debug)]
pub struct Linear {
    /// `W`, `[rows, cols]`.
    pub matrix: Matrix,
    /// One number for each row of `W`, where there are any.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// Packs the weights of a file.
    ///
    /// # Errors
    /// As [`Matrix::pack`].
    pub(super) fn pack(isa: Isa, lane: &Lane, part: Part<'_>) -> Result<Linear, ShapeError> {
        let Part { format, rows, cols, bytes, bias } = part;
        Ok(Linear { matrix: Matrix::pack(isa, lane, format, rows, cols, bytes)?, bias })
    }

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

impl Held for Linear {
    fn bytes(&self) -> u64 {
        self.matrix.packed_bytes() as u64
    }
}
