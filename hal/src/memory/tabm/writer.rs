//! A slot while it is written: one holder, which publishes it or gives it back.

use std::fmt;
use std::mem::ManuallyDrop;

use bytemuck::Pod;
use half::f16;

use super::geometry::ElementType;
use super::reader::SlotReader;
use super::{Shared, SlotGeometry};
use crate::sync::{Arc, Ordering};

/// The right to write one slot. Dropping it without [`SlotWriter::publish`] frees the slot.
pub struct SlotWriter {
    shared: Arc<Shared>,
    index: usize,
}

impl SlotWriter {
    /// Claims slot `index`, whose number was taken off the free list.
    pub(super) fn claim(shared: Arc<Shared>, index: usize) -> SlotWriter {
        shared.slots[index].claim();
        SlotWriter { shared, index }
    }

    /// What the slot is like.
    pub fn geometry(&self) -> SlotGeometry {
        self.shared.geometry
    }

    /// All rows of an F32 slot, `[max_tokens, width]`. They hold what was last written there: write all that you publish.
    ///
    /// # Panics
    /// The slot is not F32.
    pub fn rows_mut_f32(&mut self) -> &mut [f32] {
        self.rows_mut(ElementType::F32)
    }

    /// All rows of an F16 slot, `[max_tokens, width]`. They hold what was last written there: write all that you publish.
    ///
    /// # Panics
    /// The slot is not F16.
    pub fn rows_mut_f16(&mut self) -> &mut [f16] {
        self.rows_mut(ElementType::F16)
    }

    fn rows_mut<T: Pod>(&mut self, element: ElementType) -> &mut [T] {
        assert_eq!(self.shared.geometry.element, element, "the elements of this slot");
        // SAFETY: this is the slot's writer, borrowed mutably for as long as the rows are.
        unsafe { self.shared.slots[self.index].memory_mut() }.as_mut_slice()
    }

    /// Makes the first `tokens` rows immutable and readable.
    ///
    /// # Panics
    /// `tokens` is more than `max_tokens`; the slot is free then.
    pub fn publish(self, tokens: usize) -> SlotReader {
        let most = self.shared.geometry.max_tokens;
        assert!(tokens <= most, "{tokens} tokens were published in a slot of {most}");
        // The slot's memory is handed on, so this writer must not free it.
        let writer = ManuallyDrop::new(self);
        // SAFETY: `writer` is never used or dropped again, so the handle is moved out of it once.
        let shared = unsafe { std::ptr::read(&raw const writer.shared) };
        shared.slots[writer.index].publish(tokens);
        shared.published.fetch_add(1, Ordering::Relaxed);
        SlotReader::first(shared, writer.index)
    }
}

impl Drop for SlotWriter {
    fn drop(&mut self) {
        self.shared.slots[self.index].abandon();
        self.shared.free.put(self.index);
    }
}

impl fmt::Debug for SlotWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotWriter").field("slot", &self.index).finish_non_exhaustive()
    }
}
