//! Rows of keys and values on their way into a cache and back.

use half::f16;

use crate::block::GROUP;
use crate::cpu::Op;
use crate::cpu::vector::Vector;
use crate::kv_layout::POSITIONS;
use crate::quantize::q8_0_codes;
use crate::{KvFormat, KvLayout, KvSide};

/// The widest head whose values are rounded at once.
const PIECE: usize = 256;

/// Element `element` of the head at `position`, as an index into a block without its scales.
#[inline(always)]
fn index(side: KvSide, head_dim: usize, position: usize, element: usize) -> usize {
    let position = position % POSITIONS;
    match side {
        KvSide::Keys => element * POSITIONS + position,
        KvSide::Values => position * head_dim + element,
    }
}

/// Bytes of scales at the beginning of a block.
#[inline(always)]
fn scale_bytes(format: KvFormat, head_dim: usize) -> usize {
    match format {
        KvFormat::F16 => 0,
        KvFormat::Q8_0 => head_dim / GROUP * POSITIONS * 2,
    }
}

/// Writes rows of one head to its positions.
pub(crate) struct StoreKv<'a> {
    pub(crate) layout: &'a KvLayout,
    pub(crate) side: KvSide,
    /// Position of the first row.
    pub(crate) first: usize,
    /// The head's values of the first row, and all that follows.
    pub(crate) rows: &'a [f32],
    /// Values from one row to the next.
    pub(crate) stride: usize,
    pub(crate) tokens: usize,
    /// The head's bytes.
    pub(crate) bytes: &'a mut [u8],
}

impl Op for StoreKv<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (layout, side, head_dim) = (self.layout, self.side, self.layout.head_dim());
        for token in 0..self.tokens {
            let position = self.first + token;
            let row = &self.rows[token * self.stride..][..head_dim];
            let at = layout.block_at(position);
            let block = &mut self.bytes[at..at + layout.block_bytes()];
            let (scales, cells) = block.split_at_mut(scale_bytes(layout.format(), head_dim));
            match layout.format() {
                // SAFETY: as the caller says.
                KvFormat::F16 => unsafe { store_halves::<V>(side, position, row, cells) },
                KvFormat::Q8_0 => store_codes(side, position, row, scales, cells),
            }
        }
    }
}

#[inline(always)]
unsafe fn store_halves<V: Vector>(side: KvSide, position: usize, row: &[f32], cells: &mut [u8]) {
    let cells = cells.as_chunks_mut::<2>().0;
    for (piece, row_piece) in row.chunks(PIECE).enumerate() {
        let mut halves = [0u16; PIECE];
        let (whole, rest) = row_piece.split_at(row_piece.len() / V::LANES * V::LANES);
        for (from, to) in whole.chunks_exact(V::LANES).zip(halves.chunks_exact_mut(V::LANES)) {
            // SAFETY: both chunks are one vector long.
            unsafe { V::store_f16(to.as_mut_ptr(), V::load(from.as_ptr())) }
        }
        for (from, to) in rest.iter().zip(&mut halves[whole.len()..]) {
            *to = f16::from_f32(*from).to_bits();
        }
        for (i, half) in halves[..row_piece.len()].iter().enumerate() {
            cells[index(side, row.len(), position, piece * PIECE + i)] = half.to_le_bytes();
        }
    }
}

#[inline(always)]
fn store_codes(side: KvSide, position: usize, row: &[f32], scales: &mut [u8], cells: &mut [u8]) {
    let scales = scales.as_chunks_mut::<2>().0;
    for (group, values) in row.as_chunks::<GROUP>().0.iter().enumerate() {
        let (scale, codes) = q8_0_codes(values);
        scales[group * POSITIONS + position % POSITIONS] = scale.to_le_bytes();
        for (i, code) in codes.into_iter().enumerate() {
            cells[index(side, row.len(), position, group * GROUP + i)] = code.cast_unsigned();
        }
    }
}

/// Reads rows of one head back.
pub(crate) struct ReadKv<'a> {
    pub(crate) layout: &'a KvLayout,
    pub(crate) side: KvSide,
    /// Position of the first row.
    pub(crate) first: usize,
    /// The head's bytes.
    pub(crate) bytes: &'a [u8],
    /// The rows, `[positions, head_dim]`.
    pub(crate) out: &'a mut [f32],
}

impl Op for ReadKv<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (layout, side, head_dim) = (self.layout, self.side, self.layout.head_dim());
        let half = |bytes: [u8; 2]| f16::from_le_bytes(bytes).to_f32();
        for (row, out) in self.out.chunks_exact_mut(head_dim).enumerate() {
            let position = self.first + row;
            let at = layout.block_at(position);
            let block = &self.bytes[at..at + layout.block_bytes()];
            let (scales, cells) = block.split_at(scale_bytes(layout.format(), head_dim));
            let (scales, halves) = (scales.as_chunks::<2>().0, cells.as_chunks::<2>().0);
            for (element, out) in out.iter_mut().enumerate() {
                let index = index(side, head_dim, position, element);
                *out = match layout.format() {
                    KvFormat::F16 => half(halves[index]),
                    KvFormat::Q8_0 => {
                        let scale = half(scales[element / GROUP * POSITIONS + position % POSITIONS]);
                        scale * f32::from(cells[index].cast_signed())
                    }
                };
            }
        }
    }
}
