//! Element-wise and row-wise functions in plain arithmetic: no fused operation and a fixed order of sums, so every
//! instruction set computes the same bits.

use std::array::from_fn;

/// Lanes that a sum is spread over, whatever the width of the registers.
pub(crate) const LANES: usize = 16;

/// The sum of the lanes, as a tree.
#[inline(always)]
pub(crate) fn fold<T: Copy>(lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let eight: [T; 8] = from_fn(|i| join(lanes[i], lanes[i + 8]));
    let four: [T; 4] = from_fn(|i| join(eight[i], eight[i + 4]));
    join(join(four[0], four[2]), join(four[1], four[3]))
}

/// `Σ f(x)`, lane by lane and then across the lanes.
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        lanes = from_fn(|i| lanes[i] + f(chunk[i]));
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f(*value);
    }
    fold(lanes, |a, b| a + b)
}

/// The largest value; minus infinity of nothing.
#[inline(always)]
pub(crate) fn largest(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        lanes = from_fn(|i| larger(lanes[i], chunk[i]));
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, *value);
    }
    fold(lanes, larger)
}

/// One instruction, unlike `f32::max`.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `eˣ` within 2 ulp for −87 ≤ x ≤ 88; 0 below, the value at 88 above.
///
/// Cody and Waite's reduction to |r| ≤ ln 2 / 2, then Cephes' polynomial.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 88.0 { 88.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        p = p * r + coefficient;
    }
    let value = p * (r * r) + r + 1.0;
    // The low bits of `shifted` are n; adding 127 there and moving them up makes 2ⁿ.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { value * power }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU by the hyperbolic tangent: `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`, which is `x · sigmoid(2 …)`.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    const TWICE_SQRT_2_BY_PI: f32 = 1.595_769;
    x * sigmoid(TWICE_SQRT_2_BY_PI * (x + 0.044_715 * (x * x) * x))
}

/// GELU by the error function: `x/2 · (1 + erf(x / √2))`.
#[inline(always)]
pub(crate) fn gelu_erf(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// GELU by the logistic function, as CLIP has it: `x · sigmoid(1.702 x)`.
#[inline(always)]
pub(crate) fn gelu_quick(x: f32) -> f32 {
    x * sigmoid(1.702 * x)
}

/// The error function within 5e-7, by the rational approximation that Eigen uses on |x| ≤ 4; ±1 beyond.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let square = x * x;
    let mut above = -2.726_142_3e-10;
    for coefficient in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2] {
        above = above * square + coefficient;
    }
    let mut below = -1.456_607_2e-5;
    for coefficient in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        below = below * square + coefficient;
    }
    let inside = x * above / below;
    let lower = if x < -4.0 { -1.0 } else { inside };
    if x > 4.0 { 1.0 } else { lower }
}

/// What a row is multiplied by to have a root mean square of one.
#[inline(always)]
pub(crate) fn rms_factor(row: &[f32], eps: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let mean = sum_of(row, |x| x * x) / row.len() as f32;
    1.0 / (mean + eps).sqrt()
}

/// `out = x · factor · weight`.
#[inline(always)]
pub(crate) fn scale_by(x: &[f32], factor: f32, weight: &[f32], out: &mut [f32]) {
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * factor * weight;
    }
}

/// Root mean square norm of each row of `weight.len()` values.
#[inline(always)]
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        scale_by(x, rms_factor(x, eps), weight, out);
    }
}

/// The mean of a row, and what is left of it is multiplied by this to have a variance of one.
#[inline(always)]
pub(crate) fn mean_and_factor(row: &[f32], eps: f32) -> (f32, f32) {
    #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^24")]
    let width = row.len() as f32;
    let mean = sum_of(row, |x| x) / width;
    let variance = sum_of(row, |x| (x - mean) * (x - mean)) / width;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// `out = (x − mean) · factor · weight + bias`.
#[inline(always)]
pub(crate) fn center_and_scale(x: &[f32], mean: f32, factor: f32, weight: &[f32], bias: &[f32], out: &mut [f32]) {
    for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
        *out = (x - mean) * factor * weight + bias;
    }
}

/// Layer norm of each row of `weight.len()` values.
#[inline(always)]
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let (mean, factor) = mean_and_factor(x, eps);
        center_and_scale(x, mean, factor, weight, bias, out);
    }
}

/// `out = silu(gate) · up`.
#[inline(always)]
pub(crate) fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = silu(*gate) * up;
    }
}

/// Softmax in place of one row.
#[inline(always)]
pub(crate) fn softmax(row: &mut [f32]) {
    let most = largest(row);
    for value in row.iter_mut() {
        *value = exp(*value - most);
    }
    let inverse = 1.0 / sum_of(row, |x| x);
    for value in row {
        *value *= inverse;
    }
}

/// The first position of the largest value, not-a-numbers aside.
#[inline(always)]
pub(crate) fn argmax(row: &[f32]) -> usize {
    let most = largest(row);
    row.iter().position(|value| *value == most).unwrap_or(0)
}

/// Applies `function` in place, a register's worth at a time even where there is no more.
#[inline(always)]
fn in_place(x: &mut [f32], function: impl Fn(f32) -> f32) {
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for value in chunk {
            *value = function(*value);
        }
    }
    for value in rest {
        *value = function(*value);
    }
}

/// Applies GELU (tanh) in place.
#[inline(always)]
pub(crate) fn gelu_tanh_in_place(x: &mut [f32]) {
    in_place(x, gelu_tanh);
}

/// Applies GELU (erf) in place.
#[inline(always)]
pub(crate) fn gelu_erf_in_place(x: &mut [f32]) {
    in_place(x, gelu_erf);
}

/// Applies GELU (logistic) in place.
#[inline(always)]
pub(crate) fn gelu_quick_in_place(x: &mut [f32]) {
    in_place(x, gelu_quick);
}

/// Applies SiLU in place.
#[inline(always)]
pub(crate) fn silu_in_place(x: &mut [f32]) {
    in_place(x, silu);
}

/// `out += x`.
#[inline(always)]
pub(crate) fn add(x: &[f32], out: &mut [f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += x;
    }
}

/// Turns the first `2 · cos.len()` values of each head of `row`: neighbours as pairs, or each value of the first half
/// with its counterpart in the second.
#[inline(always)]
pub(crate) fn rotate(row: &mut [f32], head_dim: usize, neighbours: bool, cos: &[f32], sin: &[f32]) {
    for head in row.chunks_exact_mut(head_dim) {
        let head = &mut head[..2 * cos.len()];
        if neighbours {
            for ((pair, cos), sin) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
            }
        } else {
            let (first, second) = head.split_at_mut(cos.len());
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}
