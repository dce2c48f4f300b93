//! Products of every format, by both kernels, with every epilogue.

use nanomind_kernels::gpu::{self, Epilogue, Input, Kernels, Matrix, Product, Rows, Tokens};
use nanomind_kernels::{Format, Nonlinearity, dequantize};

use crate::common::{Random, Weights, weights};
use crate::{KERNELS, expect_close, read, rows};

/// Few tokens take one kernel, more another, many a third; the last of a tile are not a whole tile.
const TOKENS: [usize; 4] = [1, 3, 7, 70];

/// For what all kernels share: compiling takes longer than computing.
const FEW_TOKENS: [usize; 2] = [2, 7];

/// Weights of a shape with their bytes.
struct Case {
    format: Format,
    rows: usize,
    cols: usize,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

fn case(random: &mut Random, format: Format, rows: usize, cols: usize) -> Case {
    let bytes = weights(random, Weights::Random, format, rows, cols);
    let mut values = vec![0.0; rows * cols];
    dequantize(format, &bytes, &mut values).expect("whole blocks");
    Case { format, rows, cols, bytes, values }
}

impl Case {
    fn weights(&self) -> gpu::Weights<'_> {
        gpu::Weights { format: self.format, rows: self.rows, cols: self.cols, bytes: &self.bytes }
    }

    fn uploaded(&self) -> Matrix {
        Matrix::upload(&KERNELS, self.format, self.rows, self.cols, &self.bytes).expect("uploaded")
    }

    /// `[tokens, rows]` of the oracle.
    fn product(&self, input: &[f64]) -> Vec<f64> {
        let dot = |row: &[f32], x: &[f64]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
        let tokens = input.chunks_exact(self.cols);
        tokens.flat_map(|x| self.values.chunks_exact(self.cols).map(move |row| dot(row, x))).collect()
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn multiply(input: Input<'_>, matrix: &Matrix, epilogue: Epilogue<'_>, out: &Rows) {
    let mut pass = KERNELS.pass();
    pass.product(input, matrix, epilogue, out.all()).expect("a kernel");
    pass.finish().expect("submitted").wait().expect("done");
}

/// Columns of a few blocks of the format, and of no whole number of what a tile takes at once.
fn cols(format: Format) -> usize {
    match format.block_len() {
        1 => 75,
        32 => 416,
        _ => 768,
    }
}

#[test]
fn every_format_multiplies_as_its_dequantised_values_do() {
    let mut random = Random(1);
    for format in Format::ALL {
        let case = case(&mut random, format, 37, cols(format));
        let matrix = case.uploaded();
        assert!(matrix.bytes() as f64 <= 1.06 * case.bytes.len() as f64 + 400.0, "{format}: {} bytes", matrix.bytes());
        for tokens in FEW_TOKENS {
            let x = random.floats(tokens * case.cols);
            let out = Rows::new(&KERNELS, tokens, case.rows).expect("memory");
            multiply(Input::Rows(rows(case.cols, &x).all()), &matrix, Epilogue::Store, &out);
            expect_close(&format!("{format}, {tokens} tokens"), &read(&out), &case.product(&wide(&x)));
        }
    }
}

#[test]
fn devices_without_subgroups_multiply_alike() {
    let mut random = Random(7);
    let kernels = Kernels::plain(KERNELS.gpu().clone()).expect("kernels");
    let case = case(&mut random, Format::Q4_1, 37, 416);
    let (matrix, x) = (case.uploaded(), random.floats(case.cols));
    let gains = Rows::of(&KERNELS, &vec![1.0; case.cols]).expect("memory");
    let (input, out) = (rows(case.cols, &x), Rows::new(&KERNELS, 1, case.rows).expect("memory"));
    let square: f64 = x.iter().map(|value| f64::from(*value).powi(2)).sum();
    let normed: Vec<f64> = wide(&x).iter().map(|value| value / (square / case.cols as f64).sqrt()).collect();
    for kernels in [&kernels, &*KERNELS] {
        let mut pass = kernels.pass();
        pass.product(Input::RmsNormed(input.all(), &gains, 0.0), &matrix, Epilogue::Store, out.all())
            .expect("a kernel");
        pass.finish().expect("submitted").wait().expect("done");
        expect_close("few", &read(&out), &case.product(&normed));
    }
}

#[test]
fn epilogues_add_biases_and_residuals_and_apply_functions() {
    let mut random = Random(2);
    let case = case(&mut random, Format::Q4_0, 40, 96);
    let (matrix, bias) = (case.uploaded(), random.floats(case.rows));
    let biases = Rows::of(&KERNELS, &bias).expect("memory");
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let silu = |x: f64| x * sigmoid(x);
    let tanh = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044_715 * x * x * x)).tanh());
    let quick = |x: f64| x * sigmoid(1.702 * x);
    for tokens in FEW_TOKENS {
        let (x, residual) = (random.floats(tokens * case.cols), random.floats(tokens * case.rows));
        let input = rows(case.cols, &x);
        let product = case.product(&wide(&x));
        let expected = |of: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
            let parts = product.iter().zip(residual.iter().zip(bias.iter().cycle()));
            parts.map(|(value, (residual, bias))| of(*value, f64::from(*residual), f64::from(*bias))).collect()
        };
        let check = |what: &str, epilogue: Epilogue<'_>, of: &dyn Fn(f64, f64, f64) -> f64| {
            let out = rows(case.rows, &residual);
            multiply(Input::Rows(input.all()), &matrix, epilogue, &out);
            expect_close(&format!("{what}, {tokens} tokens"), &read(&out), &expected(of));
        };
        check("bias", Epilogue::Bias(&biases), &|value, _, bias| value + bias);
        check("residual", Epilogue::Accumulate, &|value, residual, _| value + residual);
        check("both", Epilogue::AccumulateBias(&biases), &|value, residual, bias| value + residual + bias);
        let activate = |function| Epilogue::Activate(Some(&biases), function);
        check("silu", activate(Nonlinearity::Silu), &|value, _, bias| silu(value + bias));
        check("gelu", activate(Nonlinearity::GeluTanh), &|value, _, bias| tanh(value + bias));
        // The two differ by less than 5e-4 where the values are.
        check("gelu by erf", activate(Nonlinearity::GeluErf), &|value, _, bias| {
            let x = value + bias;
            0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
        });
        check("quick gelu", Epilogue::Activate(None, Nonlinearity::GeluQuick), &|value, _, _| quick(value));
    }
}

