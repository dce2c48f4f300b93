//! Traces: what ran where and when, as a Chrome trace that Perfetto and `chrome://tracing` open.
//!
//! The runtime says what happened through the functions of [`emit`](self) at the boundaries of jobs, hops and node
//! work; each is one `tracing` event of the target [`TARGET`]. A [`TraceLayer`] in the subscriber turns those into
//! records in a bounded ring, and [`TraceFile::flush`] writes the ring out now and then. Without such a layer an event
//! costs one relaxed load.
//!
//! Source of the format: "Trace Event Format" (JSON array form).

mod chrome;
mod emit;
mod file;
mod layer;
mod record;
mod summary;

pub use emit::{Foreseen, counter, decision, hop_received, hop_sent, job, mark, node_span, pool};
pub use file::{TraceError, TraceFile};
pub use layer::TraceLayer;
pub use summary::{EdgeSummary, NodeSummary, PoolSummary, SummaryError, TraceSummary};

/// The target of every `tracing` event that belongs in a trace.
pub const TARGET: &str = "nanomind::trace";

/// How the counters of a pool are called, before its name.
const SLOTS_IN_USE: &str = "slots in use ";
const COPIED_BYTES: &str = "copied bytes ";
