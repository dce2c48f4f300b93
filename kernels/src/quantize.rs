//! The quantiser: `f32` values to stored blocks, bit for bit as ggml's reference functions make them.

use half::{bf16, f16};
use nanomind_hal::Lane;

use crate::{Format, ShapeError};

/// The formats that weights can be written in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// 32 × 4 bit with a scale.
    Q4_0,
    /// 32 × 4 bit with a scale and a minimum.
    Q4_1,
    /// 32 × 8 bit with a scale.
    Q8_0,
    /// The upper half of a single-precision value, rounded to nearest even.
    Bf16,
    /// IEEE half precision, rounded to nearest even.
    F16,
    /// IEEE single precision.
    F32,
}

impl Precision {
    /// Every precision, the smallest first.
    pub const ALL: [Precision; 6] =
        [Precision::Q4_0, Precision::Q4_1, Precision::Q8_0, Precision::Bf16, Precision::F16, Precision::F32];

    /// The format of the blocks.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Precision::Q4_0 => Format::Q4_0,
            Precision::Q4_1 => Format::Q4_1,
            Precision::Q8_0 => Format::Q8_0,
            Precision::Bf16 => Format::Bf16,
            Precision::F16 => Format::F16,
            Precision::F32 => Format::F32,
        }
    }

    /// The largest magnitude that survives: beyond it a half-precision scale, minimum or value becomes infinite.
    #[must_use]
    pub const fn largest(self) -> f32 {
        const HALF: f32 = 65504.0;
        match self {
            Precision::Q4_0 => 8.0 * HALF,
            // Its minimum is stored as it is.
            Precision::Q4_1 | Precision::F16 => HALF,
            Precision::Q8_0 => 127.0 * HALF,
            Precision::Bf16 => bf16::MAX.to_f32_const(),
            Precision::F32 => f32::MAX,
        }
    }
}

/// Values that one task of the lane takes: a multiple of every block.
const TASK: usize = 1 << 14;

/// Writes `values` as blocks to `out`, on all threads of `lane`; the bits do not depend on how many there are.
///
/// Equal bit for bit to ggml's `quantize_row_*_ref`, and to `gguf.quants.quantize` but for the sign of the scale of a
/// block of zeros. Values are to be finite and at most [`Precision::largest`].
///
/// # Errors
/// [`ShapeError::UnevenBlocks`] where `values` are no whole number of blocks, [`ShapeError::ByteCount`] where `out` has
/// another length than they take.
pub fn quantize(lane: &Lane, precision: Precision, values: &[f32], out: &mut [u8]) -> Result<(), ShapeError> {
    let format = precision.format();
    let (cols, block) = (values.len(), format.block_len());
    let expected = format.row_bytes(cols).ok_or(ShapeError::UnevenBlocks { format, cols, block })?;
    if out.len() != expected {
        return Err(ShapeError::ByteCount { format, rows: 1, cols, expected, found: out.len() });
    }
    let task_bytes = TASK / block * format.block_bytes();
    lane.for_each_chunk_mut(out, task_bytes, |index, out| {
        let first = index * TASK;
        let values = &values[first..(first + TASK).min(cols)];
        match precision {
            Precision::F32 => each(values, out, f32::to_le_bytes),
            Precision::F16 => each(values, out, |value| f16::from_f32(value).to_le_bytes()),
            Precision::Bf16 => each(values, out, |value| bf16::from_f32(value).to_le_bytes()),
            Precision::Q4_0 => blocks::<18>(values, out, q4_0),
            Precision::Q4_1 => blocks::<20>(values, out, q4_1),
            Precision::Q8_0 => blocks::<34>(values, out, q8_0),
        }
    });
    Ok(())
}

fn each<const N: usize>(values: &[f32], out: &mut [u8], code: impl Fn(f32) -> [u8; N]) {
    for (value, out) in values.iter().zip(out.as_chunks_mut::<N>().0) {
        *out = code(*value);
    }
}

fn blocks<const N: usize>(values: &[f32], out: &mut [u8], code: impl Fn(&[f32; 32], &mut [u8; N])) {
    for (values, out) in values.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<N>().0) {
        code(values, out);
    }
}

/// One over the scale; zero for a block of one value, whose codes do not matter.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Two codes a byte: the first half of the block in the low bits, the second half in the high bits.
fn pack(codes: impl Fn(f32) -> u8, values: &[f32; 32], out: &mut [u8]) {
    let (low, high) = values.split_at(16);
    for ((low, high), out) in low.iter().zip(high).zip(out) {
        *out = codes(*low) | codes(*high) << 4;
    }
}

/// The value of largest magnitude becomes −8, so that the sign of the scale is that value's, turned.
fn q4_0(values: &[f32; 32], out: &mut [u8; 18]) {
    let mut largest = 0.0f32;
    for value in values {
        if largest.abs() < value.abs() {
            largest = *value;
        }
    }
    let scale = largest / -8.0;
    let by = inverse(scale);
    out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    pack(|value| ((value * by + 8.5) as u8).min(15), values, &mut out[2..]);
}

fn q4_1(values: &[f32; 32], out: &mut [u8; 20]) {
    let (mut least, mut most) = (f32::MAX, f32::MIN);
    for value in values {
        // As C compares: of two zeros the first stays, whatever its sign.
        if *value < least {
            least = *value;
        }
        if *value > most {
            most = *value;
        }
    }
    let scale = (most - least) / 15.0;
    let by = inverse(scale);
    out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    out[2..4].copy_from_slice(&f16::from_f32(least).to_le_bytes());
    pack(|value| (((value - least) * by + 0.5) as u8).min(15), values, &mut out[4..]);
}

fn q8_0(values: &[f32; 32], out: &mut [u8; 34]) {
    let (scale, codes) = q8_0_codes(values);
    out[..2].copy_from_slice(&scale.to_le_bytes());
    for (code, out) in codes.iter().zip(&mut out[2..]) {
        *out = code.cast_unsigned();
    }
}

/// The scale and the codes of a block of `Q8_0`.
#[inline(always)]
pub(crate) fn q8_0_codes(values: &[f32; 32]) -> (f16, [i8; 32]) {
    // Side by side and then as a tree: caches are filled with this.
    let mut most = [0f32; 32];
    for (most, value) in most.iter_mut().zip(values) {
        let magnitude = value.abs();
        *most = if magnitude > 0.0 { magnitude } else { 0.0 };
    }
    for width in [16, 8, 4, 2, 1] {
        let (left, right) = most.split_at_mut(width);
        for (left, right) in left.iter_mut().zip(right) {
            *left = if *right > *left { *right } else { *left };
        }
    }
    let scale = most[0] / 127.0;
    let by = inverse(scale);
    (f16::from_f32(scale), values.map(|value| (value * by).round() as i8))
}
