//! Every weight format against the `gguf` package's dequantisation, bit for bit (made by `tests/fixtures/dequant.py`).

use nanomind_kernels::{Format, dequantize};

const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/dequant.bin");

/// One format's blocks and the values that the reference made of them.
struct Section<'a> {
    name: &'a str,
    blocks: &'a [u8],
    expected: Vec<f32>,
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

fn sections() -> Vec<Section<'static>> {
    let mut rest = FIXTURE;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(16);
        let name = std::str::from_utf8(&head[..8]).expect("ASCII name").trim_end();
        let (blocks, tail) = tail.split_at(word(&head[8..12]) as usize);
        let (values, tail) = tail.split_at(4 * word(&head[12..16]) as usize);
        let expected = values.chunks_exact(4).map(|bytes| f32::from_bits(word(bytes))).collect();
        found.push(Section { name, blocks, expected });
        rest = tail;
    }
    found
}

fn format_named(name: &str) -> Format {
    match name {
        "F32" => Format::F32,
        "F16" => Format::F16,
        "BF16" => Format::Bf16,
        "Q4_0" => Format::Q4_0,
        "Q4_1" => Format::Q4_1,
        "Q5_0" => Format::Q5_0,
        "Q5_1" => Format::Q5_1,
        "Q8_0" => Format::Q8_0,
        "Q4_K" => Format::Q4K,
        "Q5_K" => Format::Q5K,
        "Q6_K" => Format::Q6K,
        other => panic!("the fixture holds an unknown format {other}"),
    }
}

#[test]
fn every_format_dequantises_to_the_reference_bits() {
    let sections = sections();
    assert_eq!(sections.len(), 11, "one section for each format");
    for section in sections {
        let mut out = vec![f32::NAN; section.expected.len()];
        dequantize(format_named(section.name), section.blocks, &mut out)
            .unwrap_or_else(|error| panic!("{}: {error}", section.name));
        let wrong: Vec<String> = out
            .iter()
            .zip(&section.expected)
            .enumerate()
            .filter(|(_, (got, want))| got.to_bits() != want.to_bits())
            .map(|(at, (got, want))| {
                format!("value {at}: {got:e} ({:08x}), reference {want:e} ({:08x})", got.to_bits(), want.to_bits())
            })
            .collect();
        assert!(
            wrong.is_empty(),
            "{}: {} of {} values differ, first {}",
            section.name,
            wrong.len(),
            out.len(),
            wrong[0]
        );
    }
}

#[test]
fn a_length_that_does_not_fit_is_an_error_and_not_a_panic() {
    for section in sections() {
        let format = format_named(section.name);
        let mut out = vec![0.0; section.expected.len()];
        let short = &section.blocks[..section.blocks.len() - 1];
        assert!(dequantize(format, short, &mut out).is_err(), "{}: bytes cut short were accepted", section.name);
        let one_less = out.len() - 1;
        assert!(
            dequantize(format, section.blocks, &mut out[..one_less]).is_err(),
            "{}: an output too small was accepted",
            section.name
        );
    }
}
