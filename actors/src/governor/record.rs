//! A record of what the governor was told and what it decided, and whoever keeps it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::input::Input;

/// What the governor was told, and what it decided by that. Inputs that changed nothing, neither for the nodes nor in
/// its memory, leave no record: all records in their order give all decisions again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What it was told.
    pub input: Input,
    /// What it decided; may be nothing where only its memory changed.
    pub decisions: Vec<Decision>,
}

/// Is given every record as it is made, on the control thread: it must not block for long.
#[derive(Clone)]
pub struct Recorder(Arc<dyn Fn(&Record) + Send + Sync>);

impl Recorder {
    /// A recorder that calls `keep` with each record.
    pub fn new(keep: impl Fn(&Record) + Send + Sync + 'static) -> Recorder {
        Recorder(Arc::new(keep))
    }

    pub(super) fn keep(&self, record: &Record) {
        (self.0)(record);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

/// At most this many decisions are kept for the report; beyond, the oldest leave it. A run log has all.
const DECISIONS_KEPT: usize = 1024;

/// A decision as the report has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Its number in the run, from 1.
    pub number: u64,
    /// The decision.
    pub decision: Decision,
}

/// The newest decisions of a run.
#[derive(Default, Debug)]
pub(super) struct Decided {
    made: u64,
    newest: VecDeque<DecisionRecord>,
}

impl Decided {
    pub(super) fn add(&mut self, decision: Decision) {
        self.made += 1;
        if self.newest.len() == DECISIONS_KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back(DecisionRecord { number: self.made, decision });
    }

    /// The newest decisions, the oldest of them first.
    pub(super) fn records(&self) -> Vec<DecisionRecord> {
        self.newest.iter().cloned().collect()
    }
}
