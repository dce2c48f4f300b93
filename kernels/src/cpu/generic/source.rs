//! The rows that activations are loaded from: as they are, normed, gated, or windows of a sequence.

use super::load::Source;
use super::rows::{center_and_scale, mean_and_factor, rms_factor, scale_by, silu_mul};

/// Rows as they are.
pub(crate) struct Plain<'a> {
    /// `[tokens, cols]`.
    pub(crate) x: &'a [f32],
    /// Values of a row.
    pub(crate) cols: usize,
}

impl Source for Plain<'_> {
    type Row = ();

    #[inline(always)]
    fn begin(&self, _: usize) {}

    #[inline(always)]
    fn group(&self, token: usize, start: usize, (): (), values: &mut [f32]) {
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
    type Row = f32;

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
    type Row = ();

    #[inline(always)]
    fn begin(&self, _: usize) {}

    #[inline(always)]
    fn group(&self, token: usize, start: usize, (): (), values: &mut [f32]) {
        let at = token * self.cols + start;
        silu_mul(&self.gate[at..][..values.len()], &self.up[at..][..values.len()], values);
    }
}

/// Rows after their layer norm.
pub(crate) struct LayerNorm<'a> {
    /// `[tokens, weight.len()]`.
    pub(crate) x: &'a [f32],
    /// The norm's weight.
    pub(crate) weight: &'a [f32],
    /// The norm's bias.
    pub(crate) bias: &'a [f32],
    /// What is added to the variance.
    pub(crate) eps: f32,
}

impl Source for LayerNorm<'_> {
    /// The mean and what the rest is multiplied by.
    type Row = (f32, f32);

    #[inline(always)]
    fn begin(&self, token: usize) -> (f32, f32) {
        mean_and_factor(&self.x[token * self.weight.len()..][..self.weight.len()], self.eps)
    }

    #[inline(always)]
    fn group(&self, token: usize, start: usize, (mean, factor): (f32, f32), values: &mut [f32]) {
        let x = &self.x[token * self.weight.len() + start..][..values.len()];
        let (weight, bias) = (&self.weight[start..][..values.len()], &self.bias[start..][..values.len()]);
        center_and_scale(x, mean, factor, weight, bias, values);
    }
}

/// The windows of a convolution along a sequence, each a row: frames that follow each other lie together, so that a
/// window is a piece of the sequence as it is.
pub(crate) struct Windows<'a> {
    /// `[frames, channels]`.
    pub(crate) x: &'a [f32],
    /// Values from the start of a window to the start of the next.
    pub(crate) step: usize,
    /// Zeros in front of the sequence; behind it are as many as the last windows reach for.
    pub(crate) zeros: usize,
}

impl Source for Windows<'_> {
    type Row = ();

    #[inline(always)]
    fn begin(&self, _: usize) {}

    #[inline(always)]
    fn group(&self, token: usize, start: usize, (): (), values: &mut [f32]) {
        let at = token * self.step + start;
        let before = self.zeros.saturating_sub(at).min(values.len());
        let first = (at + before).saturating_sub(self.zeros).min(self.x.len());
        let there = (values.len() - before).min(self.x.len() - first);
        values[..before].fill(0.0);
        values[before..before + there].copy_from_slice(&self.x[first..first + there]);
        values[before + there..].fill(0.0);
    }
}
