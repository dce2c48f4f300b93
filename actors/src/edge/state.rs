//! What both ends of an edge share: its name, its limits, its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nanomind_graphs::QueuePolicy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::counters::EdgeCounters;
use super::{EdgeContext, EdgeCounts, EdgeName};
use crate::packet::Packet;
use crate::request::RequestEnd;

/// How an edge is bounded and what it does when it is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeOptions {
    /// What happens when it is full.
    pub policy: QueuePolicy,
    /// At most this many packets wait in it (at least one).
    pub capacity_packets: usize,
    /// At most this many tokens wait in it; a single packet larger than this passes alone.
    pub capacity_tokens: usize,
}

/// What travels in the queue: the packet, the number of its hop, and the tokens that it holds of the capacity.
pub(super) struct Envelope {
    pub(super) packet: Packet,
    pub(super) hop: u64,
    _tokens: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) struct EdgeState {
    pub(super) name: EdgeName,
    pub(super) options: EdgeOptions,
    pub(super) context: EdgeContext,
    pub(super) counters: EdgeCounters,
    /// The name as a trace shows it, made once.
    pub(super) label: String,
    dropped_label: String,
    tokens: Arc<Semaphore>,
    receivers: AtomicUsize,
}

impl EdgeState {
    pub(super) fn new(name: EdgeName, options: EdgeOptions, context: EdgeContext) -> Arc<EdgeState> {
        let tokens = Arc::new(Semaphore::new(options.capacity_tokens.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(EdgeState {
            label: name.to_string(),
            dropped_label: format!("dropped {name}"),
            name,
            options,
            context,
            counters: EdgeCounters::default(),
            tokens,
            receivers: AtomicUsize::new(0),
        })
    }

    pub(super) fn counts(&self) -> EdgeCounts {
        self.counters.read()
    }

    pub(super) fn is_cancelled(&self, packet: &Packet) -> bool {
        self.context.cancellations.is_cancelled(packet.epoch)
    }

    /// The tokens that a packet takes of the capacity; never more than there is, so that it can pass at all.
    fn weight(&self, packet: &Packet) -> u32 {
        let capacity = u32::try_from(self.options.capacity_tokens.max(1)).unwrap_or(u32::MAX);
        packet.tokens.min(capacity)
    }

    /// Waits for the packet's tokens. The packet comes back when nobody is left to receive.
    pub(super) async fn seal(&self, packet: Packet) -> Result<Envelope, Packet> {
        match self.tokens.clone().acquire_many_owned(self.weight(&packet)).await {
            Ok(permit) => Ok(self.envelope(packet, permit)),
            Err(_) => Err(packet),
        }
    }

    /// Takes the packet's tokens if they are free.
    pub(super) fn try_seal(&self, packet: Packet) -> Result<Envelope, Packet> {
        match self.tokens.clone().try_acquire_many_owned(self.weight(&packet)) {
            Ok(permit) => Ok(self.envelope(packet, permit)),
            Err(_) => Err(packet),
        }
    }

    fn envelope(&self, packet: Packet, permit: OwnedSemaphorePermit) -> Envelope {
        Envelope { packet, hop: self.context.hops.next(), _tokens: permit }
    }

    /// Whether `tokens` more would have to wait.
    pub(super) fn would_wait(&self, packet: &Packet) -> bool {
        self.tokens.available_permits() < self.weight(packet) as usize
    }

    /// The policy drops a packet: counted, traced, and the request settled where this was its end.
    pub(super) fn drop_by_policy(&self, packet: &Packet) {
        self.counters.dropped();
        crate::trace::counter(&self.dropped_label, self.counters.read().dropped as f64, self.context.clock.now());
        self.lose(packet);
    }

    /// A packet goes nowhere: whoever waits for the end of its request must not wait for ever.
    pub(super) fn lose(&self, packet: &Packet) {
        self.context.meter.dropped(packet.request);
        if packet.last {
            self.context.requests.settle(packet.request, RequestEnd::Dropped);
        }
    }

    pub(super) fn add_receiver(&self) {
        self.receivers.fetch_add(1, Ordering::AcqRel);
    }

    /// True for the last receiver: the edge is closed then, and a sender that waits for tokens wakes up.
    pub(super) fn remove_receiver(&self) -> bool {
        let last = self.receivers.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.tokens.close();
        }
        last
    }

    pub(super) fn is_closed(&self) -> bool {
        self.tokens.is_closed()
    }
}
