//! Norms, row by row.

use crate::Isa;
use crate::cpu::{self, LayerNormRows, RmsNormRows};

/// Root mean square norm of each row of `x`, `[tokens, width]` with `width = weight.len()`:
/// `out = x / √(mean(x²) + eps) · weight`. For a single row pass one row.
///
/// # Panics
/// `out` is not as long as `x`, or `x` is no whole number of rows.
pub fn rms_norm(isa: Isa, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    check(x, weight, out);
    if !x.is_empty() {
        cpu::run(isa, RmsNormRows { x, weight, eps, out });
    }
}

/// Layer norm of each row of `x`, `[tokens, width]` with `width = weight.len()`:
/// `out = (x − mean(x)) / √(var(x) + eps) · weight + bias`.
///
/// # Panics
/// `out` is not as long as `x`, `bias` not as long as `weight`, or `x` is no whole number of rows.
pub fn layer_norm(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    check(x, weight, out);
    assert_eq!(weight.len(), bias.len(), "a norm of {} weights and {} biases", weight.len(), bias.len());
    if !x.is_empty() {
        cpu::run(isa, LayerNormRows { x, weight, bias, eps, out });
    }
}

fn check(x: &[f32], weight: &[f32], out: &[f32]) {
    assert_eq!(x.len(), out.len(), "{} values to norm, room for {}", x.len(), out.len());
    assert!(
        x.is_empty() || (!weight.is_empty() && x.len().is_multiple_of(weight.len())),
        "{} values are no whole number of rows of {}",
        x.len(),
        weight.len()
    );
}
