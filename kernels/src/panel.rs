//! The packed layout of weights: panels of 16 rows, interleaved so that one vector load feeds one dot product.
//!
//! One layout serves every instruction set. The integer formats store, for each panel:
//!
//! ```text
//! headers   one per block of the format:  d f16 ×16, then min f16 ×16 where there is one
//! scales    K formats only, per 32 columns: sc u8 ×16 (Q6_K: ×16 for each 16 columns), then m u8 ×16
//! codes     (64-byte aligned) per 32 columns: steps of 64 bytes, 16 rows × 4 columns
//!             4 bits: 4 steps; step j has columns 4j.. in the low and 16+4j.. in the high nibbles
//!             5 bits: the lower four likewise, then a step of fifth bits: 4j.. in bit j, 16+4j.. in bit 4+j
//!             6 bits: the lower four likewise, then two steps of upper bits: 4j.. in bits 2j.. of the first,
//!                     16+4j.. in bits 2j.. of the second
//!             8 bits: 8 steps of bytes; step j has columns 4j..
//! ```
//!
//! Scales and codes stay exactly as the file has them, so packing loses nothing and takes no more room than the file but for
//! rounding up to lines. Float formats store `[column][16 rows]`.

use half::{bf16, f16};

use crate::block::{self, GROUP, Offset};
use crate::{Format, ShapeError};

/// Rows that are interleaved.
pub(crate) const PANEL_ROWS: usize = 16;

/// Bytes of 16 half-precision values.
const HALVES: usize = 2 * PANEL_ROWS;

/// Where things lie in one panel of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PanelLayout {
    format: Format,
    cols: usize,
    scales_at: usize,
    codes_at: usize,
    panel_bytes: usize,
}

impl PanelLayout {
    /// The layout of rows of `cols` values.
    pub(crate) fn new(format: Format, rows: usize, cols: usize) -> Result<PanelLayout, ShapeError> {
        let block = format.block_len();
        if !cols.is_multiple_of(block) {
            return Err(ShapeError::UnevenBlocks { format, cols, block });
        }
        let too_large = ShapeError::TooLarge { format, rows, cols };
        let sized = |count: usize, bytes: usize| count.checked_mul(bytes);
        let layout = (|| {
            if format.is_float() {
                let codes = sized(cols, PANEL_ROWS * format.block_bytes())?.checked_next_multiple_of(64)?;
                return Some(PanelLayout { format, cols, scales_at: 0, codes_at: 0, panel_bytes: codes });
            }
            let scales_at = sized(cols / block, header_bytes(format))?;
            let codes_at =
                scales_at.checked_add(sized(cols / GROUP, scale_bytes(format))?)?.checked_next_multiple_of(64)?;
            let panel_bytes = codes_at.checked_add(sized(cols / GROUP, code_bytes(format))?)?;
            Some(PanelLayout { format, cols, scales_at, codes_at, panel_bytes })
        })()
        .ok_or(too_large.clone())?;
        layout.panel_bytes.checked_mul(rows.div_ceil(PANEL_ROWS)).ok_or(too_large)?;
        Ok(layout)
    }

    /// Bytes of one panel.
    pub(crate) fn panel_bytes(&self) -> usize {
        self.panel_bytes
    }

    /// Offset of the group scales inside a panel.
    pub(crate) fn scales_at(&self) -> usize {
        self.scales_at
    }

    /// Offset of the codes inside a panel.
    pub(crate) fn codes_at(&self) -> usize {
        self.codes_at
    }

