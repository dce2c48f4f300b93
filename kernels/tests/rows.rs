//! Norms, activation functions, softmax, rotary embedding and half precision: against double precision, and the same
//! bits on every instruction set.

mod common;

use common::{Random, bits};
use half::f16;
use nanomind_hal::Lane;
use nanomind_kernels::{
    Activations, Epilogue, Format, Isa, Matrix, RopeAngles, RopeLayout, RopeTable, add, argmax, f16_to_f32, f32_to_f16,
    gelu_erf, gelu_quick, gelu_tanh, layer_norm, matmul, rms_norm, rope, silu, silu_mul, softmax,
};

/// Runs `compute` on every instruction set; all must give the bits of the first, and each value must be within
/// `relative` of what is expected (or within `absolute`).
fn check(name: &str, expected: &[f64], relative: f64, absolute: f64, compute: impl Fn(Isa) -> Vec<f32>) {
    let portable = compute(Isa::Portable);
    assert_eq!(portable.len(), expected.len(), "{name}");
    for (index, (found, expected)) in portable.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= relative * expected.abs() + absolute,
            "{name} at {index}: expected {expected}, found {found}, off by {error:e}"
        );
    }
    for isa in Isa::available() {
        assert!(bits(&compute(isa)) == bits(&portable), "{name}: {isa} has other bits than portable");
    }
}

/// Widths with every kind of tail.
const WIDTHS: [usize; 6] = [1, 15, 16, 33, 576, 1000];

#[test]
fn root_mean_square_norm_follows_its_formula() {
    for width in WIDTHS {
        let mut random = Random(width as u64);
        let (x, weight) = (random.floats(3 * width), random.floats(width));
        let mut expected = Vec::new();
        for row in x.chunks(width) {
            let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
            let factor = 1.0 / (mean + 1e-5).sqrt();
            expected.extend(row.iter().zip(&weight).map(|(x, w)| f64::from(*x) * factor * f64::from(*w)));
        }
        check("rms_norm", &expected, 1e-5, 0.0, |isa| {
            let mut out = vec![0.0; x.len()];
            rms_norm(isa, &x, &weight, 1e-5, &mut out);
            out
        });
    }
}

#[test]
fn layer_norm_follows_its_formula() {
    for width in WIDTHS {
        let mut random = Random(width as u64);
        let (x, weight, bias) = (random.floats(3 * width), random.floats(width), random.floats(width));
        let mut expected = Vec::new();
        for row in x.chunks(width) {
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
            let factor = 1.0 / (variance + 1e-5).sqrt();
            for ((x, w), b) in row.iter().zip(&weight).zip(&bias) {
                expected.push((f64::from(*x) - mean) * factor * f64::from(*w) + f64::from(*b));
            }
        }
        check("layer_norm", &expected, 1e-5, 1e-5, |isa| {
            let mut out = vec![0.0; x.len()];
            layer_norm(isa, &x, &weight, &bias, 1e-5, &mut out);
            out
        });
    }
}

#[test]
fn activation_functions_follow_their_formulas_far_into_both_tails() {
    let x: Vec<f32> =
        (-2000..=2000).map(|i| i as f32 * 0.05).chain([0.0, -0.0, 1e-30, -1e-30, 500.0, -500.0]).collect();
    let up: Vec<f32> = Random(1).floats(x.len());
    let logistic = |x: f64, slope: f64| x / (1.0 + (-slope * x).exp());
    let expected: Vec<f64> = x.iter().zip(&up).map(|(x, up)| logistic(f64::from(*x), 1.0) * f64::from(*up)).collect();
    check("silu_mul", &expected, 1e-6, 1e-35, |isa| {
        let mut out = vec![0.0; x.len()];
        silu_mul(isa, &x, &up, &mut out);
        out
    });
    let expected: Vec<f64> = x.iter().map(|x| logistic(f64::from(*x), 1.0)).collect();
    check("silu", &expected, 1e-6, 1e-35, |isa| {
        let mut out = x.clone();
        silu(isa, &mut out);
        out
    });
    let expected: Vec<f64> = x.iter().map(|x| logistic(f64::from(*x), 1.702)).collect();
    // Near the end of what the exponential reaches, its argument's own rounding shows.
    check("gelu_quick", &expected, 1e-5, 1e-30, |isa| {
        let mut out = x.clone();
        gelu_quick(isa, &mut out);
        out
    });
    let tanh = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    let expected: Vec<f64> = x.iter().map(|x| tanh(f64::from(*x))).collect();
    check("gelu_tanh", &expected, 3e-6, 1e-6, |isa| {
        let mut out = x.clone();
        gelu_tanh(isa, &mut out);
        out
    });
    let expected: Vec<f64> =
        x.iter().map(|x| 0.5 * f64::from(*x) * (1.0 + erf(f64::from(*x) * 0.5f64.sqrt()))).collect();
    check("gelu_erf", &expected, 2e-6, 2e-6, |isa| {
        let mut out = x.clone();
        gelu_erf(isa, &mut out);
        out
    });
}

