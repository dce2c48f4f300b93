//! One record of a trace, as it waits in the ring.

/// What happened, where and when. Times are nanoseconds of the run's clock.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Record {
    Job(Job),
    Work { node: String, what: String, begin: u64, length: u64, request: Option<u64> },
    Mark { node: String, what: String, at: u64, request: Option<u64> },
    Sent { node: String, edge: String, hop: u64, tokens: u64, at: u64 },
    Received { node: String, edge: String, hop: u64, at: u64 },
    Counter { name: String, value: f64, at: u64 },
    Decision { what: String, reason: String, at: u64 },
}

/// One job on an accelerator.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Job {
    pub(super) accelerator: String,
    pub(super) node: String,
    pub(super) phase: String,
    pub(super) tokens: u64,
    pub(super) begin: u64,
    pub(super) length: u64,
    pub(super) wait: u64,
    pub(super) predicted: u64,
    /// Microjoules.
    pub(super) energy: Option<u64>,
    pub(super) request: Option<u64>,
}