    /// Fills a zeroed panel from its rows (at most 16), each as the file stores it.
    pub(crate) fn pack(&self, rows: &[u8], row_bytes: usize, panel: &mut [u8]) {
        for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
            match self.format {
                Format::F32 => interleave::<4>(lane, row, panel),
                Format::F16 | Format::Bf16 => interleave::<2>(lane, row, panel),
                _ => self.pack_row(lane, row, panel),
            }
        }
    }

    fn pack_row(&self, lane: usize, row: &[u8], panel: &mut [u8]) {
        let format = self.format;
        let groups = format.block_len() / GROUP;
        for (index, stored) in row.chunks_exact(format.block_bytes()).enumerate() {
            let (d, min) = block::scale_and_min(format, stored);
            let header = &mut panel[index * header_bytes(format)..];
            header[2 * lane..][..2].copy_from_slice(&d.to_le_bytes());
            if has_min(format) {
                header[HALVES + 2 * lane..][..2].copy_from_slice(&min.to_le_bytes());
            }
            for group in 0..groups {
                let column = index * groups + group;
                if groups > 1 {
                    let (scales, min) = block::group_scales(format, stored, group);
                    let packed = &mut panel[self.scales_at + column * scale_bytes(format)..];
                    packed[lane] = scales[0];
                    packed[PANEL_ROWS + lane] = if has_min(format) { min } else { scales[1] };
                }
                let packed = &mut panel[self.codes_at + column * code_bytes(format)..][..code_bytes(format)];
                pack_codes(format, stored, group, lane, packed);
            }
        }
    }

    /// Values of row `lane` of a panel, equal bit for bit to what [`crate::dequantize()`] makes of the stored row.
    pub(crate) fn row(&self, panel: &[u8], lane: usize, out: &mut [f32]) {
        match self.format {
            Format::F32 => {
                for (value, column) in out.iter_mut().zip(panel.chunks_exact(4 * PANEL_ROWS)) {
                    let bytes = &column[4 * lane..];
                    *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
            }
            Format::F16 => {
                for (value, column) in out.iter_mut().zip(panel.chunks_exact(HALVES)) {
                    *value = half_at(column, lane);
                }
            }
            Format::Bf16 => {
                for (value, column) in out.iter_mut().zip(panel.chunks_exact(HALVES)) {
                    *value = bf16::from_le_bytes([column[2 * lane], column[2 * lane + 1]]).to_f32();
                }
            }
            _ => self.coded_row(panel, lane, out),
        }
    }

    fn coded_row(&self, panel: &[u8], lane: usize, out: &mut [f32]) {
        let format = self.format;
        let groups = format.block_len() / GROUP;
        for (column, values) in out[..self.cols].chunks_exact_mut(GROUP).enumerate() {
            let header = &panel[column / groups * header_bytes(format)..];
            let d = half_at(header, lane);
            let mut min = if has_min(format) { half_at(&header[HALVES..], lane) } else { 0.0 };
            let mut scales = [d; 2];
            if groups > 1 {
                let packed = &panel[self.scales_at + column * scale_bytes(format)..];
                let (first, second) = (packed[lane], packed[PANEL_ROWS + lane]);
                if has_min(format) {
                    scales = [d * f32::from(first); 2];
                    min *= f32::from(second);
                } else {
                    scales = [d * f32::from(first.cast_signed()), d * f32::from(second.cast_signed())];
                }
            }
            let codes = &panel[self.codes_at + column * code_bytes(format)..];
            for (i, value) in values.iter_mut().enumerate() {
                let code = packed_code(format, codes, i, lane);
                *value = match block::offset(format) {
                    Some(Offset::Zero(zero)) => scales[i / 16] * (f32::from(code) - f32::from(zero)),
                    _ => scales[i / 16] * f32::from(code) + min,
                };
            }
        }
    }
}

/// Puts the values of one row, of `N` bytes each, into their columns. That `N` is known makes a value one move, where a
/// copy of any length would be a call.
fn interleave<const N: usize>(lane: usize, row: &[u8], panel: &mut [u8]) {
    let columns = panel.as_chunks_mut::<N>().0.chunks_exact_mut(PANEL_ROWS);
    for (column, value) in columns.zip(row.as_chunks::<N>().0) {
        column[lane] = *value;
    }
}

