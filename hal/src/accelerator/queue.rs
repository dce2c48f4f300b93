//! The jobs that wait for an accelerator, in the order in which they will run.

use std::collections::VecDeque;
use std::time::Duration;

use super::job::Job;
use super::order::{JobClass, JobOrder};
use crate::clock::Timestamp;

/// A job that waits.
pub(super) struct Waiting {
    pub(super) order: JobOrder,
    pub(super) submitted: Timestamp,
    pub(super) job: Box<dyn Job>,
}

/// Waiting jobs: within a class in the order of submission, between classes by submission plus patience. So an urgent
/// job overtakes, but no job waits longer than its class's patience beyond the urgent work that came before that.
#[derive(Default)]
pub(super) struct Queue {
    classes: [VecDeque<Waiting>; JobClass::ALL.len()],
}

impl Queue {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.classes[waiting.order.class as usize].push_back(waiting);
    }

    /// Takes out the job that goes next.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let due = |class: &VecDeque<Waiting>| class.front().map(|job| job.submitted + job.order.class.patience());
        // The first of equals is the more urgent.
        let (_, class) =
            self.classes.iter_mut().filter_map(|class| Some((due(class)?, class))).min_by_key(|(due, _)| *due)?;
        class.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(VecDeque::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of what `predict` says of each job.
    pub(super) fn backlog(&self, predict: impl Fn(&JobOrder) -> Duration) -> Duration {
        self.classes.iter().flatten().fold(Duration::ZERO, |sum, job| sum.saturating_add(predict(&job.order)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::{AcceleratorId, AcceleratorKind};
    use super::super::job::job;
    use super::super::order::{JobCost, JobLabel, Phase};
    use super::*;
    use proptest::prelude::*;

    fn waiting(class: JobClass, submitted_ms: u64, number: u32) -> Waiting {
        let label = JobLabel { node: "test".into(), phase: Phase::Decode, tokens: number };
        let (job, _handle) = job(AcceleratorId::whole(AcceleratorKind::Cpu), |_| ());
        let order = JobOrder { label, class, cost: JobCost::default() };
        Waiting { order, submitted: Timestamp::from_nanos(submitted_ms * 1_000_000), job }
    }

    fn drain(queue: &mut Queue) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop()).map(|job| job.order.label.tokens).collect()
    }

    #[test]
    fn urgent_jobs_overtake_and_equals_keep_their_order() {
        let mut queue = Queue::default();
        let jobs = [JobClass::Vision, JobClass::Prefill, JobClass::Decode, JobClass::Audio, JobClass::Control];
        for (number, class) in jobs.into_iter().chain(jobs).enumerate() {
            queue.push(waiting(class, 0, number as u32));
        }
        assert_eq!(queue.len(), 10);
        assert_eq!(drain(&mut queue), [4, 9, 3, 8, 2, 7, 1, 6, 0, 5]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_job_that_has_waited_beyond_its_patience_goes_first() {
        let mut queue = Queue::default();
        queue.push(waiting(JobClass::Vision, 0, 1));
        queue.push(waiting(JobClass::Decode, 400, 2));
        queue.push(waiting(JobClass::Decode, 476, 3));
        assert_eq!(drain(&mut queue), [2, 1, 3]);
    }

    proptest! {
        #[test]
        fn no_job_is_lost_and_each_class_keeps_its_order(classes in proptest::collection::vec(0usize..5, 0..60)) {
            let mut queue = Queue::default();
            for (number, class) in classes.iter().enumerate() {
                queue.push(waiting(JobClass::ALL[*class], number as u64 * 7, number as u32));
            }
            let order = drain(&mut queue);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..classes.len() as u32).collect::<Vec<_>>());
            for class in 0..5 {
                let of_class: Vec<u32> = order.iter().copied().filter(|job| classes[*job as usize] == class).collect();
                prop_assert!(of_class.is_sorted(), "{:?}", of_class);
            }
        }
    }
}
