//! Convolutions along a sequence against ONNX Runtime's, whatever the instruction set, the format and the batch.

mod common;

use common::{Random, bits};
use nanomind_hal::Lane;
use nanomind_kernels::{Activations, Convolution, Epilogue, Format, Isa, Matrix, ShapeError, matmul};

/// Made by `tests/fixtures/convolution.py`: sections of a head of 6 words (frames, channels, rows, kernel, stride,
/// padding), then in single precision the input `[frames, channels]`, the weights `[rows, channels, kernel]`, the bias
/// and what came of them, `[outputs, rows]`. Their values are small integers, so that every sum is exact.
const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/convolution.bin");

/// Takes `count` words off the front of the fixture.
fn words(rest: &mut &[u8], count: usize) -> Vec<u32> {
    let (head, tail) = rest.split_at(4 * count);
    *rest = tail;
    head.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

fn floats(rest: &mut &[u8], count: usize) -> Vec<f32> {
    words(rest, count).into_iter().map(f32::from_bits).collect()
}

fn convolve(
    isa: Isa,
    lane: &Lane,
    convolution: &Convolution,
    rows: usize,
    weight: &[f32],
    x: &[f32],
    epilogue: Epilogue<'_>,
) -> Vec<f32> {
    let bytes: Vec<u8> = weight.iter().flat_map(|value| value.to_le_bytes()).collect();
    let arranged = convolution.arrange(Format::F32, rows, &bytes).expect("weights");
    let matrix = Matrix::pack(isa, lane, Format::F32, rows, convolution.columns(), &arranged).expect("a matrix");
    let mut activations = Activations::new(isa);
    activations.load_windows(lane, x, convolution, &[&matrix]);
    let mut out = vec![f32::NAN; activations.tokens() * rows];
    matmul(lane, &matrix, &activations, &mut out, epilogue);
    out
}

#[test]
fn convolutions_are_those_of_onnx_runtime() {
    let mut rest = FIXTURE;
    while !rest.is_empty() {
        let head = words(&mut rest, 6).into_iter().map(|word| word as usize).collect::<Vec<_>>();
        let [frames, channels, rows, kernel, stride, padding] = head[..] else { panic!("six words") };
        let convolution = Convolution { channels, kernel, stride, padding };
        let (x, weight) = (floats(&mut rest, frames * channels), floats(&mut rest, rows * convolution.columns()));
        let bias = floats(&mut rest, rows);
        let expected = floats(&mut rest, convolution.outputs(frames) * rows);
        for isa in Isa::available() {
            let found = convolve(isa, &Lane::single(), &convolution, rows, &weight, &x, Epilogue::Bias(&bias));
            assert_eq!(found, expected, "{isa} {convolution:?} of {frames} frames");
        }
    }
}

#[test]
fn a_convolution_is_the_product_with_its_windows_to_the_bit() {
    let mut random = Random(5);
    let lane = Lane::spawn(2, None).expect("threads");
    for (channels, kernel, stride, padding, frames) in
        [(80, 3, 1, 1, 50), (33, 3, 2, 1, 41), (7, 1, 1, 0, 9), (5, 4, 3, 6, 3), (16, 5, 2, 0, 20)]
    {
        let convolution = Convolution { channels, kernel, stride, padding };
        let rows = 40;
        let (x, weight) = (random.floats(frames * channels), random.floats(rows * channels * kernel));
        let mut padded = vec![0.0; padding * channels];
        padded.extend(&x);
        padded.resize(padded.len() + padding * channels, 0.0);
        let windows: Vec<f32> = (0..convolution.outputs(frames))
            .flat_map(|output| padded[output * stride * channels..][..kernel * channels].to_vec())
            .collect();
        // One window of one frame a row: the same rows, written out.
        let plain = Convolution { channels: kernel * channels, kernel: 1, stride: 1, padding: 0 };
        let bytes: Vec<u8> = weight.iter().flat_map(|value| value.to_le_bytes()).collect();
        let arranged = convolution.arrange(Format::F32, rows, &bytes).expect("weights");
        let arranged: Vec<f32> = arranged.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        for isa in Isa::available() {
            let found = convolve(isa, &lane, &convolution, rows, &weight, &x, Epilogue::Store);
            let expected = convolve(isa, &Lane::single(), &plain, rows, &arranged, &windows, Epilogue::Store);
            assert!(bits(&found) == bits(&expected), "{isa} {convolution:?}");
        }
    }
}

#[test]
fn no_window_fits_a_sequence_that_is_too_short() {
    let convolution = Convolution { channels: 4, kernel: 5, stride: 2, padding: 1 };
    assert_eq!([0, 1, 2, 3, 4, 5].map(|frames| convolution.outputs(frames)), [0, 0, 0, 1, 1, 2]);
}

#[test]
fn weights_that_cannot_be_arranged_are_an_error() {
    let convolution = Convolution { channels: 32, kernel: 3, stride: 1, padding: 1 };
    assert_eq!(
        convolution.arrange(Format::Q8_0, 1, &[0; 102]).expect_err("blocks"),
        ShapeError::NotReorderable { format: Format::Q8_0, block: 32 }
    );
    assert_eq!(
        convolution.arrange(Format::F16, 2, &[0; 191]).expect_err("a byte is missing").to_string(),
        "F16 [2, 96]: expected 384 bytes, found 191"
    );
}