/// By its series, or 1 where that is as good.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn softmax_sums_to_one_and_follows_its_formula() {
    for width in WIDTHS {
        let x: Vec<f32> = Random(width as u64).floats(width).into_iter().map(|x| x * 10.0).collect();
        let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = x.iter().map(|x| f64::from(x - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let expected: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
        check("softmax", &expected, 3e-6, 1e-37, |isa| {
            let mut out = x.clone();
            softmax(isa, &mut out);
            out
        });
    }
}

#[test]
fn argmax_is_the_first_of_the_largest_and_addition_adds() {
    for width in WIDTHS {
        let mut random = Random(width as u64);
        let mut x = random.floats(width);
        let at = random.below(width);
        x[at] = 100.0;
        x[width - 1] = 100.0;
        for isa in Isa::available() {
            assert_eq!(argmax(isa, &x), at, "{isa} width {width}");
            let mut sum = x.clone();
            add(isa, &x, &mut sum);
            assert!(sum.iter().zip(&x).all(|(sum, x)| *sum == 2.0 * x), "{isa} width {width}");
        }
    }
    for isa in Isa::available() {
        assert_eq!(argmax(isa, &[f32::NAN, 1.0, f32::NAN, 3.0, 2.0]), 3, "{isa}");
        assert_eq!(argmax(isa, &[f32::NEG_INFINITY; 3]), 0, "{isa}");
        assert_eq!(argmax(isa, &[]), 0, "{isa}");
    }
}

#[test]
fn rotary_embedding_turns_the_pairs_of_both_layouts() {
    let (heads, head_dim, rotated, first, tokens) = (3, 20, 16, 1000, 5);
    let x = Random(1).floats(tokens * heads * head_dim);
    let factors: Vec<f32> = (0..rotated / 2).map(|pair| 1.0 + pair as f32).collect();
    for layout in [RopeLayout::Interleaved, RopeLayout::Halves] {
        let mut expected: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        for (index, head) in expected.chunks_mut(head_dim).enumerate() {
            for (pair, factor) in factors.iter().enumerate() {
                let frequency = 10_000f64.powf(-2.0 * pair as f64 / rotated as f64) / f64::from(*factor);
                let (sin, cos) = ((first + index / heads) as f64 * frequency).sin_cos();
                let (a, b) = match layout {
                    RopeLayout::Interleaved => (2 * pair, 2 * pair + 1),
                    RopeLayout::Halves => (pair, pair + rotated / 2),
                };
                (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
            }
        }
        let table = RopeTable::new(layout, rotated, 10_000.0, Some(&factors));
        let mut angles = RopeAngles::new();
        angles.set(&table, first, tokens);
        check("rope", &expected, 1e-6, 1e-6, |isa| {
            let mut out = x.clone();
            let (head, tail) = out.split_at_mut(2 * heads * head_dim);
            rope(isa, head, heads, head_dim, &angles, 0);
            rope(isa, tail, heads, head_dim, &angles, 2);
            out
        });
    }
}

#[test]
fn half_precision_rounds_to_nearest_even_and_widens_exactly() {
    let mut x = Random(1).floats(1000);
    x.extend([
        0.0,
        -0.0,
        65_504.0,
        65_520.0,
        -1e9,
        5.9e-8,
        2.9e-8,
        1e-9,
        f32::INFINITY,
        1.0 + f32::EPSILON,
        2049.0,
        2051.0,
    ]);
    let expected: Vec<f16> = x.iter().map(|x| f16::from_f32(*x)).collect();
    for isa in Isa::available() {
        let mut halves = vec![f16::ZERO; x.len()];
        f32_to_f16(isa, &x, &mut halves);
        for (index, (found, expected)) in halves.iter().zip(&expected).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{isa}: {} at {index}", x[index]);
        }
        let mut back = vec![0.0; x.len()];
        f16_to_f32(isa, &halves, &mut back);
        assert!(back.iter().zip(&expected).all(|(back, half)| back.to_bits() == half.to_f32().to_bits()), "{isa}");
    }
}

#[test]
fn inputs_normed_or_gated_while_loading_have_the_bits_of_the_two_steps() {
    let lane = Lane::single();
    let (tokens, cols, rows) = (7, 96, 5);
    let mut random = Random(1);
    let (x, up, weight) = (random.floats(tokens * cols), random.floats(tokens * cols), random.floats(cols));
    for format in [Format::Q8_0, Format::F32] {
        let bytes = common::weights(&mut random, common::Weights::Random, format, rows, cols);
        for isa in Isa::available() {
            let matrix = Matrix::pack(isa, &lane, format, rows, cols, &bytes).expect("a matrix");
            let mut activations = Activations::new(isa);
            let product = |activations: &Activations| {
                let mut out = vec![0.0; tokens * rows];
                matmul(&lane, &matrix, activations, &mut out, Epilogue::Store);
                bits(&out)
            };
            let mut between = vec![0.0; x.len()];
            rms_norm(isa, &x, &weight, 1e-5, &mut between);
            activations.load_for(&lane, &between, &[&matrix]);
            let expected = product(&activations);
            activations.load_rms_norm(&lane, &x, &weight, 1e-5, &[&matrix]);
            assert!(product(&activations) == expected, "{isa} {format}: normed while loading");
            silu_mul(isa, &x, &up, &mut between);
            activations.load_for(&lane, &between, &[&matrix]);
            let expected = product(&activations);
            activations.load_silu_mul(&lane, &x, &up, &[&matrix]);
            assert!(product(&activations) == expected, "{isa} {format}: gated while loading");
        }
    }
}
