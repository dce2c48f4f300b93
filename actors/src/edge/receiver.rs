//! The consuming end of an edge.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::EdgeName;
use super::queue::QueueReceiver;
use super::state::{EdgeState, Envelope};
use crate::packet::Packet;

/// Takes packets from an edge. When the last receiver is dropped the edge is closed and what waits in it is lost: slots
/// return to their pool, and requests that would have ended here are settled.
pub struct EdgeReceiver {
    state: Arc<EdgeState>,
    queue: QueueReceiver<Envelope>,
}

impl EdgeReceiver {
    pub(super) fn new(state: Arc<EdgeState>, queue: QueueReceiver<Envelope>) -> EdgeReceiver {
        state.add_receiver();
        EdgeReceiver { state, queue }
    }

    /// Which edge this is.
    pub fn name(&self) -> &EdgeName {
        &self.state.name
    }

    /// Packets that wait now.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The next packet; `None` at the end of the stream. Packets of cancelled epochs are dropped here and counted.
    pub async fn recv(&mut self) -> Option<Packet> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`EdgeReceiver::recv`], for a caller that waits on several edges; safe to abandon between polls.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Packet>> {
        loop {
            let Poll::Ready(next) = self.queue.poll_pop(cx) else { return Poll::Pending };
            let Some(envelope) = next else { return Poll::Ready(None) };
            let Envelope { packet, hop, .. } = envelope;
            let state = &self.state;
            if state.is_cancelled(&packet) {
                state.counters.cancelled();
                state.context.meter.dropped(packet.request);
                continue;
            }
            state.counters.received();
            crate::trace::hop_received(&state.label, &state.name.to_node, hop, state.context.clock.now());
            return Poll::Ready(Some(packet));
        }
    }
}

impl Clone for EdgeReceiver {
    fn clone(&self) -> Self {
        self.state.add_receiver();
        EdgeReceiver { state: Arc::clone(&self.state), queue: self.queue.clone() }
    }
}

impl Drop for EdgeReceiver {
    fn drop(&mut self) {
        if !self.state.remove_receiver() {
            return;
        }
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(envelope)) = self.queue.poll_pop(&mut nobody) {
            self.state.lose(&envelope.packet);
        }
    }
}
