//! The scalar dequantiser: the reference for every format, in the operation order of the `gguf` Python package.

use half::{bf16, f16};

use crate::block::{self, GROUP, Offset};
use crate::{Format, ShapeError};

/// Turns stored blocks into `f32` values.
///
/// `bytes` holds whole blocks; `out` has exactly as many values. Equal bit for bit to
/// `gguf.quants.dequantize` (numpy, `f32`).
///
/// # Errors
/// [`ShapeError::ByteCount`] where `bytes` is no whole number of blocks, [`ShapeError::ValueCount`] where `out` has
/// another length than the blocks.
pub fn dequantize(format: Format, bytes: &[u8], out: &mut [f32]) -> Result<(), ShapeError> {
    let blocks = bytes.len() / format.block_bytes();
    if !bytes.len().is_multiple_of(format.block_bytes()) {
        return Err(ShapeError::ByteCount {
            format,
            rows: 1,
            cols: blocks * format.block_len(),
            expected: blocks * format.block_bytes(),
            found: bytes.len(),
        });
    }
    let expected = blocks * format.block_len();
    if out.len() != expected {
        return Err(ShapeError::ValueCount { format, expected, found: out.len() });
    }
    match format {
        Format::F32 => {
            for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        Format::F16 => {
            for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
            }
        }
        Format::Bf16 => {
            for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
            }
        }
        _ => {
            for (values, block) in
                out.chunks_exact_mut(format.block_len()).zip(bytes.chunks_exact(format.block_bytes()))
            {
                dequantize_block(format, block, values);
            }
        }
    }
    Ok(())
}

fn dequantize_block(format: Format, block: &[u8], values: &mut [f32]) {
    let (d, min) = block::scale_and_min(format, block);
    let (d, min) = (f16::from_bits(d).to_f32(), f16::from_bits(min).to_f32());
    let super_block = format.block_len() > GROUP;
    for (group, values) in values.chunks_exact_mut(GROUP).enumerate() {
        let codes = block::codes(format, block, group);
        let (scales, group_min) = block::group_scales(format, block, group);
        let min = if super_block { min * f32::from(group_min) } else { min };
        for (i, (value, &code)) in values.iter_mut().zip(&codes).enumerate() {
            let scale = match format {
                Format::Q6K => d * f32::from(scales[i / 16].cast_signed()),
                _ if super_block => d * f32::from(scales[i / 16]),
                _ => d,
            };
            *value = match block::offset(format) {
                Some(Offset::Zero(zero)) => scale * (f32::from(code) - f32::from(zero)),
                _ => scale * f32::from(code) + min,
            };
        }
    }
}
