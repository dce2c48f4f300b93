//! Every format that weights are written in against the `gguf` package, bit for bit (made by
//! `tests/fixtures/convert_quantize.py`).

use nanomind_hal::Lane;
use nanomind_kernels::{Precision, dequantize, quantize};

const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/convert_quantize.bin");

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = *state;
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The numbers of the fixture's script.
fn numbers() -> Vec<f32> {
    let mut state = 42;
    let mut numbers = Vec::new();
    for scale in [1.0, 2f32.powi(-7), 300.0, 2f32.powi(-20), -3.0, 2f32.powi(14), 0.1, 2f32.powi(-13)] {
        numbers.extend((0..32).map(|_| ((splitmix(&mut state) >> 40) as f32 / 2f32.powi(23) - 1.0) * scale));
    }
    let ties: Vec<f32> = (0..32).map(|index| index as f32 - 15.5).collect();
    numbers.extend(ties.iter().enumerate().map(|(index, tie)| if index == 0 { 127.0 } else { *tie }));
    numbers.extend(ties.iter().enumerate().map(|(index, tie)| if index == 0 { -8.0 } else { tie * 0.5 }));
    numbers.extend([-2.5; 32]);
    numbers
}

fn quantised(lane: &Lane, precision: Precision, numbers: &[f32]) -> Vec<u8> {
    let mut out = vec![0xAA; precision.format().row_bytes(numbers.len()).expect("whole blocks")];
    quantize(lane, precision, numbers, &mut out).expect("room for them");
    out
}

#[test]
fn every_format_is_written_with_the_bits_of_the_reference() {
    let numbers = numbers();
    let mut rest = FIXTURE;
    for precision in [Precision::Q4_0, Precision::Q4_1, Precision::Q8_0, Precision::F16, Precision::Bf16] {
        let found = quantised(&Lane::single(), precision, &numbers);
        let (expected, tail) = rest.split_at(found.len());
        rest = tail;
        let size = precision.format().block_bytes();
        for (block, (found, expected)) in found.chunks(size).zip(expected.chunks(size)).enumerate() {
            assert_eq!(found, expected, "{}: block {block}", precision.format());
        }
    }
    assert!(rest.is_empty(), "{} bytes of the fixture were not looked at", rest.len());
}

#[test]
fn zeros_and_single_precision_are_written_as_ggml_does() {
    // `0 / -8` is −0, and the codes are those of 0.
    let block = quantised(&Lane::single(), Precision::Q4_0, &[0.0; 32]);
    assert_eq!(block[..2], [0x00, 0x80]);
    assert!(block[2..].iter().all(|byte| *byte == 0x88), "{block:x?}");
    assert_eq!(quantised(&Lane::single(), Precision::Q8_0, &[0.0; 32]), [0; 34]);
    assert_eq!(quantised(&Lane::single(), Precision::F32, &[1.5, -0.0]), [1.5f32, -0.0].map(f32::to_le_bytes).concat());
}

#[test]
fn what_is_written_does_not_depend_on_the_number_of_threads() {
    let mut state = 7;
    let numbers: Vec<f32> = (0..100_032).map(|_| (splitmix(&mut state) >> 40) as f32 / 1e5 - 80.0).collect();
    let lane = Lane::spawn(4, None).expect("threads");
    for precision in Precision::ALL {
        let alone = quantised(&Lane::single(), precision, &numbers);
        assert!(alone == quantised(&lane, precision, &numbers), "{} differs", precision.format());
        // The last number too, which a short last task has.
        let mut back = vec![0.0; numbers.len()];
        dequantize(precision.format(), &alone, &mut back).expect("whole blocks");
        let off = (back[100_031] - numbers[100_031]).abs();
        assert!(off < 15.0, "{}: {} became {}", precision.format(), numbers[100_031], back[100_031]);
    }
}

#[test]
fn the_largest_numbers_stay_finite_and_no_larger_ones_do() {
    for precision in [Precision::Q4_0, Precision::Q4_1, Precision::Q8_0, Precision::F16] {
        let scale = |largest: f32| {
            let block = quantised(&Lane::single(), precision, &[-largest; 32]);
            let mut back = [0.0; 32];
            dequantize(precision.format(), &block, &mut back).expect("a block");
            back[0]
        };
        let largest = precision.largest();
        assert!(scale(largest).is_finite(), "{}: {largest} became {}", precision.format(), scale(largest));
        assert!(!scale(largest * 1.01).is_finite(), "{}: {} is finite", precision.format(), scale(largest * 1.01));
    }
}

#[test]
fn lengths_that_do_not_fit_are_errors_and_not_panics() {
    let lane = Lane::single();
    let mut out = [0; 18];
    assert!(quantize(&lane, Precision::Q4_0, &[0.0; 31], &mut out).is_err(), "part of a block was accepted");
    assert!(quantize(&lane, Precision::Q4_0, &[0.0; 64], &mut out).is_err(), "an output too small was accepted");
    assert!(quantize(&lane, Precision::Q4_0, &[], &mut []).is_ok());
}