/// The error function by its series, for |x| where it converges fast enough, and 1 beyond.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn norms_are_taken_on_the_way_into_a_product() {
    let mut random = Random(3);
    let case = case(&mut random, Format::Q8_0, 50, 96);
    let (matrix, gain) = (case.uploaded(), random.floats(case.cols));
    let gains = Rows::of(&KERNELS, &gain).expect("memory");
    for tokens in TOKENS {
        let x: Vec<f32> = random.floats(tokens * case.cols).iter().map(|value| 3.0 * value).collect();
        let normed = x.chunks_exact(case.cols).flat_map(|row| {
            let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            let factor = 1.0 / (square / case.cols as f64 + 1e-5).sqrt();
            row.iter().zip(&gain).map(move |(value, gain)| f64::from(*value) * factor * f64::from(*gain))
        });
        let expected = case.product(&normed.collect::<Vec<f64>>());
        let out = Rows::new(&KERNELS, tokens, case.rows).expect("memory");
        let input = rows(case.cols, &x);
        multiply(Input::RmsNormed(input.all(), &gains, 1e-5), &matrix, Epilogue::Store, &out);
        expect_close(&format!("{tokens} tokens"), &read(&out), &expected);
    }
}

#[test]
fn a_gate_and_what_it_lets_through_are_one_step_where_they_lie_together() {
    let mut random = Random(4);
    let (gate, up) = (case(&mut random, Format::Q4K, 33, 256), case(&mut random, Format::Q4K, 33, 256));
    let other = case(&mut random, Format::Q6K, 33, 256);
    let matrices = [&gate, &up, &other].map(Case::weights);
    let matrices = Matrix::upload_together(&KERNELS, matrices).expect("uploaded");
    let biases = [random.floats(33), random.floats(33)];
    // Memory of their own: what no other test takes places in lies together.
    let alone = Kernels::new(KERNELS.gpu().clone()).expect("kernels");
    let kept = biases.each_ref().map(|bias| Rows::of(&alone, bias).expect("memory"));
    for (tokens, up, up_matrix, steps) in
        TOKENS.map(|tokens| (tokens, &up, &matrices[1], 1)).into_iter().chain([(7, &other, &matrices[2], 3)])
    {
        let x = random.floats(tokens * 256);
        let input = rows(256, &x);
        for with_biases in [false, true] {
            let bias = |at: usize, row: usize| if with_biases { f64::from(biases[at][row % 33]) } else { 0.0 };
            let both = gate.product(&wide(&x)).into_iter().zip(up.product(&wide(&x))).enumerate();
            let both = both.map(|(row, (gate, up))| (gate + bias(0, row), up + bias(1, row)));
            let expected: Vec<f64> = both.map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
            let out = Rows::new(&KERNELS, tokens, 33).expect("memory");
            let spare = Rows::new(&KERNELS, tokens, 33).expect("memory");
            let kept = kept.each_ref().map(|bias| with_biases.then_some(bias));
            let mut pass = KERNELS.pass();
            pass.gate(Input::Rows(input.all()), [&matrices[0], up_matrix], kept, out.all(), spare.all())
                .expect("a kernel");
            assert_eq!(pass.steps(), steps);
            pass.finish().expect("submitted").wait().expect("done");
            expect_close(&format!("{}, {tokens} tokens", up.format), &read(&out), &expected);
        }
    }
}

