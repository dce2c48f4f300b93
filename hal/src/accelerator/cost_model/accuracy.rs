//! How good predictions were: the newest errors of one kind of job, bounded in number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::super::order::Phase;

/// So many of the newest errors are kept.
const KEPT: usize = 64;

/// The errors of predictions for the jobs of one node in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    jobs: u64,
    /// Predicted over measured, less 1.
    newest: VecDeque<f32>,
}

impl Errors {
    pub(super) fn add(&mut self, predicted: Duration, ran: Duration) {
        self.jobs += 1;
        if self.newest.len() == KEPT {
            self.newest.pop_front();
        }
        let ran = ran.as_secs_f64().max(1e-9);
        self.newest.push_back((predicted.as_secs_f64() / ran - 1.0) as f32);
    }

    pub(super) fn accuracy(&self, node: &Arc<str>, phase: Phase) -> Option<Accuracy> {
        (self.jobs > 0).then(|| Accuracy {
            node: Arc::clone(node),
            phase,
            jobs: self.jobs,
            errors: self.newest.iter().copied().collect(),
        })
    }
}

/// How good predictions were for the jobs of one node in one phase on one accelerator.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// The node.
    pub node: Arc<str>,
    /// The phase.
    pub phase: Phase,
    /// How many jobs of known cost ran.
    pub jobs: u64,
    /// The newest errors, the oldest first: predicted over measured, less 1.
    pub errors: Vec<f32>,
}

impl Accuracy {
    /// The median of the relative errors, signs left out; 0.1 is 10 %.
    pub fn median_error(&self) -> Option<f64> {
        median(self.errors.iter().map(|error| f64::from(error.abs())).collect())
    }

    /// The errors of all but the first `jobs` jobs, as far as they are kept.
    pub fn errors_after(&self, jobs: u64) -> &[f32] {
        let after = usize::try_from(self.jobs.saturating_sub(jobs)).unwrap_or(usize::MAX);
        &self.errors[self.errors.len() - after.min(self.errors.len())..]
    }

    /// The median error with its sign: below 0 where jobs took longer than predicted.
    pub fn bias(&self) -> Option<f64> {
        median(self.errors.iter().copied().map(f64::from).collect())
    }
}

/// The middle value; of an even number, the lower of the two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_errors_are_kept_and_the_first_can_be_left_out() {
        let mut errors = Errors::default();
        for job in 0..100u64 {
            let predicted = if job < 50 { 200 } else { 110 };
            errors.add(Duration::from_millis(predicted), Duration::from_millis(100));
        }
        let accuracy = errors.accuracy(&"mind".into(), Phase::Decode).expect("jobs ran");
        assert_eq!((accuracy.jobs, accuracy.errors.len()), (100, KEPT));
        assert_eq!(accuracy.errors_after(50).len(), 50);
        assert_eq!(accuracy.errors_after(20).len(), KEPT);
        assert!((accuracy.median_error().expect("errors") - 0.1).abs() < 1e-6, "{accuracy:?}");
        assert_eq!(accuracy.errors_after(1000).len(), 0);
    }
}
