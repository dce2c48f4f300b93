//! Reads one stored block: its codes (unsigned integers), its scales and its minimum. Packing and the scalar
//! dequantiser both stand on this, so they cannot disagree about a layout.
//!
//! Layouts are those of the GGUF specification; every value of a block format is
//! `scale · (code − zero)` or `scale · code + min`.

use crate::Format;

/// Columns that share one group of codes in every integer format.
pub(crate) const GROUP: usize = 32;

/// What a format's value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offset {
    /// `scale · (code − zero)`.
    Zero(u8),
    /// `scale · code + min`.
    Min,
}

/// The offset of an integer format; `None` for the float formats.
pub(crate) const fn offset(format: Format) -> Option<Offset> {
    match format {
        Format::F32 | Format::F16 | Format::Bf16 => None,
        Format::Q4_0 => Some(Offset::Zero(8)),
        Format::Q5_0 => Some(Offset::Zero(16)),
        Format::Q6K => Some(Offset::Zero(32)),
        Format::Q8_0 => Some(Offset::Zero(128)),
        Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K => Some(Offset::Min),
    }
}

/// The half-precision bits of a block's scale `d` and of its minimum (`+m`, or `−dmin`; zero where there is none).
pub(crate) fn scale_and_min(format: Format, block: &[u8]) -> (u16, u16) {
    let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    match format {
        Format::Q4_1 | Format::Q5_1 => (half(0), half(2)),
        // The K formats subtract their minimum; flipping the sign here makes it an addition everywhere else.
        Format::Q4K | Format::Q5K => (half(0), half(2) ^ 0x8000),
        Format::Q6K => (half(208), 0),
        _ => (half(0), 0),
    }
}

/// The small integer scale and minimum of group `group` (32 columns) of a K block. `Q6_K` has one signed scale for
/// each 16 columns, the others repeat their one scale.
pub(crate) fn group_scales(format: Format, block: &[u8], group: usize) -> ([u8; 2], u8) {
    match format {
        Format::Q4K | Format::Q5K => {
            let packed = &block[4..16];
            let (scale, min) = if group < 4 {
                (packed[group] & 63, packed[group + 4] & 63)
            } else {
                (
                    (packed[group + 4] & 15) | ((packed[group - 4] >> 6) << 4),
                    (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4),
                )
            };
            ([scale, scale], min)
        }
        Format::Q6K => ([block[192 + 2 * group], block[193 + 2 * group]], 0),
        _ => ([1, 1], 1),
    }
}

/// The 32 unsigned codes of group `group` of a block.
pub(crate) fn codes(format: Format, block: &[u8], group: usize) -> [u8; GROUP] {
    let mut codes = [0u8; GROUP];
    match format {
        Format::Q4_0 => nibbles(&block[2..18], &mut codes),
        Format::Q4_1 => nibbles(&block[4..20], &mut codes),
        Format::Q5_0 => {
            nibbles(&block[6..22], &mut codes);
            fifth_bits(&block[2..6], &mut codes);
        }
        Format::Q5_1 => {
            nibbles(&block[8..24], &mut codes);
            fifth_bits(&block[4..8], &mut codes);
        }
        Format::Q8_0 => {
            for (code, &byte) in codes.iter_mut().zip(&block[2..34]) {
                *code = byte ^ 0x80;
            }
        }
        Format::Q4K => half_bytes(&block[16..144], group, &mut codes),
        Format::Q5K => {
            half_bytes(&block[48..176], group, &mut codes);
            for (code, &bits) in codes.iter_mut().zip(&block[16..48]) {
                *code |= ((bits >> group) & 1) << 4;
            }
        }
        Format::Q6K => {
            // Each half of 128 columns: 64 bytes of low nibbles and 32 bytes of upper bit pairs.
            let (half, quarter) = (group / 4, group % 4);
            let low = &block[64 * half + 32 * (quarter % 2)..][..32];
            let high = &block[128 + 32 * half..][..32];
            for ((code, &low), &high) in codes.iter_mut().zip(low).zip(high) {
                let nibble = if quarter < 2 { low & 15 } else { low >> 4 };
                *code = nibble | (((high >> (2 * quarter)) & 3) << 4);
            }
        }
        Format::F32 | Format::F16 | Format::Bf16 => {}
    }
    codes
}

/// Low nibbles are columns 0–15, high nibbles 16–31.
fn nibbles(bytes: &[u8], codes: &mut [u8; GROUP]) {
    for (i, &byte) in bytes.iter().enumerate() {
        codes[i] = byte & 15;
        codes[i + 16] = byte >> 4;
    }
}

fn fifth_bits(bytes: &[u8], codes: &mut [u8; GROUP]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((bytes[i / 8] >> (i % 8)) & 1) << 4;
    }
}

/// In K blocks 32 bytes hold one group in their low and the next group in their high nibbles.
fn half_bytes(bytes: &[u8], group: usize, codes: &mut [u8; GROUP]) {
    let shift = 4 * (group % 2);
    for (code, &byte) in codes.iter_mut().zip(&bytes[32 * (group / 2)..]) {
        *code = (byte >> shift) & 15;
    }
}
