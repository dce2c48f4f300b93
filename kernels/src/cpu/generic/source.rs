//! The rows that activations are loaded from: as they are, normed, or gated.

use super::load::Source;
use super::rows::{rms_factor, scale_by, silu_mul};

/// Rows as they are.
pub(crate) struct Plain<'a> {
    /// `[tokens, cols]`.
    pub(crate) x: &'a [f32],
    /// Values of a row.
    pub(crate) cols: usize,
}

impl Source for Plain<'_> {
    #[inline(always)]
    fn begin(&self, _: usize) -> f32 {
        1.0
    }

    #[inline(always)]
    fn group(&self, token: usize, start: usize, _: f32, values: &mut [f32]) {
        values.copy_from_slice(&self.x[token * self.cols + start..][..values.len()]);
    }
}

/// Rows after their root mean square norm.
pub(crate) struct RmsNorm<'a> {
    /// `[tokens, weight.len()]`.
    pub(crate) x: &'a [f32],
    /// The norm's weight.
    pub(crate) weight: &'a [f32],
    /// What is added to the mean square.
    pub(crate) eps: f32,
}

impl Source for RmsNorm<'_> {
    #[inline(always)]
    fn begin(&self, token: usize) -> f32 {
        rms_factor(&self.x[token * self.weight.len()..][..self.weight.len()], self.eps)
    }

    #[inline(always)]
    fn group(&self, token: usize, start: usize, factor: f32, values: &mut [f32]) {
        let x = &self.x[token * self.weight.len() + start..][..values.len()];
        scale_by(x, factor, &self.weight[start..][..values.len()], values);
    }
}

/// `silu(gate) · up`.
pub(crate) struct SiluMul<'a> {
    /// `[tokens, cols]`.
    pub(crate) gate: &'a [f32],
    /// `[tokens, cols]`.
    pub(crate) up: &'a [f32],
    /// Values of a row.
    pub(crate) cols: usize,
}

impl Source for SiluMul<'_> {
    #[inline(always)]
    fn begin(&self, _: usize) -> f32 {
        1.0
    }

    #[inline(always)]
    fn group(&self, token: usize, start: usize, _: f32, values: &mut [f32]) {
        let at = token * self.cols + start;
        silu_mul(&self.gate[at..][..values.len()], &self.up[at..][..values.len()], values);
    }
}
