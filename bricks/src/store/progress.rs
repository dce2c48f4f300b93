//! What a pull tells while it works.
use std::time::Duration;

/// Something that a person who waits for a pull wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullEvent<'a> {
    /// Another process fetches the same model; this one waits for it.
    Waiting,
    /// So many bytes of the download are here.
    Fetching {
        /// Bytes so far.
        bytes: u64,
        /// All bytes, where known.
        total: Option<u64>,
    },
    /// The connection broke; the pull goes on after a pause.
    Retrying {
        /// Why.
        cause: &'a str,
        /// How many bytes are kept.
        kept: u64,
        /// The pause.
        wait: Duration,
    },
    /// So many bytes of the model are unpacked.
    Unpacking {
        /// Bytes so far.
        bytes: u64,
        /// All bytes.
        total: u64,
    },
}

/// Receives the events of a pull, on the thread that pulls.
pub type PullProgress<'a> = dyn FnMut(PullEvent<'_>) + 'a;