/// Packs the codes of one row's group of 32 columns.
fn pack_codes(format: Format, stored: &[u8], group: usize, lane: usize, packed: &mut [u8]) {
    let words = packed.chunks_exact_mut(4 * PANEL_ROWS).map(|step| &mut step[4 * lane..][..4]);
    match format {
        // Stored as packed: columns 0 to 15 in the low nibbles, 16 to 31 in the high ones.
        Format::Q4_0 | Format::Q4_1 => {
            for (packed, word) in words.zip(stored[stored.len() - 16..].chunks_exact(4)) {
                packed.copy_from_slice(word);
            }
        }
        Format::Q8_0 => {
            for (packed, word) in words.zip(stored[2..].as_chunks::<4>().0) {
                packed.copy_from_slice(&word.map(|code| code ^ 0x80));
            }
        }
        Format::Q4K => {
            let codes = block::codes(format, stored, group);
            let (low, high) = codes.split_at(16);
            for ((packed, low), high) in words.zip(low.as_chunks::<4>().0).zip(high.as_chunks::<4>().0) {
                let both = u32::from_le_bytes(*low) | (u32::from_le_bytes(*high) << 4);
                packed.copy_from_slice(&both.to_le_bytes());
            }
        }
        _ => {
            let codes = block::codes(format, stored, group);
            let word = |at: usize| u32::from_le_bytes([codes[at], codes[at + 1], codes[at + 2], codes[at + 3]]);
            let width = upper_bits(format);
            let mut upper = [0u32; 2];
            let mut words = words;
            for (step, packed) in words.by_ref().take(4).enumerate() {
                let (low, high) = (word(4 * step), word(16 + 4 * step));
                let nibbles = |codes: u32| codes & 0x0f0f_0f0f;
                packed.copy_from_slice(&(nibbles(low) | (nibbles(high) << 4)).to_le_bytes());
                let above = |codes: u32| nibbles(codes >> 4) << (width * step);
                upper[0] |= above(low);
                // The fifth bits of both halves of the columns share a step.
                if width == 1 { upper[0] |= above(high) << 4 } else { upper[1] |= above(high) }
            }
            for (packed, upper) in words.zip(upper) {
                packed.copy_from_slice(&upper.to_le_bytes());
            }
        }
    }
}

/// The code of column `i` of 32 of row `lane`.
fn packed_code(format: Format, codes: &[u8], i: usize, lane: usize) -> u8 {
    let byte = |step: usize| codes[64 * step + 4 * lane + i % 4];
    if format == Format::Q8_0 {
        return byte(i / 4);
    }
    let (half, step) = (i / 16, i % 16 / 4);
    let nibble = (byte(step) >> (4 * half)) & 15;
    match upper_bits(format) {
        1 => nibble | (((byte(4) >> (4 * half + step)) & 1) << 4),
        2 => nibble | (((byte(4 + half) >> (2 * step)) & 3) << 4),
        _ => nibble,
    }
}

fn half_at(halves: &[u8], lane: usize) -> f32 {
    f16::from_le_bytes([halves[2 * lane], halves[2 * lane + 1]]).to_f32()
}

/// Whether values are `scale · code + min`.
pub(crate) const fn has_min(format: Format) -> bool {
    matches!(block::offset(format), Some(Offset::Min))
}

/// Bits of a code that are kept beside its nibble; 0 for formats of 8 bits, which keep whole bytes.
pub(crate) const fn upper_bits(format: Format) -> usize {
    match format {
        Format::Q5_0 | Format::Q5_1 | Format::Q5K => 1,
        Format::Q6K => 2,
        _ => 0,
    }
}

/// Bytes of a panel's header for one block of the format.
pub(crate) const fn header_bytes(format: Format) -> usize {
    if has_min(format) { 2 * HALVES } else { HALVES }
}

/// Bytes of a panel's group scales for 32 columns.
pub(crate) const fn scale_bytes(format: Format) -> usize {
    if format.block_len() > GROUP { 2 * PANEL_ROWS } else { 0 }
}

/// Bytes of a panel's codes for 32 columns.
pub(crate) const fn code_bytes(format: Format) -> usize {
    let bits = if matches!(format, Format::Q8_0) { 8 } else { 4 + upper_bits(format) };
    GROUP * bits / 8 * PANEL_ROWS
}
