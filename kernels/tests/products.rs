//! Every instruction set × every format × odd shapes and extreme values, through one runner against one oracle; and
//! the promise that a row's bits depend on nothing but the row.

mod common;

use common::{GROUP, Random, Weights, bits, quantised, weights};
use nanomind_hal::Lane;
use nanomind_kernels::{
    Activations, Epilogue, Format, Isa, Matrix, Nonlinearity, Product, ShapeError, dequantize, gelu_erf, gelu_quick,
    gelu_tanh, layer_norm, matmul, matmul_many, silu,
};

/// One product to check.
#[derive(Debug, Clone, Copy)]
struct Case {
    format: Format,
    kind: Weights,
    rows: usize,
    cols: usize,
    tokens: usize,
    seed: u64,
}

impl Case {
    fn weights(self) -> Vec<u8> {
        weights(&mut Random(self.seed), self.kind, self.format, self.rows, self.cols)
    }

    fn inputs(self) -> Vec<f32> {
        let mut random = Random(self.seed ^ 0xabcd);
        let mut x = random.floats(self.tokens * self.cols);
        // Outliers, a group of zeros of both signs, and one of values too small to scale.
        for value in x.iter_mut().step_by(37) {
            *value *= 50.0;
        }
        if self.cols >= 2 * GROUP {
            x[..GROUP].fill(-0.0);
            x[GROUP..2 * GROUP].fill(1e-40);
        }
        x
    }

    fn product(self, isa: Isa, lane: &Lane, x: &[f32], bytes: &[u8]) -> Vec<f32> {
        let matrix = Matrix::pack(isa, lane, self.format, self.rows, self.cols, bytes).expect("a matrix");
        let mut activations = Activations::new(isa);
        activations.load_for(lane, x, &[&matrix]);
        let mut out = vec![f32::NAN; x.len() / self.cols * self.rows];
        matmul(lane, &matrix, &activations, &mut out, Epilogue::Store);
        out
    }
}

/// Exact products of the dequantised weights and the quantised inputs, and how far single precision may be from each.
///
/// A value is a sum of `n` rounded terms (one for each scale and one for each minimum) of total magnitude `m`, each
/// with at most 4 roundings of its own: the error is below `(n + 4) · 2⁻²⁴ · m`, doubled here for second order. Where
/// a minimum and its codes cancel, the magnitude is that of both parts.
fn oracle(case: Case, x: &[f32], bytes: &[u8]) -> Vec<(f64, f64)> {
    let row_bytes = case.format.row_bytes(case.cols).expect("whole blocks");
    let mut terms = case.cols as f64;
    if !case.format.is_float() {
        terms = 4.0 * (case.cols / GROUP) as f64;
    }
    let rows: Vec<Vec<f32>> = bytes
        .chunks_exact(row_bytes)
        .map(|row| {
            let mut values = vec![0.0; case.cols];
            dequantize(case.format, row, &mut values).expect("a row");
            values
        })
        .collect();
    let mut out = Vec::new();
    for token in x.chunks_exact(case.cols) {
        let token =
            if case.format.is_float() { token.iter().copied().map(f64::from).collect() } else { quantised(token) };
        for row in &rows {
            let value: f64 = row.iter().zip(&token).map(|(w, x)| f64::from(*w) * x).sum();
            let mut magnitude: f64 = row.iter().zip(&token).map(|(w, x)| (f64::from(*w) * x).abs()).sum();
            if !case.format.is_float() {
                for (row, token) in row.chunks(GROUP).zip(token.chunks(GROUP)) {
                    let most = row.iter().fold(0f32, |most, w| most.max(w.abs()));
                    magnitude += 4.0 * f64::from(most) * token.iter().map(|x| x.abs()).sum::<f64>();
                }
            }
            out.push((value, 2.0 * (terms + 4.0) * magnitude / f64::from(1 << 24)));
        }
    }
    out
}

