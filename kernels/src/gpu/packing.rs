//! How weights lie in a device's memory: codes of all rows first, eight columns together, then what is left of wider
//! codes, then scales; each row after the other, so that invocations that read side by side read words side by side.

use half::f16;

use crate::Format;
use crate::block::{self, GROUP};

/// Columns that a shader reads at once.
pub(super) const CHUNK: usize = 8;

/// Words of a row of each part. Rows of all but `scales` in half words are whole words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    format: Format,
    cols: usize,
}

impl Layout {
    /// The layout of rows of `cols` columns, a whole number of the format's blocks.
    pub(super) fn new(format: Format, cols: usize) -> Layout {
        Layout { format, cols }
    }

    /// Chunks of a row. Columns that floats lack to a whole chunk are zero.
    pub(super) fn chunks(self) -> usize {
        self.cols.div_ceil(CHUNK)
    }

    fn code_words(self) -> usize {
        self.chunks()
            * match self.format {
                Format::F32 => 8,
                Format::F16 | Format::Bf16 => 4,
                Format::Q8_0 => 2,
                _ => 1,
            }
    }

    /// Words of upper bits of a row.
    fn bit_words(self) -> usize {
        match self.format {
            Format::Q5_0 | Format::Q5_1 | Format::Q5K => self.cols / GROUP,
            Format::Q6K => 2 * self.cols / GROUP,
            _ => 0,
        }
    }

    /// Half words of scales of a row.
    fn scale_halves(self) -> usize {
        match self.format {
            Format::F32 | Format::F16 | Format::Bf16 => 0,
            Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => self.cols / GROUP,
            Format::Q4_1 | Format::Q5_1 => 2 * self.cols / GROUP,
            Format::Q4K | Format::Q5K => 8 * self.cols / 256,
            Format::Q6K => 10 * self.cols / 256,
        }
    }

    /// Where upper bits begin in a shard of so many rows, in words.
    pub(super) fn bits_at(self, rows: usize) -> usize {
        rows * self.code_words()
    }

    /// Where scales begin, in words.
    pub(super) fn scales_at(self, rows: usize) -> usize {
        rows * (self.code_words() + self.bit_words())
    }

    /// Words of a shard of so many rows.
    pub(super) fn words(self, rows: usize) -> usize {
        self.scales_at(rows) + (rows * self.scale_halves()).div_ceil(2)
    }

    /// Packs rows of a file, as many as there are, into a shard's words, which are zero.
    pub(super) fn pack(self, rows: &[&[u8]], words: &mut [u32]) {
        let (codes, rest) = words.split_at_mut(self.bits_at(rows.len()));
        let (bits, scales) = rest.split_at_mut(self.scales_at(rows.len()) - codes.len());
        let scales: &mut [u16] = bytemuck::cast_slice_mut(scales);
        for (index, row) in rows.iter().enumerate() {
            let part = |each: usize| index * each..(index + 1) * each;
            let codes = &mut codes[part(self.code_words())];
            if self.format.is_float() {
                self.pack_floats(row, codes);
            } else {
                let (bits, scales) = (&mut bits[part(self.bit_words())], &mut scales[part(self.scale_halves())]);
                self.pack_blocks(row, codes, bits, scales);
            }
        }
    }

    fn pack_floats(self, row: &[u8], words: &mut [u32]) {
        if self.format == Format::F32 {
            for (word, value) in words.iter_mut().zip(row.chunks_exact(4)) {
                *word = u32::from_le_bytes([value[0], value[1], value[2], value[3]]);
            }
            return;
        }
        for (word, two) in words.iter_mut().zip(row.chunks(4)) {
            let half = |at: usize| two.get(2 * at..2 * at + 2).map_or(0, |half| u16::from_le_bytes([half[0], half[1]]));
            *word = u32::from(half(0)) | u32::from(half(1)) << 16;
        }
    }

    fn pack_blocks(self, row: &[u8], codes: &mut [u32], bits: &mut [u32], scales: &mut [u16]) {
        let (format, block_len) = (self.format, self.format.block_len());
        let (groups, halves) = (block_len / GROUP, scales.len() * block_len / self.cols);
        for (index, block) in row.chunks_exact(format.block_bytes()).enumerate() {
            for group in 0..groups {
                let at = index * groups + group;
                let values = block::codes(format, block, group);
                let each = codes.len() * GROUP / self.cols;
                pack_codes(format, &values, &mut codes[at * each..(at + 1) * each]);
                let each = bits.len() * GROUP / self.cols;
                pack_bits(&values, &mut bits[at * each..(at + 1) * each]);
            }
            pack_scales(format, block, &mut scales[index * halves..(index + 1) * halves]);
        }
    }
}

/// Packs 32 codes: bytes as they are, or the low four bits of eight codes a word, first half of them in the low halves of
/// the bytes.
fn pack_codes(format: Format, values: &[u8; GROUP], words: &mut [u32]) {
    if format == Format::Q8_0 {
        for (word, four) in words.iter_mut().zip(values.chunks_exact(4)) {
            // Signed again, as the device reads them.
            *word = u32::from_le_bytes([four[0], four[1], four[2], four[3]]) ^ 0x8080_8080;
        }
        return;
    }
    for (word, eight) in words.iter_mut().zip(values.chunks_exact(CHUNK)) {
        let byte = |at: usize| u32::from(eight[at] & 15 | (eight[at + 4] & 15) << 4) << (8 * at);
        *word = (0..4).map(byte).sum();
    }
}

/// Packs what is above the low four bits of 32 codes: one word of single bits, or two words of pairs. Value `i` of half
/// `h` of chunk `c` is in byte `i`, and in it the halves of chunks follow each other.
fn pack_bits(values: &[u8; GROUP], words: &mut [u32]) {
    let width = words.len();
    for (at, value) in values.iter().enumerate().filter(|_| width > 0) {
        let (chunk, half, byte) = (at / CHUNK, at / 4 % 2, at % 4);
        let place = 2 * chunk + half;
        let (word, shift) = (place * width / 8, place * width % 8);
        words[word] |= u32::from(value >> 4) << (8 * byte + shift);
    }
}

/// Packs the scales of a block, in half words.
fn pack_scales(format: Format, block: &[u8], halves: &mut [u16]) {
    let (d, least) = block::scale_and_min(format, block);
    match format {
        Format::Q4K | Format::Q5K => {
            let mut words = [u32::from(d) | u32::from(least) << 16, 0, 0, 0];
            for group in 0..8 {
                let ([scale, _], least) = block::group_scales(format, block, group);
                let (scale, least) = (u32::from(scale), u32::from(least));
                words[1] |= (scale & 15) << (4 * group);
                words[2] |= (least & 15) << (4 * group);
                words[3] |= (scale >> 4 | (least >> 4) << 16) << (2 * group);
            }
            halves.copy_from_slice(bytemuck::cast_slice(&words));
        }
        Format::Q6K => {
            let mut words = [0_u32; 5];
            for group in 0..8 {
                let ([first, second], _) = block::group_scales(format, block, group);
                words[group / 2] |= (u32::from(first) | u32::from(second) << 8) << (16 * (group % 2));
            }
            words[4] = f16::from_bits(d).to_f32().to_bits();
            halves.copy_from_slice(bytemuck::cast_slice(&words));
        }
        Format::Q4_1 | Format::Q5_1 => halves.copy_from_slice(&[d, least]),
        _ => halves[0] = d,
    }
}
