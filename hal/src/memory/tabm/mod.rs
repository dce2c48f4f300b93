//! The token-aware buffer manager: embeddings travel from brick to brick in slots that are written once, read in
//! place, and never copied.
//!
//! A pool is allocated once. A producer takes a free slot as its [`SlotWriter`], writes rows at their final positions
//! and publishes them; from then on they are immutable, and [`SlotReader`]s travel on. When the last one is dropped, the
//! slot is free again. Both are guards: whoever panics or is cancelled gives its slot back.

mod free;
mod geometry;
#[cfg(all(test, loom))]
mod loom_tests;
mod reader;
mod slot;
#[cfg(all(test, not(loom)))]
mod tests;
mod writer;

use std::fmt;

pub use geometry::{ElementType, PoolError, SlotGeometry};
pub use reader::SlotReader;
pub use writer::SlotWriter;

use crate::sync::{Arc, AtomicU64, Ordering};
use free::FreeList;
use slot::{Slot, SlotState};

/// Slots of one geometry. Clones are handles of the same pool; the memory lives until the last handle, writer and
/// reader are gone.
#[derive(Clone)]
pub struct SlotPool {
    shared: Arc<Shared>,
}

struct Shared {
    geometry: SlotGeometry,
    slots: Box<[Slot]>,
    free: FreeList,
    acquired: AtomicU64,
    published: AtomicU64,
    copied_bytes: AtomicU64,
}

impl SlotPool {
    /// A pool with all its memory allocated, and all slots free.
    ///
    /// # Errors
    /// The geometry is empty, its size overflows, or there is no such amount of memory.
    pub fn new(geometry: SlotGeometry) -> Result<SlotPool, PoolError> {
        let bytes = geometry.slot_bytes()?;
        let slots: Vec<Slot> = (0..geometry.slots).map(|_| Slot::new(bytes)).collect::<Result<_, _>>()?;
        let free = FreeList::full(geometry.slots);
        let counter = || AtomicU64::new(0);
        let shared = Shared {
            geometry,
            slots: slots.into(),
            free,
            acquired: counter(),
            published: counter(),
            copied_bytes: counter(),
        };
        Ok(SlotPool { shared: Arc::new(shared) })
    }

    /// What its slots are like.
    pub fn geometry(&self) -> SlotGeometry {
        self.shared.geometry
    }

    /// A free slot to write, if there is one.
    pub fn try_acquire(&self) -> Option<SlotWriter> {
        self.shared.free.try_take().map(|index| self.writer(index))
    }

    /// Waits for a free slot, whoever came first being served first. Cancelling the wait loses no slot.
    #[cfg(not(loom))]
    pub async fn acquire(&self) -> SlotWriter {
        self.writer(self.shared.free.take().await)
    }

    /// The state of the pool and what went through it. Counts that belong together may be a moment apart.
    pub fn stats(&self) -> PoolStats {
        let shared = &*self.shared;
        let mut stats = PoolStats {
            free: 0,
            writing: 0,
            ready_or_reading: 0,
            tokens_in_flight: 0,
            acquired: shared.acquired.load(Ordering::Relaxed),
            published: shared.published.load(Ordering::Relaxed),
            copied_bytes: shared.copied_bytes.load(Ordering::Relaxed),
        };
        for slot in &shared.slots {
            match slot.state() {
                SlotState::Free => stats.free += 1,
                SlotState::Writing => stats.writing += 1,
                SlotState::Held { tokens } => {
                    stats.ready_or_reading += 1;
                    stats.tokens_in_flight += tokens;
                }
            }
        }
        stats
    }

    fn writer(&self, index: usize) -> SlotWriter {
        self.shared.acquired.fetch_add(1, Ordering::Relaxed);
        SlotWriter::claim(Arc::clone(&self.shared), index)
    }
}

impl fmt::Debug for SlotPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotPool").field("geometry", &self.geometry()).field("stats", &self.stats()).finish()
    }
}

/// A pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Slots that can be acquired.
    pub free: usize,
    /// Slots that a writer holds.
    pub writing: usize,
    /// Slots that are published and that readers hold.
    pub ready_or_reading: usize,
    /// Tokens in published slots that readers hold.
    pub tokens_in_flight: usize,
    /// Slots acquired since the pool was made.
    pub acquired: u64,
    /// Slots published since the pool was made.
    pub published: u64,
    /// Embedding bytes that were moved without arithmetic since the pool was made; conversions count.
    pub copied_bytes: u64,
}
