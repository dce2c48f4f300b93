//! The key-value cache of one sequence on the CPU: keys and values of each layer as [`KvLayout`] lays them, allocated once for its
//! context.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use nanomind_hal::AllocationError;

use super::{KvGeometry, KvRange};
use crate::{Isa, KvFormat, KvLayout, KvSide, ShapeError};

/// Keys and values of one sequence. Pages of positions that were never written are not committed by the system.
pub struct KvCache {
    layout: KvLayout,
    keys: Lines,
    values: Lines,
}

impl KvCache {
    /// A cache for `context` positions.
    ///
    /// # Errors
    /// [`ShapeError::UnevenHead`] where the format does not take these heads, another where the size overflows or the
    /// system refuses the memory.
    pub fn new(geometry: KvGeometry, format: KvFormat, context: usize) -> Result<KvCache, ShapeError> {
        let KvGeometry { layers, kv_heads, head_dim } = geometry;
        let layout = KvLayout::new(format, kv_heads, context, head_dim)?;
        let bytes = layout.bytes().saturating_mul(layers);
        let side = || Lines::zeroed(bytes).ok_or(AllocationError { bytes });
        Ok(KvCache { layout, keys: side()?, values: side()? })
    }

    /// Where keys and values of a layer lie.
    #[must_use]
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Keys and values of one layer.
    #[must_use]
    pub fn layer(&self, layer: usize) -> (&[u8], &[u8]) {
        let range = self.range(layer);
        (&self.keys.bytes()[range.clone()], &self.values.bytes()[range])
    }

    /// As [`KvCache::layer`], to write, with what each of them is.
    pub fn layer_mut(&mut self, layer: usize) -> [(KvSide, &mut [u8]); 2] {
        let range = self.range(layer);
        let keys = &mut self.keys.bytes_mut()[range.clone()];
        [(KvSide::Keys, keys), (KvSide::Values, &mut self.values.bytes_mut()[range])]
    }

    /// As [`super::Backend::read_kv`].
    pub(super) fn read(&self, range: &KvRange, keys: &mut [f16], values: &mut [f16]) {
        let span = range.positions.len() * self.layout.head_dim();
        assert_eq!(keys.len(), range.vectors() * self.layout.head_dim(), "keys of {range:?}");
        let (mut row, mut at) = (vec![0.0; span], 0..span);
        for layer in range.layers.clone() {
            let (kept_keys, kept_values) = self.layer(layer);
            for head in range.heads.clone() {
                for (side, kept, out) in
                    [(KvSide::Keys, kept_keys, &mut *keys), (KvSide::Values, kept_values, &mut *values)]
                {
                    self.layout.read(Isa::Portable, side, head, range.positions.clone(), kept, &mut row);
                    out[at.clone()].convert_from_f32_slice(&row);
                }
                at = at.end..at.end + span;
            }
        }
    }

    /// As [`super::Backend::write_kv`].
    pub(super) fn write(&mut self, range: &KvRange, keys: &[f16], values: &[f16]) {
        let (layout, span) = (self.layout, range.positions.len() * self.layout.head_dim());
        assert_eq!(keys.len(), range.vectors() * layout.head_dim(), "keys of {range:?}");
        let (mut row, mut at) = (vec![0.0; span], 0..span);
        for layer in range.layers.clone() {
            let mut kept = self.layer_mut(layer);
            for head in range.heads.clone() {
                for ((side, kept), state) in kept.iter_mut().zip([keys, values]) {
                    state[at.clone()].convert_to_f32_slice(&mut row);
                    layout.store_head(Isa::Portable, *side, head, range.positions.start, &row, kept);
                }
                at = at.end..at.end + span;
            }
        }
    }

    fn range(&self, layer: usize) -> Range<usize> {
        layer * self.layout.bytes()..(layer + 1) * self.layout.bytes()
    }
}

/// Zero bytes from the start of a cache line on, whose pages are not there before they are touched. Huge pages would be,
/// for heads whose first positions lie in them.
struct Lines {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Lines {
    const LINE: usize = 64;

    fn zeroed(len: usize) -> Option<Lines> {
        let memory: Vec<u8> = bytemuck::allocation::try_zeroed_vec(len.checked_add(Lines::LINE)?).ok()?;
        let start = memory.as_ptr().align_offset(Lines::LINE).min(Lines::LINE);
        Some(Lines { memory, start, len })
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}
