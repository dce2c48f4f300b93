//! The shape of transformer layers in which each position attends to each other: an encoder's.

use std::sync::Arc;

use nanomind_hal::JobCost;

use super::matrix::{MatrixShape, NOTHING, sum};

/// The layers of an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayersShape {
    /// Positions that are computed.
    pub(crate) tokens: usize,
    /// Elements of a position.
    pub(crate) width: usize,
    /// Projections of each layer: query, key, value, output, up, down.
    pub(crate) layers: Arc<[[MatrixShape; 6]]>,
}

impl LayersShape {
    /// What the layers `from..to` cost.
    pub(crate) fn cost(&self, from: usize, to: usize) -> JobCost {
        let linears = self.layers[from..to].iter().flatten();
        let products = linears.map(|linear| linear.product(self.tokens)).fold(NOTHING, sum);
        // Each position is multiplied with each other: for scores and for values.
        let attention = 4 * (to - from) as u64 * (self.tokens * self.tokens) as u64 * self.width as u64;
        JobCost { flops: products.flops + attention, ..products }
    }

    /// Every projection.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &MatrixShape> {
        self.layers.iter().flatten()
    }
}
