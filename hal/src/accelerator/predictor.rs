//! What a job will take: declared cost against measured rate, learned phase by phase from the jobs that ran.

use std::time::Duration;

use super::order::{JobCost, Phase};
use crate::profile::Roofline;

/// What one core is assumed to do before anything was measured; corrected by the first job that ran.
const FLOPS_PER_SECOND: f64 = 20e9;
const BYTES_PER_SECOND: f64 = 10e9;

/// The time that any job takes, however little it does.
const LEAST_SECONDS: f64 = 2e-6;

/// The weight of the newest job in the running mean.
const NEWEST: f64 = 0.2;

/// Predicts the run time of jobs of one accelerator.
#[derive(Debug, Default)]
pub(super) struct Predictor {
    /// What it is by its profile; without one, it is taken for one assumed core until a job has run.
    roofline: Option<Roofline>,
    /// For each phase: measured over assumed time, a running mean.
    factors: [Option<f64>; Phase::ALL.len()],
}

impl Predictor {
    /// A predictor that starts from a profile.
    pub(super) fn seeded(roofline: Roofline) -> Predictor {
        Predictor { roofline: Some(roofline), ..Predictor::default() }
    }

    /// The time that a job of this phase and cost is going to run. A phase of which nothing ran yet takes the mean
    /// of the other phases.
    pub(super) fn predict(&self, phase: Phase, cost: JobCost) -> Duration {
        let factor = self.factors[phase as usize].or_else(|| self.mean()).unwrap_or(1.0);
        Duration::try_from_secs_f64(self.assumed(phase, cost) * factor).unwrap_or(Duration::MAX)
    }

    /// Learns from a job that ran. One that declared no cost, since it was not known, says nothing about a rate.
    pub(super) fn learn(&mut self, phase: Phase, cost: JobCost, ran: Duration) {
        if cost == JobCost::default() {
            return;
        }
        let measured = ran.as_secs_f64() / self.assumed(phase, cost);
        let factor = &mut self.factors[phase as usize];
        *factor = Some(factor.map_or(measured, |mean| mean + NEWEST * (measured - mean)));
    }

    fn mean(&self) -> Option<f64> {
        let known = self.factors.iter().flatten();
        let count = known.clone().count();
        (count > 0).then(|| known.sum::<f64>() / count as f64)
    }

    /// The time before anything was measured: by the profile, or by whichever of arithmetic and memory takes longer on
    /// the assumed core.
    fn assumed(&self, phase: Phase, cost: JobCost) -> f64 {
        let profiled = self.roofline.as_ref().and_then(|roofline| roofline.time(phase, cost));
        let seconds = profiled
            .map(|time| time.as_secs_f64())
            .unwrap_or_else(|| (cost.flops as f64 / FLOPS_PER_SECOND).max(cost.bytes as f64 / BYTES_PER_SECOND));
        seconds.max(LEAST_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prediction_scales_with_cost_and_follows_what_was_measured() {
        let mut predictor = Predictor::default();
        let small = JobCost { flops: 2_000_000_000, bytes: 0 };
        let large = JobCost { flops: 8_000_000_000, bytes: 0 };
        for _ in 0..40 {
            predictor.learn(Phase::Prefill, small, Duration::from_millis(10));
        }
        let predicted = predictor.predict(Phase::Prefill, large);
        assert!(predicted.abs_diff(Duration::from_millis(40)) < Duration::from_micros(1), "{predicted:?}");
        assert_eq!(predictor.predict(Phase::Decode, large), predicted, "an unknown phase takes the mean");
        for _ in 0..40 {
            predictor.learn(Phase::Prefill, small, Duration::from_millis(20));
        }
        let slower = predictor.predict(Phase::Prefill, large);
        assert!(slower.abs_diff(Duration::from_millis(80)) < Duration::from_millis(1), "{slower:?}");
    }

    #[test]
    fn a_job_of_unknown_cost_does_not_make_others_look_slow() {
        let mut predictor = Predictor::default();
        let chunk = JobCost { flops: 2_000_000_000, bytes: 0 };
        let before = predictor.predict(Phase::Prefill, chunk);
        for phase in [Phase::Load, Phase::Prefill] {
            predictor.learn(phase, JobCost::default(), Duration::from_millis(300));
        }
        assert_eq!(predictor.predict(Phase::Prefill, chunk), before);
    }

    #[test]
    fn no_cost_and_absurd_cost_have_a_prediction() {
        let mut predictor = Predictor::default();
        assert!(predictor.predict(Phase::Load, JobCost::default()) > Duration::ZERO);
        predictor.learn(Phase::Load, JobCost { flops: 1, bytes: 0 }, Duration::from_secs(1 << 40));
        let absurd = predictor.predict(Phase::Load, JobCost { flops: u64::MAX, bytes: u64::MAX });
        assert!(absurd > Duration::from_secs(1 << 40), "{absurd:?}");
    }
}