/// The one runner: the case on every instruction set of this machine.
fn check(case: Case) {
    let (bytes, x, lane) = (case.weights(), case.inputs(), Lane::single());
    let expected = oracle(case, &x, &bytes);
    let mut fused: Option<(Isa, Vec<u32>)> = None;
    for isa in Isa::available() {
        let out = case.product(isa, &lane, &x, &bytes);
        for (index, (found, (expected, tolerance))) in out.iter().zip(&expected).enumerate() {
            let beyond = *expected != 0.0 && expected.abs() > f64::from(f32::MAX) / 2.0;
            assert!(
                beyond || (f64::from(*found) - expected).abs() <= *tolerance,
                "{isa} {case:?}: token {} row {}: expected {expected} ± {tolerance:e}, found {found}",
                index / case.rows,
                index % case.rows,
            );
        }
        // Instruction sets that fuse multiply and add agree to the bit.
        if isa != Isa::Portable {
            match &fused {
                Some((other, expected)) => assert!(bits(&out) == *expected, "{isa} and {other} differ: {case:?}"),
                None => fused = Some((isa, bits(&out))),
            }
        }
    }
}

fn cols_of(format: Format, random: &mut Random) -> usize {
    // Floats go beyond one block of columns, and beyond two.
    if format.is_float() {
        1 + random.below(150) * (1 + random.below(7))
    } else {
        format.block_len() * (1 + random.below(5))
    }
}

/// A function of rows.
type InPlace = fn(Isa, &mut [f32]);

#[test]
fn every_instruction_set_computes_every_format_at_odd_shapes() {
    for format in Format::ALL {
        for seed in 0..12 {
            let mut random = Random(seed);
            let cols = cols_of(format, &mut random);
            let (rows, tokens) = (1 + random.below(50), 1 + random.below(40));
            check(Case { format, kind: Weights::Random, rows, cols, tokens, seed });
        }
    }
}

#[test]
fn extreme_weights_neither_saturate_nor_overflow() {
    for format in Format::ALL {
        for kind in [Weights::Largest, Weights::Smallest, Weights::Zero, Weights::MinusZero] {
            for tokens in [1, 5, 8] {
                let cols = 2 * format.block_len().max(GROUP);
                check(Case { format, kind, rows: 17, cols, tokens, seed: 7 });
            }
        }
    }
}

