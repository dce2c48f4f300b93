//! Edges: bounded channels between nodes, counted in packets and tokens, with a policy for when they are full.

mod counters;
mod name;
mod queue;
mod receiver;
mod sender;
mod state;

pub use counters::EdgeCounts;
pub use name::EdgeName;
pub use receiver::EdgeReceiver;
pub use sender::{EdgeClosed, EdgeProbe, EdgeSender};
pub use state::EdgeOptions;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cancellation::Cancellations;
use crate::energy::EdgeMeter;
use crate::request::Requests;
use nanomind_hal::Clock;

/// What an edge knows of its run.
#[derive(Clone, Debug)]
pub struct EdgeContext {
    /// Time for traces.
    pub clock: Clock,
    /// Asked on every send and pop.
    pub cancellations: Cancellations,
    /// Told when a policy drops the end of a request.
    pub requests: Requests,
    /// Numbers the hops of all edges.
    pub hops: HopCounter,
    /// Told what crosses the edge and what it drops.
    pub meter: EdgeMeter,
}

/// Numbers hops, so that a trace can draw each as an arrow.
#[derive(Clone, Default, Debug)]
pub struct HopCounter(Arc<AtomicU64>);

impl HopCounter {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Opens an edge.
pub fn edge(name: EdgeName, options: EdgeOptions, context: EdgeContext) -> (EdgeSender, EdgeReceiver) {
    let (queue_in, queue_out, drain) = queue::bounded(options.capacity_packets.max(1));
    let state = state::EdgeState::new(name, options, context);
    (EdgeSender::new(state.clone(), queue_in, drain), EdgeReceiver::new(state, queue_out))
}

#[cfg(test)]
mod tests;
