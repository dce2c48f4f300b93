//! The producing end of an edge.

use std::sync::Arc;

use nanomind_graphs::QueuePolicy;

use super::queue::{Full, QueueDrain, QueueSender};
use super::state::{EdgeState, Envelope};
use super::{EdgeCounts, EdgeName};
use crate::packet::Packet;
use crate::request::RequestId;

/// The consumer of this edge has ended for good.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nobody receives on {edge} any more")]
pub struct EdgeClosed {
    /// The closed edge.
    pub edge: EdgeName,
}

/// Reads an edge's counts.
#[derive(Clone)]
pub struct EdgeProbe {
    state: Arc<EdgeState>,
}

impl EdgeProbe {
    /// Which edge it is.
    pub fn name(&self) -> &EdgeName {
        &self.state.name
    }

    /// What the edge counted so far.
    pub fn counts(&self) -> EdgeCounts {
        self.state.counts()
    }
}

/// Sends packets into an edge. The edge ends when the last sender is dropped.
#[derive(Clone)]
pub struct EdgeSender {
    state: Arc<EdgeState>,
    queue: QueueSender<Envelope>,
    drain: QueueDrain<Envelope>,
}

impl EdgeSender {
    pub(super) fn new(state: Arc<EdgeState>, queue: QueueSender<Envelope>, drain: QueueDrain<Envelope>) -> EdgeSender {
        EdgeSender { state, queue, drain }
    }

    /// Which edge this is.
    pub fn name(&self) -> &EdgeName {
        &self.state.name
    }

    /// A view of the edge's counts that keeps neither of its ends open.
    pub fn probe(&self) -> EdgeProbe {
        EdgeProbe { state: Arc::clone(&self.state) }
    }

    /// Sends a packet. With `Block` this waits for room; the other policies never wait. A packet of a cancelled epoch
    /// is dropped and counted, and that is no error.
    pub async fn send(&self, packet: Packet) -> Result<(), EdgeClosed> {
        if self.state.is_closed() {
            return Err(self.closed());
        }
        if self.state.is_cancelled(&packet) {
            self.state.counters.cancelled();
            self.state.context.meter.sent(packet.request);
            self.state.context.meter.dropped(packet.request);
            return Ok(());
        }
        match self.state.options.policy {
            QueuePolicy::Block => return self.send_blocking(packet).await,
            QueuePolicy::Latest => {
                while let Some(old) = self.drain.pop_oldest() {
                    self.state.drop_by_policy(&old.packet);
                }
                self.send_or_evict(packet);
            }
            QueuePolicy::DropOldest => self.send_or_evict(packet),
            QueuePolicy::DropNewest => self.send_or_drop(packet),
        }
        Ok(())
    }

    async fn send_blocking(&self, packet: Packet) -> Result<(), EdgeClosed> {
        if self.queue.is_full() || self.state.would_wait(&packet) {
            self.state.counters.waited();
        }
        let Ok(envelope) = self.state.seal(packet).await else { return Err(self.closed()) };
        self.sent(envelope.hop, envelope.packet.request, envelope.packet.tokens);
        // A consumer that ends makes room as it goes; what is pushed into that room has nobody to take it.
        let request = envelope.packet.request;
        let pushed = self.queue.push(envelope).await;
        if !pushed {
            self.state.context.meter.dropped(request);
        }
        if pushed && !self.state.is_closed() { Ok(()) } else { Err(self.closed()) }
    }

    fn send_or_evict(&self, mut packet: Packet) {
        loop {
            packet = match self.state.try_seal(packet) {
                Err(packet) => packet,
                Ok(envelope) => match self.try_push(envelope) {
                    Ok(()) => return,
                    Err(packet) => packet,
                },
            };
            match self.drain.pop_oldest() {
                Some(old) => self.state.drop_by_policy(&old.packet),
                // Nothing waits, so the consumer is between taking a packet and returning its tokens.
                None if self.state.is_closed() => return,
                None => return self.drop_unsent(&packet),
            }
        }
    }

    fn send_or_drop(&self, packet: Packet) {
        let outcome = self.state.try_seal(packet).and_then(|envelope| self.try_push(envelope));
        if let Err(packet) = outcome {
            self.drop_unsent(&packet);
        }
    }

    /// The policy drops a packet that never entered the queue.
    fn drop_unsent(&self, packet: &Packet) {
        self.state.context.meter.sent(packet.request);
        self.state.drop_by_policy(packet);
    }

    fn try_push(&self, envelope: Envelope) -> Result<(), Packet> {
        let (hop, request, tokens) = (envelope.hop, envelope.packet.request, envelope.packet.tokens);
        self.queue.try_push(envelope).map_err(|Full(envelope)| envelope.packet)?;
        self.sent(hop, request, tokens);
        Ok(())
    }

    fn sent(&self, hop: u64, request: RequestId, tokens: u32) {
        let state = &self.state;
        state.counters.sent(tokens);
        state.context.meter.sent(request);
        crate::trace::hop_sent(&state.label, &state.name.from_node, hop, tokens, state.context.clock.now());
    }

    fn closed(&self) -> EdgeClosed {
        EdgeClosed { edge: self.state.name.clone() }
    }
}
