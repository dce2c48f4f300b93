//! A slot once it is published: any number of holders, which read it in place.

use std::fmt;

use bytemuck::Pod;
use half::f16;

use super::geometry::ElementType;
use super::{Shared, SlotGeometry};
use crate::sync::{Arc, Ordering};

/// The right to read one published slot. Clones are counted; when the last one is dropped, the slot is free.
pub struct SlotReader {
    shared: Arc<Shared>,
    index: usize,
}

impl SlotReader {
    /// The first reader of slot `index`, whose writer has just published it.
    pub(super) fn first(shared: Arc<Shared>, index: usize) -> SlotReader {
        SlotReader { shared, index }
    }

    /// How many rows are published.
    pub fn tokens(&self) -> usize {
        self.shared.slots[self.index].tokens()
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.geometry().width
    }

    /// What the slot is like.
    pub fn geometry(&self) -> SlotGeometry {
        self.shared.geometry
    }

    /// The published rows of an F32 slot, in place: `[tokens, width]`.
    ///
    /// # Panics
    /// The slot is not F32.
    pub fn rows_f32(&self) -> &[f32] {
        self.rows(ElementType::F32)
    }

    /// The published rows of an F16 slot, in place: `[tokens, width]`.
    ///
    /// # Panics
    /// The slot is not F16.
    pub fn rows_f16(&self) -> &[f16] {
        self.rows(ElementType::F16)
    }

    /// Row `token` of an F32 slot, in place: `[width]`.
    ///
    /// # Panics
    /// The slot is not F32, or there is no such row.
    pub fn row(&self, token: usize) -> &[f32] {
        let (tokens, width) = (self.tokens(), self.width());
        assert!(token < tokens, "row {token} of a slot with {tokens} tokens");
        &self.rows_f32()[token * width..][..width]
    }

    /// Copies the published rows out as F32, `[tokens, width]`, and counts the bytes. What can read in place should.
    ///
    /// # Panics
    /// `out` has another length.
    pub fn copy_to(&self, out: &mut [f32]) {
        let bytes = match self.geometry().element {
            ElementType::F32 => {
                out.copy_from_slice(self.rows_f32());
                size_of_val(self.rows_f32())
            }
            ElementType::F16 => {
                let rows = self.rows_f16();
                assert_eq!(out.len(), rows.len(), "the elements of the copy");
                out.iter_mut().zip(rows).for_each(|(out, value)| *out = value.to_f32());
                size_of_val(rows)
            }
        };
        self.count_copied(bytes as u64);
    }

    /// Counts so many bytes of the published rows as copied: sent to a device that cannot read them in place.
    pub fn count_copied(&self, bytes: u64) {
        self.shared.copied_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn rows<T: Pod>(&self, element: ElementType) -> &[T] {
        assert_eq!(self.shared.geometry.element, element, "the elements of this slot");
        // SAFETY: this is a reader, and is borrowed for as long as the rows are.
        let memory = unsafe { self.shared.slots[self.index].memory() };
        &memory.as_slice()[..self.tokens() * self.width()]
    }
}

impl Clone for SlotReader {
    fn clone(&self) -> SlotReader {
        self.shared.slots[self.index].share();
        SlotReader { shared: Arc::clone(&self.shared), index: self.index }
    }
}

impl Drop for SlotReader {
    fn drop(&mut self) {
        if self.shared.slots[self.index].release() {
            self.shared.free.put(self.index);
        }
    }
}

impl fmt::Debug for SlotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotReader").field("slot", &self.index).field("tokens", &self.tokens()).finish_non_exhaustive()
    }
}
