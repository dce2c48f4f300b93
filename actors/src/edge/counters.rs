//! What an edge counts: nothing that it drops is lost from sight.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counts of one edge.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EdgeCounts {
    /// Packets that entered the queue.
    pub packets: u64,
    /// Tokens that entered the queue.
    pub tokens: u64,
    /// Packets that the consumer took.
    pub received: u64,
    /// Packets that the policy dropped.
    pub dropped: u64,
    /// Packets dropped because their epoch was cancelled.
    pub cancelled: u64,
    /// Sends that had to wait for room.
    pub waits: u64,
}

#[derive(Default, Debug)]
pub(super) struct EdgeCounters {
    packets: AtomicU64,
    tokens: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    cancelled: AtomicU64,
    waits: AtomicU64,
}

impl EdgeCounters {
    pub(super) fn sent(&self, tokens: u32) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.tokens.fetch_add(u64::from(tokens), Ordering::Relaxed);
    }

    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waited(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> EdgeCounts {
        EdgeCounts {
            packets: self.packets.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
        }
    }
}