#[test]
fn queries_keys_and_values_are_one_step_where_they_lie_together() {
    let mut random = Random(5);
    for (formats, steps) in [([Format::Q5_0; 3], 1), ([Format::Q5_0, Format::Q5_0, Format::Q8_0], 2)] {
        let parts = [(0, 40), (1, 8), (2, 8)].map(|(at, rows)| case(&mut random, formats[at], rows, 64));
        let matrices = Matrix::upload_together(&KERNELS, parts.each_ref().map(Case::weights)).expect("uploaded");
        let bias: Vec<Vec<f32>> = parts.iter().map(|part| random.floats(part.rows)).collect();
        let alone = Kernels::new(KERNELS.gpu().clone()).expect("kernels");
        let biases: Vec<Rows> = bias.iter().map(|bias| Rows::of(&alone, bias).expect("memory")).collect();
        for tokens in FEW_TOKENS {
            let x = random.floats(tokens * 64);
            let (input, out) = (rows(64, &x), Rows::new(&KERNELS, tokens, 56).expect("memory"));
            let columns = [0..40, 40..48, 48..56];
            let products = [0, 1, 2].map(|at: usize| Product {
                matrix: &matrices[at],
                epilogue: Epilogue::Bias(&biases[at]),
                out: out.all().columns(columns[at].clone()),
            });
            let mut pass = KERNELS.pass();
            pass.products(Input::Rows(input.all()), &products).expect("a kernel");
            assert_eq!(pass.steps(), steps);
            pass.finish().expect("submitted").wait().expect("done");
            let of = |x: &[f32]| -> Vec<f64> {
                let each = parts.iter().zip(&bias);
                each.flat_map(|(part, bias)| part.product(&wide(x)).into_iter().zip(wide(bias)).map(|(a, b)| a + b))
                    .collect()
            };
            expect_close("side by side", &read(&out), &x.chunks_exact(64).flat_map(of).collect::<Vec<f64>>());
        }
    }
}

#[test]
fn some_rows_and_columns_are_written_and_their_neighbours_are_not() {
    let mut random = Random(6);
    let case = case(&mut random, Format::F16, 16, 32);
    let matrix = case.uploaded();
    for tokens in [2, 9] {
        let (x, before) = (random.floats(12 * 64), random.floats(12 * 40));
        let (input, out) = (rows(64, &x), rows(40, &before));
        let mut pass = KERNELS.pass();
        let from = Input::Rows(input.part(1..1 + tokens).columns(32..64));
        pass.product(from, &matrix, Epilogue::Store, out.part(2..2 + tokens).columns(8..24)).expect("a kernel");
        pass.finish().expect("submitted").wait().expect("done");
        let mut expected = wide(&before);
        for token in 0..tokens {
            let values = case.product(&wide(&x[(1 + token) * 64 + 32..(2 + token) * 64]));
            expected[(2 + token) * 40 + 8..][..16].copy_from_slice(&values);
        }
        expect_close(&format!("{tokens} tokens"), &read(&out), &expected);
    }
}

