//! Lookups, norms, gates, sums and the largest of rows.

use nanomind_kernels::gpu::{Matrix, Results, Rows, Tokens};
use nanomind_kernels::{Format, Isa, argmax, dequantize, layer_norm, rms_norm};

use crate::common::{Random, Weights, bits, weights};
use crate::{KERNELS, expect_close, read, rows};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

#[test]
fn tokens_are_looked_up_in_tables_of_every_format() {
    let mut random = Random(11);
    for format in Format::ALL {
        let cols = if format.block_len() == 256 { 512 } else { 96 };
        let bytes = weights(&mut random, Weights::Random, format, 50, cols);
        let mut values = vec![0.0; 50 * cols];
        dequantize(format, &bytes, &mut values).expect("whole blocks");
        let table = Matrix::upload(&KERNELS, format, 50, cols, &bytes).expect("uploaded");
        let tokens = Tokens::new(&KERNELS, 4).expect("memory");
        tokens.write(&KERNELS, 1, &[49, 0, 17]).expect("sent");
        let out = Rows::new(&KERNELS, 3, cols).expect("memory");
        let mut pass = KERNELS.pass();
        pass.embed(&table, &tokens, 1, out.all()).expect("a kernel");
        pass.finish().expect("submitted").wait().expect("done");
        let expected = [49, 0, 17].into_iter().flat_map(|token: usize| wide(&values[token * cols..(token + 1) * cols]));
        expect_close(&format!("{format}"), &read(&out), &expected.collect::<Vec<f64>>());
    }
}

#[test]
fn norms_are_those_of_the_cpu() {
    let mut random = Random(12);
    for width in [5, 128, 300] {
        let x: Vec<f32> = random.floats(3 * width).iter().map(|value| value + 1.0).collect();
        let (gain, bias) = (random.floats(width), random.floats(width));
        let (input, out) = (rows(width, &x), Rows::new(&KERNELS, 3, width).expect("memory"));
        let gains = Rows::of(&KERNELS, &gain).expect("memory");
        let biases = Rows::of(&KERNELS, &bias).expect("memory");
        let mut expected = vec![0.0; 3 * width];
        let mut pass = KERNELS.pass();
        pass.rms_norm(input.all(), &gains, 1e-5, out.all()).expect("a kernel");
        pass.finish().expect("submitted").wait().expect("done");
        rms_norm(Isa::Portable, &x, &gain, 1e-5, &mut expected);
        expect_close("rms", &read(&out), &wide(&expected));
        let mut pass = KERNELS.pass();
        pass.layer_norm(input.all(), &gains, &biases, 1e-5, out.all()).expect("a kernel");
        pass.finish().expect("submitted").wait().expect("done");
        layer_norm(Isa::Portable, &x, &gain, &bias, 1e-5, &mut expected);
        expect_close("layer", &read(&out), &wide(&expected));
    }
}

#[test]
fn gates_and_sums_go_value_by_value() {
    let mut random = Random(13);
    let (gate, up) = (random.floats(2 * 130), random.floats(2 * 130));
    let (gates, ups, out) = (rows(130, &gate), rows(130, &up), Rows::new(&KERNELS, 2, 130).expect("memory"));
    let mut pass = KERNELS.pass();
    pass.silu_mul(gates.all(), ups.all(), out.all()).expect("a kernel");
    pass.add(ups.all(), out.all()).expect("a kernel");
    assert_eq!(pass.steps(), 2);
    pass.finish().expect("submitted").wait().expect("done");
    let both = wide(&gate).into_iter().zip(wide(&up));
    expect_close(
        "both",
        &read(&out),
        &both.map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up + up).collect::<Vec<_>>(),
    );
}

#[test]
fn the_first_of_the_largest_values_is_picked_as_on_the_cpu() {
    let mut random = Random(14);
    for width in [1, 7, 300, 5000, 49_152] {
        let mut x = random.floats(3 * width);
        // Twice the largest; a row with one that is no number; and one of those only.
        x[width / 3] = 9.0;
        x[width / 2] = 9.0;
        x[width] = f32::NAN;
        x[2 * width..].fill(f32::NAN);
        let (input, out) = (rows(width, &x), Tokens::new(&KERNELS, 5).expect("memory"));
        let results = Results::new(&KERNELS, 3).expect("memory");
        let mut pass = KERNELS.pass();
        pass.argmax(input.all(), &out, 1).expect("a kernel");
        pass.fetch_tokens(&out, 1, 3, &results, 0);
        let done = pass.finish().expect("submitted");
        let mut found = [0; 3];
        results.tokens(done, &mut found).expect("read");
        let expected: Vec<u32> = x.chunks_exact(width).map(|row| argmax(Isa::Portable, row) as u32).collect();
        assert_eq!(found[..], expected, "rows of {width}");
    }
}

#[test]
fn candidates_are_the_largest_values_in_order_with_their_places() {
    let mut random = Random(16);
    for (width, k) in [(1, 1), (5, 8), (1024, 3), (3000, 40), (151_936, 64)] {
        let mut x = random.floats(2 * width);
        x[width / 3] = 9.0;
        x[width / 2] = 9.0;
        x[width] = f32::NAN;
        let (input, out) = (rows(width, &x), Tokens::new(&KERNELS, 4 * k + 1).expect("memory"));
        let results = Results::new(&KERNELS, 4 * k).expect("memory");
        let mut pass = KERNELS.pass();
        pass.top_k(input.all(), k, &out, 1).expect("a kernel");
        pass.fetch_tokens(&out, 1, 4 * k, &results, 0);
        let mut found = vec![0; 4 * k];
        results.tokens(pass.finish().expect("submitted"), &mut found).expect("read");
        for (row, found) in x.chunks_exact(width).zip(found.chunks_exact(2 * k)) {
            let mut order: Vec<usize> = (0..width).filter(|at| !row[*at].is_nan()).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
            let expected = order.iter().take(k).flat_map(|at| [row[*at].to_bits(), *at as u32]);
            let count = 2 * k.min(order.len());
            assert_eq!(found[..count], expected.collect::<Vec<u32>>(), "{k} of {width}");
            assert!(found[count..].chunks_exact(2).all(|pair| pair[1] == u32::MAX), "{k} of {width}: {found:?}");
        }
    }
}

#[test]
fn rows_come_back_and_are_copied_bit_for_bit() {
    let mut random = Random(15);
    let x = random.floats(4 * 13);
    let (from, to) = (rows(13, &x), Rows::new(&KERNELS, 2, 13).expect("memory"));
    let results = Results::new(&KERNELS, 30).expect("memory");
    let mut pass = KERNELS.pass();
    pass.copy(from.part(1..3), to.all());
    pass.fetch_rows(to.all(), &results, 2);
    let mut found = vec![0.0; 28];
    results.values(pass.finish().expect("submitted"), &mut found).expect("read");
    assert_eq!(bits(&found[2..]), bits(&x[13..39]));
    assert_eq!(bits(&read(&to)), bits(&x[13..39]));
}
