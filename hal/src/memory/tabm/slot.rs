//! One slot: its memory, and the one atomic that says who may touch it.
//!
//! The word is `FREE`, `WRITING`, or the number of its readers. `Free → Writing` is a compare-exchange by whoever took
//! the slot's number off the free list; `Writing → Ready` a store by the writer, which becomes the first reader;
//! `Ready ⇄ Reading(n)` and `→ Free` an increment and a decrement. The number goes back on the list after the word says
//! free, so a slot is never on the list while anybody can touch it, and never off it without a holder.

use super::super::{AlignedBuffer, AllocationError};
use crate::sync::{AtomicU64, AtomicUsize, Ordering, UnsafeCell};

const FREE: u64 = 0;
const WRITING: u64 = u64::MAX;

/// The state of a slot at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    Free,
    Writing,
    /// Published, with at least one reader.
    Held {
        tokens: usize,
    },
}

pub(super) struct Slot {
    word: AtomicU64,
    tokens: AtomicUsize,
    memory: UnsafeCell<AlignedBuffer>,
}

// SAFETY: the memory is reached through `Slot::memory_mut` by the one writer while the word is `WRITING`, and through
// `Slot::memory` by readers while it counts them. The transitions between the two are release and acquire, so their
// accesses never run at once.
unsafe impl Sync for Slot {}

impl Slot {
    pub(super) fn new(bytes: usize) -> Result<Slot, AllocationError> {
        Ok(Slot {
            word: AtomicU64::new(FREE),
            tokens: AtomicUsize::new(0),
            memory: UnsafeCell::new(AlignedBuffer::zeroed(bytes)?),
        })
    }

    pub(super) fn state(&self) -> SlotState {
        match self.word.load(Ordering::Acquire) {
            FREE => SlotState::Free,
            WRITING => SlotState::Writing,
            _ => SlotState::Held { tokens: self.tokens() },
        }
    }

    /// Rows that are published.
    pub(super) fn tokens(&self) -> usize {
        self.tokens.load(Ordering::Relaxed)
    }

    /// `Free → Writing`, by whoever took the slot's number off the free list.
    pub(super) fn claim(&self) {
        // Acquire: all that former readers did has happened.
        let claimed = self.word.compare_exchange(FREE, WRITING, Ordering::Acquire, Ordering::Relaxed);
        assert!(claimed.is_ok(), "a slot on the free list was not free: {claimed:?}");
    }

    /// `Writing → Ready`, by the writer, which is a reader from now on.
    pub(super) fn publish(&self, tokens: usize) {
        self.tokens.store(tokens, Ordering::Relaxed);
        // Release: whoever reads sees the rows.
        self.word.store(1, Ordering::Release);
    }

    /// `Writing → Free`, by the writer.
    pub(super) fn abandon(&self) {
        self.word.store(FREE, Ordering::Release);
    }

    /// One reader more, by a reader.
    pub(super) fn share(&self) {
        // Relaxed as in `Arc`: the new reader got its right from one that has it.
        self.word.fetch_add(1, Ordering::Relaxed);
    }

    /// One reader less, by that reader; says whether it was the last and the slot is free now.
    pub(super) fn release(&self) -> bool {
        // Release: what this reader read was read before the slot is free; the next writer acquires that in `claim`.
        self.word.fetch_sub(1, Ordering::Release) == 1
    }

    /// The memory, for its writer.
    ///
    /// # Safety
    /// The caller is the slot's one writer, and stays mutably borrowed for as long as the memory is.
    #[expect(clippy::mut_from_ref, reason = "the word hands out the right to write, as a lock would")]
    pub(super) unsafe fn memory_mut(&self) -> &mut AlignedBuffer {
        // SAFETY: the word is `WRITING`, so there is no reader and only this writer, which is lent along.
        self.memory.with_mut(|memory| unsafe { &mut *memory })
    }

    /// The memory, for a reader.
    ///
    /// # Safety
    /// The caller is a reader of this slot for as long as the memory is borrowed.
    pub(super) unsafe fn memory(&self) -> &AlignedBuffer {
        // SAFETY: the word counts this reader, so nobody writes.
        self.memory.with(|memory| unsafe { &*memory })
    }
}
