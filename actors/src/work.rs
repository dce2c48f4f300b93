//! Typical work: what a node has accelerators do each time it fires, learnt from the jobs that it submits.

use nanomind_hal::{JobCost, Phase};

use crate::governor::PhaseWork;

/// How much of a firing goes into the running mean.
const NEWEST: f64 = 0.2;

/// What a node does each time it fires, by phase.
#[derive(Clone, Default, Debug)]
pub(crate) struct TypicalWork {
    /// What is expected before anything was seen.
    expected: Vec<PhaseWork>,
    /// The running mean over firings.
    mean: Vec<PhaseWork>,
    /// The firing that goes on, as sums.
    current: Vec<PhaseWork>,
}

impl TypicalWork {
    /// Work of which this is expected.
    pub(crate) fn expecting(expected: Vec<PhaseWork>) -> TypicalWork {
        TypicalWork { expected, ..TypicalWork::default() }
    }

    /// A job was submitted. Loading and moving are no part of a firing; what declares no cost says nothing.
    pub(crate) fn submitted(&mut self, phase: Phase, cost: JobCost) {
        if matches!(phase, Phase::Load | Phase::Migrate) || cost == JobCost::default() {
            return;
        }
        let sums = of_phase(&mut self.current, phase);
        sums.jobs += 1.0;
        sums.flops += cost.flops as f64;
        sums.bytes += cost.bytes as f64;
    }

    /// The firing is over. One in which nothing was computed, as everything was known already, is no typical one.
    pub(crate) fn fired(&mut self) {
        if self.current.is_empty() {
            return;
        }
        let fired = per_job(&std::mem::take(&mut self.current));
        if self.mean.is_empty() {
            self.mean = fired;
            return;
        }
        for mean in &mut self.mean {
            let now = fired.iter().find(|part| part.phase == mean.phase);
            mean.jobs += NEWEST * (now.map_or(0.0, |now| now.jobs) - mean.jobs);
            if let Some(now) = now {
                mean.flops += NEWEST * (now.flops - mean.flops);
                mean.bytes += NEWEST * (now.bytes - mean.bytes);
            }
        }
        let new = fired.into_iter().filter(|part| self.mean.iter().all(|mean| mean.phase != part.phase));
        let new: Vec<PhaseWork> = new.map(|part| PhaseWork { jobs: part.jobs * NEWEST, ..part }).collect();
        self.mean.extend(new);
    }

    /// What a firing typically does, costs by job; while the first one goes on, what it has done so far.
    pub(crate) fn typical(&self) -> Vec<PhaseWork> {
        match (self.mean.is_empty(), self.current.is_empty()) {
            (false, _) => self.mean.clone(),
            (true, false) => per_job(&self.current),
            (true, true) => self.expected.clone(),
        }
    }
}

fn of_phase(parts: &mut Vec<PhaseWork>, phase: Phase) -> &mut PhaseWork {
    let index = parts.iter().position(|part| part.phase == phase).unwrap_or_else(|| {
        parts.push(PhaseWork { phase, jobs: 0.0, flops: 0.0, bytes: 0.0 });
        parts.len() - 1
    });
    &mut parts[index]
}

/// Sums over jobs, as costs of one.
fn per_job(sums: &[PhaseWork]) -> Vec<PhaseWork> {
    let one = |sum: &PhaseWork| PhaseWork { flops: sum.flops / sum.jobs, bytes: sum.bytes / sum.jobs, ..*sum };
    sums.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(flops: u64) -> JobCost {
        JobCost { flops, bytes: 8 }
    }

    #[test]
    fn a_firing_is_what_its_jobs_cost_in_the_mean() {
        let mut work =
            TypicalWork::expecting(vec![PhaseWork { phase: Phase::Decode, jobs: 1.0, flops: 5.0, bytes: 5.0 }]);
        assert_eq!(work.typical()[0].flops, 5.0);
        work.submitted(Phase::Load, cost(999));
        work.submitted(Phase::Decode, JobCost::default());
        assert_eq!(work.typical()[0].flops, 5.0, "neither loading nor unknown costs are work");
        for flops in [100, 300] {
            work.submitted(Phase::Decode, cost(flops));
        }
        assert_eq!(work.typical(), [PhaseWork { phase: Phase::Decode, jobs: 2.0, flops: 200.0, bytes: 8.0 }]);
        work.fired();
        work.fired();
        assert_eq!(work.typical()[0].jobs, 2.0, "a firing that computed nothing is none");
    }

    #[test]
    fn the_mean_follows_what_firings_do_now() {
        let mut work = TypicalWork::default();
        for jobs in [1; 40].into_iter().chain([9; 40]) {
            (0..jobs).for_each(|_| work.submitted(Phase::Prefill, cost(10)));
            work.fired();
        }
        let typical = work.typical();
        assert!((typical[0].jobs - 9.0).abs() < 0.01, "{typical:?}");
    }
}
