//! Small vision-language models and pictures that nobody stores: numbers from splitmix64, seeded with the name of the
//! tensor, already quantised. `tests/fixtures/vision_models.py` draws the same for HF transformers.

mod models;

use half::{bf16, f16};
use nanomind_bricks::TensorType;
use nanomind_bricks::vision::Picture;

pub(crate) use models::files;

/// Numbers 1, 2, … of the generator with this seed.
fn splitmix(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |index: u64| {
        let mut z = seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// FNV-1a.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The bytes of tensor `name` of `shape`, the outermost dimension first.
fn tensor(name: &str, shape: &[usize], kind: TensorType) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let cols = count / shape[0];
    let bits = splitmix(seed(name)).take(count);
    let unit = bits.map(|bits| (bits >> 40) as f32 * 2f32.powi(-23) - 1.0);
    let spread = (3.0 / cols as f64).sqrt();
    let scale = move |unit: f32| match shape.len() {
        1 if name.ends_with("bias") => unit * 0.1,
        1 if name.contains("norm") || name.contains("ln") => unit * 0.2 + 1.0,
        1 => unit,
        2 if name.contains("embd") => unit,
        _ => unit * spread as f32,
    };
    let values = unit.map(scale);
    match kind {
        TensorType::F32 => values.flat_map(f32::to_le_bytes).collect(),
        TensorType::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
        TensorType::BF16 => values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
        TensorType::Q8_0 | TensorType::Q4_0 => blocks(seed(name), count, spread, kind),
        other => panic!("no {other:?} is drawn"),
    }
}

/// Blocks of 32 codes, drawn as they are.
fn blocks(seed: u64, count: usize, spread: f64, kind: TensorType) -> Vec<u8> {
    let bits: Vec<u64> = splitmix(seed).take(count).collect();
    let mut bytes = Vec::new();
    for block in bits.chunks_exact(32) {
        if kind == TensorType::Q8_0 {
            bytes.extend(f16::from_f64(spread / 127.0).to_le_bytes());
            bytes.extend(block.iter().map(|bits| ((bits >> 40) % 255) as u8).map(|code| code.wrapping_sub(127)));
        } else {
            bytes.extend(f16::from_f64(spread / 8.0).to_le_bytes());
            bytes.extend((0..16).map(|at| (block[at] & 15) as u8 | ((block[at + 16] & 15) as u8) << 4));
        }
    }
    bytes
}

/// Ramps that go up and down, blocks of the opposite, noise.
pub(crate) fn picture(width: usize, height: usize) -> Picture {
    let noise = splitmix(seed("picture")).map(|bits| (bits >> 59) as usize);
    let at = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..3).map(move |channel| (x, y, channel))));
    let level = |((x, y, channel), noise): ((usize, usize, usize), usize)| {
        let ramp = (3 * x + 2 * y + 97 * channel) % 510;
        let ramp = if ramp < 256 { ramp } else { 509 - ramp };
        let ramp = if (x / 16 + y / 12).is_multiple_of(5) { 255 - ramp } else { ramp };
        (ramp + noise).min(255) as u8
    };
    Picture::from_rgb(width, height, at.zip(noise).map(level).collect()).expect("as many pixels as there should be")
}
