//! What a node counted of itself in this run; it outlives the node's restarts.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;
use nanomind_hal::{AcceleratorId, JobLabel, JobTiming};
use parking_lot::Mutex;

use crate::report::{AnswerReport, PlacementReport};

/// At most this many answers are kept in full; beyond, the oldest leave the report.
const ANSWERS_KEPT: usize = 256;

#[derive(Default, Debug)]
pub(crate) struct NodeTally {
    inner: Mutex<Inner>,
}

#[derive(Default, Debug)]
struct Inner {
    placements: IndexMap<AcceleratorId, PlacementReport>,
    counters: IndexMap<String, u64>,
    answers: VecDeque<AnswerReport>,
}

impl NodeTally {
    /// A job of the node has run on `accelerator`, and was predicted to run that long.
    pub(crate) fn job(&self, accelerator: AcceleratorId, label: &JobLabel, timing: &JobTiming, predicted: Duration) {
        let mut inner = self.inner.lock();
        let placement = inner
            .placements
            .entry(accelerator)
            .or_insert_with(|| PlacementReport { accelerator: accelerator.to_string(), ..PlacementReport::default() });
        let (predicted, ran) = (predicted.as_secs_f64() * 1e3, timing.ran().as_secs_f64() * 1e3);
        let waited = timing.waited().as_secs_f64() * 1e3;
        placement.jobs += 1;
        placement.tokens += u64::from(label.tokens);
        placement.run_ms += ran;
        placement.predicted_ms += predicted;
        if ran > 0.0 {
            placement.errors += (predicted - ran).abs() / ran;
        }
        placement.wait_ms += waited;
        placement.longest_wait_ms = placement.longest_wait_ms.max(waited);
    }

    /// Adds to a counter of the node's own.
    pub(crate) fn count(&self, counter: &str, by: u64) {
        let mut inner = self.inner.lock();
        match inner.counters.get_mut(counter) {
            Some(count) => *count += by,
            None => {
                inner.counters.insert(counter.to_owned(), by);
            }
        }
    }

    /// Keeps the report of one answer.
    pub(crate) fn answer(&self, answer: AnswerReport) {
        let mut inner = self.inner.lock();
        if inner.answers.len() == ANSWERS_KEPT {
            inner.answers.pop_front();
        }
        inner.answers.push_back(answer);
    }

    pub(crate) fn placements(&self) -> Vec<PlacementReport> {
        self.inner.lock().placements.values().cloned().collect()
    }

    pub(crate) fn counters(&self) -> IndexMap<String, u64> {
        self.inner.lock().counters.clone()
    }

    pub(crate) fn answers(&self) -> Vec<AnswerReport> {
        self.inner.lock().answers.iter().cloned().collect()
    }
}
