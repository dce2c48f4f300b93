//! The events of a trace, one function for each kind.

use std::time::Duration;

use nanomind_hal::{AcceleratorId, JobLabel, JobTiming, MicroJoules, Timestamp};

use super::{COPIED_BYTES, SLOTS_IN_USE, TARGET};
use crate::request::RequestId;

/// What was foreseen of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Foreseen {
    /// How long it was going to run, as predicted when it began.
    pub predicted: Duration,
    /// What it took by the device's profile; nothing where there is none.
    pub energy: Option<MicroJoules>,
}

/// A job has run: a slice on the track of its accelerator.
pub fn job(
    accelerator: &AcceleratorId,
    label: &JobLabel,
    timing: &JobTiming,
    foreseen: &Foreseen,
    request: Option<RequestId>,
) {
    tracing::trace!(
        target: TARGET,
        kind = "job",
        track = %accelerator,
        node = &*label.node,
        phase = %label.phase,
        tokens = u64::from(label.tokens),
        begin = timing.started.as_nanos(),
        length = nanos(timing.finished.since(timing.started)),
        wait = nanos(timing.started.since(timing.submitted)),
        predicted = nanos(foreseen.predicted),
        energy = foreseen.energy.map(MicroJoules::get),
        request = request.map(|request| request.0),
    );
}

/// A packet has left a node: the tail of a flow arrow. `hop` is unique among the packets of all edges.
pub fn hop_sent(edge: &str, node: &str, hop: u64, tokens: u32, now: Timestamp) {
    tracing::trace!(
        target: TARGET,
        kind = "sent",
        track = node,
        edge,
        hop,
        tokens = u64::from(tokens),
        begin = now.as_nanos(),
    );
}

/// A packet has been taken by its receiver: the head of a flow arrow.
pub fn hop_received(edge: &str, node: &str, hop: u64, now: Timestamp) {
    tracing::trace!(target: TARGET, kind = "received", track = node, edge, hop, begin = now.as_nanos());
}

/// A node has worked on something from `begin` to `end`: a slice on the node's own track.
pub fn node_span(node: &str, what: &str, request: Option<RequestId>, begin: Timestamp, end: Timestamp) {
    tracing::trace!(
        target: TARGET,
        kind = "work",
        track = node,
        what,
        begin = begin.as_nanos(),
        length = nanos(end.since(begin)),
        request = request.map(|request| request.0),
    );
}

/// Something has happened at a node at one moment: a mark on the node's own track.
pub fn mark(node: &str, what: &str, request: Option<RequestId>, now: Timestamp) {
    tracing::trace!(
        target: TARGET,
        kind = "mark",
        track = node,
        what,
        begin = now.as_nanos(),
        request = request.map(|request| request.0),
    );
}

/// A quantity has this value now: a step of the counter `name` ("battery", "queue depth cpu:0", "tokens/s mind").
pub fn counter(name: &str, value: f64, now: Timestamp) {
    tracing::trace!(target: TARGET, kind = "counter", track = name, value, begin = now.as_nanos());
}

/// The slots of a pool and the bytes that were copied out of them, two counters: `slots in use eye.patches`,
/// `copied bytes eye.patches`.
pub fn pool(pool: &str, slots_in_use: usize, copied_bytes: u64, now: Timestamp) {
    counter(&format!("{SLOTS_IN_USE}{pool}"), slots_in_use as f64, now);
    counter(&format!("{COPIED_BYTES}{pool}"), copied_bytes as f64, now);
}

/// The governor has decided something: a mark on its own track.
pub fn decision(what: &str, reason: &str, now: Timestamp) {
    tracing::trace!(target: TARGET, kind = "decision", track = "governor", what, reason, begin = now.as_nanos());
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