/// Where there are many rows, invocations in step share several.
#[test]
fn a_head_of_many_rows_multiplies_as_its_dequantised_values_do() {
    let mut random = Random(6);
    for format in [Format::Q4_0, Format::Q6K] {
        let case = case(&mut random, format, 40_003, 256);
        let (x, out) = (random.floats(256), Rows::new(&KERNELS, 1, case.rows).expect("memory"));
        multiply(Input::Rows(rows(256, &x).all()), &case.uploaded(), Epilogue::Store, &out);
        expect_close(&format!("{format} of many rows"), &read(&out), &case.product(&wide(&x)));
    }
    let pair = [0, 1].map(|_| case(&mut random, Format::Q4_1, 20_001, 32));
    let matrices = Matrix::upload_together(&KERNELS, pair.each_ref().map(Case::weights)).expect("uploaded");
    let x = random.floats(32);
    let new = || Rows::new(&KERNELS, 1, 20_001).expect("memory");
    let (input, out, spare) = (rows(32, &x), new(), new());
    let mut pass = KERNELS.pass();
    pass.gate(Input::Rows(input.all()), [&matrices[0], &matrices[1]], [None; 2], out.all(), spare.all())
        .expect("a kernel");
    pass.finish().expect("submitted").wait().expect("done");
    let [gate, up] = pair.each_ref().map(|case| case.product(&wide(&x)));
    let expected: Vec<f64> = gate.iter().zip(&up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
    expect_close("a gate of many rows", &read(&out), &expected);
}

#[test]
fn weights_beyond_what_a_shader_reaches_are_cut_and_multiply_alike() {
    let most = KERNELS.gpu().adapter().limits.binding_bytes as usize;
    // As much as Mesa binds at once, and a little more; cards bind more and need not cut it.
    let (cols, rows_of_it) = (4096, (most.min(128 << 20)) / (4 * 4096) + 5);
    let value = |row: usize| row as f32 / 1024.0;
    let mut values = vec![0_f32; rows_of_it * cols];
    for (row, values) in values.chunks_exact_mut(cols).enumerate() {
        values.fill(value(row));
    }
    let matrix =
        Matrix::upload(&KERNELS, Format::F32, rows_of_it, cols, bytemuck::cast_slice(&values)).expect("uploaded");
    let tokens = Tokens::new(&KERNELS, 2).expect("memory");
    tokens.write(&KERNELS, 0, &[rows_of_it as u32 - 1, 1]).expect("sent");
    let (input, out) =
        (Rows::new(&KERNELS, 2, cols).expect("memory"), Rows::new(&KERNELS, 2, rows_of_it).expect("memory"));
    let mut pass = KERNELS.pass();
    pass.embed(&matrix, &tokens, 0, input.all()).expect("a kernel");
    pass.product(Input::Rows(input.all()), &matrix, Epilogue::Store, out.all()).expect("a kernel");
    pass.finish().expect("submitted").wait().expect("done");
    let product = |token: usize, row: usize| cols as f64 * f64::from(value(token)) * f64::from(value(row));
    let expected =
        [rows_of_it - 1, 1].into_iter().flat_map(|token| (0..rows_of_it).map(move |row| product(token, row)));
    expect_close("cut", &read(&out), &expected.collect::<Vec<f64>>());
}

#[test]
fn a_shape_that_does_not_fit_its_bytes_is_an_error() {
    let error = Matrix::upload(&KERNELS, Format::Q4_0, 2, 48, &[0; 54]).expect_err("uneven").to_string();
    assert_eq!(error, "Q4_0: a row of 48 columns is not a whole number of blocks of 32");
    let error = Matrix::upload(&KERNELS, Format::Q4_0, 2, 64, &[0; 71]).expect_err("short").to_string();
    assert_eq!(error, "Q4_0 [2, 64]: expected 72 bytes, found 71");
}
