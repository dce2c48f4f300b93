//! What an accelerator has done and has before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::id::AcceleratorId;
use super::job::JobTiming;
use super::order::JobLabel;
use crate::clock::Timestamp;

/// An accelerator at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceleratorStats {
    /// Which one.
    pub id: AcceleratorId,
    /// Jobs that wait, the running one not among them.
    pub queue_depth: usize,
    /// The job that runs.
    pub running: Option<RunningJob>,
    /// How long the jobs that wait and the rest of the running one are going to take, as predicted.
    pub backlog: Duration,
    /// All jobs that ended.
    pub total: JobTotals,
    /// The jobs that ended, by node.
    pub nodes: BTreeMap<Arc<str>, JobTotals>,
}

/// A job that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningJob {
    /// Whose work it is.
    pub label: JobLabel,
    /// When it began, cores in hand.
    pub since: Timestamp,
}

/// Sums over jobs that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobTotals {
    /// How many ended, panicked ones among them.
    pub jobs: u64,
    /// How many panicked.
    pub panicked: u64,
    /// The tokens they worked on.
    pub tokens: u64,
    /// The time they ran.
    pub busy: Duration,
    /// The time they waited between submission and start.
    pub waited: Duration,
    /// The longest that one waited.
    pub waited_max: Duration,
}

impl JobTotals {
    pub(super) fn add(&mut self, label: &JobLabel, timing: JobTiming, succeeded: bool) {
        self.jobs += 1;
        self.panicked += u64::from(!succeeded);
        self.tokens += u64::from(label.tokens);
        self.busy += timing.ran();
        self.waited += timing.waited();
        self.waited_max = self.waited_max.max(timing.waited());
    }
}