#[test]
fn saturating_inputs_against_saturating_weights_stay_exact() {
    // Every code is ±127, against the largest and smallest codes of each format: what 16-bit sums could overflow at.
    for format in Format::ALL {
        for kind in [Weights::Largest, Weights::Smallest] {
            let case = Case { format, kind, rows: 16, cols: format.block_len().max(GROUP), tokens: 2, seed: 1 };
            let bytes = case.weights();
            let mut x = vec![1.0f32; case.cols];
            x.extend(vec![-1.0f32; case.cols]);
            let expected = oracle(case, &x, &bytes);
            for isa in Isa::available() {
                let out = case.product(isa, &Lane::single(), &x, &bytes);
                for (found, (expected, tolerance)) in out.iter().zip(&expected) {
                    assert!(
                        (f64::from(*found) - expected).abs() <= *tolerance,
                        "{isa} {case:?}: expected {expected} ± {tolerance:e}, found {found}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_token_has_the_same_bits_alone_in_any_batch_and_on_any_number_of_threads() {
    for format in Format::ALL {
        let cols = if format.is_float() { 477 } else { 256 };
        let case = Case { format, kind: Weights::Random, rows: 83, cols, tokens: 29, seed: 3 };
        let (bytes, x) = (case.weights(), case.inputs());
        for isa in Isa::available() {
            let product = |lane: &Lane, x: &[f32]| bits(&case.product(isa, lane, x, &bytes));
            let whole = product(&Lane::single(), &x);
            for threads in [2, 3] {
                let lane = Lane::spawn(threads, None).expect("threads");
                assert!(product(&lane, &x) == whole, "{isa} {format}: {threads} threads change bits");
            }
            for chunk in [1, 2, 3, 5, 8, 13] {
                let mut cut = Vec::new();
                for part in x.chunks(chunk * cols) {
                    cut.extend(product(&Lane::single(), part));
                }
                assert!(cut == whole, "{isa} {format}: batches of {chunk} change bits");
            }
        }
    }
}

#[test]
fn epilogues_add_the_bias_or_what_was_there() {
    let lane = Lane::single();
    for format in [Format::Q4_1, Format::F16] {
        let case = Case { format, kind: Weights::Random, rows: 37, cols: 64, tokens: 11, seed: 5 };
        let (bytes, x) = (case.weights(), case.inputs());
        let mut random = Random(9);
        let (bias, residual) = (random.floats(case.rows), random.floats(case.rows * case.tokens));
        for isa in Isa::available() {
            let plain = case.product(isa, &lane, &x, &bytes);
            let matrix = Matrix::pack(isa, &lane, format, case.rows, case.cols, &bytes).expect("a matrix");
            let mut activations = Activations::new(isa);
            activations.load(&lane, &x, case.cols);
            let (mut biased, mut added) = (vec![0.0; plain.len()], residual.clone());
            matmul_many(
                &lane,
                &activations,
                &mut [
                    Product::with(&matrix, &mut biased, Epilogue::Bias(&bias)),
                    Product::with(&matrix, &mut added, Epilogue::Accumulate),
                ],
            );
            for (index, value) in plain.iter().enumerate() {
                assert_eq!(biased[index], value + bias[index % case.rows], "{isa} {format}: bias at {index}");
                assert_eq!(added[index], value + residual[index], "{isa} {format}: residual at {index}");
            }
        }
    }
}

#[test]
fn epilogues_add_bias_and_residual_or_take_a_function_as_the_steps_do_one_by_one() {
    let lane = Lane::single();
    for format in [Format::Q8_0, Format::F32, Format::F16] {
        let case = Case { format, kind: Weights::Random, rows: 53, cols: 416, tokens: 31, seed: 8 };
        let (bytes, x) = (case.weights(), case.inputs());
        let mut random = Random(9);
        let (bias, residual) = (random.floats(case.rows), random.floats(case.rows * case.tokens));
        for isa in Isa::available() {
            let mut biased = case.product(isa, &lane, &x, &bytes);
            for row in biased.chunks_exact_mut(case.rows) {
                row.iter_mut().zip(&bias).for_each(|(value, bias)| *value += bias);
            }
            let matrix = Matrix::pack(isa, &lane, format, case.rows, case.cols, &bytes).expect("a matrix");
            let mut activations = Activations::new(isa);
            activations.load_for(&lane, &x, &[&matrix]);
            let mut added = residual.clone();
            matmul(&lane, &matrix, &activations, &mut added, Epilogue::AccumulateBias(&bias));
            for (index, (found, value)) in added.iter().zip(&biased).enumerate() {
                assert_eq!(*found, value + residual[index], "{isa} {format}: residual at {index}");
            }
            let functions: [(Nonlinearity, InPlace); 4] = [
                (Nonlinearity::GeluTanh, gelu_tanh),
                (Nonlinearity::GeluErf, gelu_erf),
                (Nonlinearity::GeluQuick, gelu_quick),
                (Nonlinearity::Silu, silu),
            ];
            for (function, in_place) in functions {
                let (mut expected, mut found) = (biased.clone(), vec![f32::NAN; biased.len()]);
                in_place(isa, &mut expected);
                matmul(&lane, &matrix, &activations, &mut found, Epilogue::Activate(Some(&bias), function));
                assert!(bits(&found) == bits(&expected), "{isa} {format}: {function:?} differs");
            }
        }
    }
}

#[test]
fn a_norm_loaded_at_once_has_the_bits_of_the_two_steps() {
    let lane = Lane::spawn(2, None).expect("threads");
    for format in [Format::F16, Format::Q4_0] {
        let case = Case { format, kind: Weights::Random, rows: 20, cols: 416, tokens: 15, seed: 11 };
        let (bytes, x) = (case.weights(), case.inputs());
        let mut random = Random(3);
        let (weight, bias) = (random.floats(case.cols), random.floats(case.cols));
        for isa in Isa::available() {
            let matrix = Matrix::pack(isa, &lane, format, case.rows, case.cols, &bytes).expect("a matrix");
            let mut normed = vec![0.0; x.len()];
            layer_norm(isa, &x, &weight, &bias, 1e-6, &mut normed);
            let expected = case.product(isa, &lane, &normed, &bytes);
            let mut activations = Activations::new(isa);
            activations.load_layer_norm(&lane, &x, &weight, &bias, 1e-6, &[&matrix]);
            let mut found = vec![0.0; expected.len()];
            matmul(&lane, &matrix, &activations, &mut found, Epilogue::Store);
            assert!(bits(&found) == bits(&expected), "{isa} {format}");
        }
    }
}

#[test]
fn inputs_of_matrices_in_different_formats_are_loaded_once() {
    let lane = Lane::single();
    let coded = Case { format: Format::Q8_0, kind: Weights::Random, rows: 20, cols: 96, tokens: 6, seed: 2 };
    let float = Case { format: Format::F32, ..coded };
    let x = coded.inputs();
    for isa in Isa::available() {
        let a = Matrix::pack(isa, &lane, coded.format, 20, 96, &coded.weights()).expect("a matrix");
        let b = Matrix::pack(isa, &lane, float.format, 20, 96, &float.weights()).expect("a matrix");
        let mut activations = Activations::new(isa);
        activations.load_for(&lane, &x, &[&a, &b]);
        let (mut out_a, mut out_b) = (vec![0.0; 120], vec![0.0; 120]);
        matmul_many(&lane, &activations, &mut [Product::new(&a, &mut out_a), Product::new(&b, &mut out_b)]);
        assert_eq!(out_a, coded.product(isa, &lane, &x, &coded.weights()), "{isa}");
        assert_eq!(out_b, float.product(isa, &lane, &x, &float.weights()), "{isa}");
    }
}

#[test]
fn a_row_read_back_from_the_packed_matrix_is_the_row_of_the_file() {
    for format in Format::ALL {
        let case = Case { format, kind: Weights::Random, rows: 35, cols: 512, tokens: 1, seed: 4 };
        let bytes = case.weights();
        let matrix = Matrix::pack(Isa::detect(), &Lane::single(), format, case.rows, case.cols, &bytes).expect("it");
        for (index, row) in bytes.chunks_exact(bytes.len() / case.rows).enumerate() {
            let (mut expected, mut found) = (vec![0.0; case.cols], vec![0.0; case.cols]);
            dequantize(format, row, &mut expected).expect("a row");
            matrix.row(index, &mut found);
            assert!(bits(&found) == bits(&expected), "{format}: row {index} differs");
        }
    }
}

#[test]
fn an_input_that_is_not_a_number_or_infinite_spoils_its_own_token_and_no_other() {
    for format in Format::ALL {
        let case = Case { format, kind: Weights::Random, rows: 18, cols: 256, tokens: 5, seed: 6 };
        let (bytes, x) = (case.weights(), case.inputs());
        for isa in Isa::available() {
            let clean = case.product(isa, &Lane::single(), &x, &bytes);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut spoiled = x.clone();
                spoiled[2 * case.cols + 100] = bad;
                let out = case.product(isa, &Lane::single(), &spoiled, &bytes);
                for (token, (out, clean)) in out.chunks(case.rows).zip(clean.chunks(case.rows)).enumerate() {
                    if token == 2 {
                        assert!(out.iter().all(|value| !value.is_finite()), "{isa} {format}: {bad} became {out:?}");
                    } else {
                        assert!(bits(out) == bits(clean), "{isa} {format}: {bad} of token 2 reaches token {token}");
                    }
                }
            }
        }
    }
}

#[test]
fn bytes_that_do_not_fit_the_shape_are_an_error() {
    let lane = Lane::single();
    let pack = |rows, cols, bytes: &[u8]| Matrix::pack(Isa::Portable, &lane, Format::Q4_0, rows, cols, bytes);
    assert_eq!(
        pack(2, 33, &[0; 36]).expect_err("33 columns"),
        ShapeError::UnevenBlocks { format: Format::Q4_0, cols: 33, block: 32 }
    );
    assert_eq!(
        pack(2, 32, &[0; 35]).expect_err("a byte is missing").to_string(),
        "Q4_0 [2, 32]: expected 36 bytes, found 35"
    );
    assert!(matches!(pack(usize::MAX, 32, &[]), Err(ShapeError::TooLarge { .. })));
    assert!(matches!(pack(usize::MAX / 18, 1 << 40, &[]), Err(ShapeError::TooLarge { .. })));
    assert_eq!(pack(0, 32, &[]).expect("no rows").packed_bytes(), 0);
}
