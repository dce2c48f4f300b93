//! Keys and values come back from a cache as their format rounds them, on every instruction set.

mod common;

use common::{Random, bits};
use half::f16;
use nanomind_hal::Lane;
use nanomind_kernels::{Format, Isa, KvFormat, KvLayout, KvSide, Precision, dequantize, quantize};

const HEADS: usize = 3;

/// Rows as a format rounds them, by way of the formats of weights.
fn rounded(format: KvFormat, rows: &[f32]) -> Vec<f32> {
    match format {
        KvFormat::F16 => rows.iter().map(|value| f16::from_f32(*value).to_f32()).collect(),
        KvFormat::Q8_0 => {
            let mut blocks = vec![0; Format::Q8_0.row_bytes(rows.len()).expect("whole blocks")];
            quantize(&Lane::single(), Precision::Q8_0, rows, &mut blocks).expect("whole blocks");
            let mut out = vec![0.0; rows.len()];
            dequantize(Format::Q8_0, &blocks, &mut out).expect("whole blocks");
            out
        }
    }
}

#[test]
fn rows_come_back_with_the_bits_of_their_format_wherever_they_were_stored_from() {
    for (format, head_dim) in [(KvFormat::F16, 7), (KvFormat::F16, 64), (KvFormat::Q8_0, 64), (KvFormat::Q8_0, 288)] {
        let (width, positions) = (HEADS * head_dim, 75);
        let mut rows = Random(9).floats(positions * width);
        // A block of zeros, and one whose scale is tiny.
        rows[..head_dim].fill(0.0);
        rows[width..width + head_dim].iter_mut().for_each(|value| *value *= 1e-6);
        let expected = rounded(format, &rows);
        let layout = KvLayout::new(format, HEADS, 80, head_dim).expect("whole blocks");
        for isa in Isa::available() {
            for side in [KvSide::Keys, KvSide::Values] {
                let mut bytes = vec![0; layout.bytes()];
                // In pieces of one token, of a few, of many.
                for cut in [0..1, 1..5, 5..60, 60..75] {
                    let part = &rows[cut.start * width..cut.end * width];
                    layout.store(&Lane::single(), isa, side, cut.start, part, &mut bytes);
                }
                let mut out = vec![f32::NAN; 40 * head_dim];
                for head in 0..HEADS {
                    layout.read(isa, side, head, 0..40, &bytes, &mut out);
                    for (position, found) in out.chunks_exact(head_dim).enumerate() {
                        let expected = &expected[position * width + head * head_dim..][..head_dim];
                        assert!(bits(found) == bits(expected), "{isa} {format} {side:?} head {head} at {position}");
                    }
                }
            }
        }
    }
}

#[test]
fn eight_bit_keys_take_about_half_of_the_memory_and_only_whole_blocks_are_taken() {
    let bytes = |format| KvLayout::new(format, 3, 2048, 64).expect("whole blocks").bytes();
    assert_eq!(bytes(KvFormat::F16), 3 * 2048 * 64 * 2);
    assert_eq!(bytes(KvFormat::Q8_0), 3 * 2048 * 2 * 34);
    let error = KvLayout::new(KvFormat::Q8_0, 3, 2048, 80).expect_err("80 = 2.5 blocks");
    assert_eq!(error.to_string(), "q8_0 keys and values: a head of 80 values is not a whole number of blocks of 32");
    assert!(KvLayout::new(KvFormat::F16, usize::MAX / 4, 2048, 64).is_err());
    for format in KvFormat::ALL {
        assert_eq!(KvFormat::from_name(format.name()), Some(format));
    }
}
