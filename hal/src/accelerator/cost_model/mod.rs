//! The cost model of one accelerator: how long a job takes, for each node and phase, seeded by the device's profile and
//! corrected by the jobs that ran. Chunk sizes, backlogs, placements and traces all ask it; there is no other.

mod accuracy;
mod line;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use accuracy::Accuracy;

use super::order::{JobCost, JobLabel, Phase};
use crate::profile::Roofline;
use accuracy::Errors;
use line::Line;

/// What one core is assumed to do where there is no profile; corrected by the first job that ran.
const FLOPS_PER_SECOND: f64 = 20e9;
const BYTES_PER_SECOND: f64 = 10e9;
/// So many cores are assumed to do cores^this of it.
const SCALING: f64 = 0.8;
/// The time that any job takes, however little it does.
const LEAST_SECONDS: f64 = 2e-6;
/// The weight of the newest job in what a phase takes of its seed over all nodes.
const NEWEST: f64 = 0.2;
/// So many nodes have lines of their own; more share those of the phases.
const MOST_NODES: usize = 256;

/// How long jobs take on one accelerator.
#[derive(Debug)]
pub(super) struct CostModel {
    /// What the accelerator is by its profile.
    roofline: Option<Roofline>,
    /// Without one, how much faster than one assumed core it is taken to be.
    speed: f64,
    nodes: BTreeMap<Arc<str>, NodeModel>,
    /// For each phase: measured over seeded time of all nodes, a running mean.
    factors: [Option<f64>; Phase::ALL.len()],
}

#[derive(Debug, Default)]
struct NodeModel {
    lines: [Line; Phase::ALL.len()],
    errors: [Errors; Phase::ALL.len()],
}

/// How long a job is going to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The time, from all that is known.
    pub time: Duration,
    /// The time by the profile alone, or by one assumed core where there is none.
    pub seed: Duration,
    /// How many jobs of this node and phase the time rests on.
    pub jobs: u64,
}

impl CostModel {
    /// The model of an accelerator with so many cores, of which nothing is known yet.
    pub(super) fn of_cores(cores: usize) -> CostModel {
        let speed = (cores.max(1) as f64).powf(SCALING);
        CostModel { roofline: None, speed, nodes: BTreeMap::new(), factors: Default::default() }
    }

    /// A model that starts from a profile.
    pub(super) fn seeded(roofline: Roofline) -> CostModel {
        CostModel { roofline: Some(roofline), ..CostModel::of_cores(1) }
    }

    /// Starts from a profile; what was learnt by another seed is forgotten.
    pub(super) fn reseed(&mut self, roofline: Roofline) {
        *self = CostModel::seeded(roofline);
    }

    /// How long a job of this node, phase and cost is going to run. A node of which nothing ran yet takes the phase's
    /// factor on its seed, a phase of which nothing ran yet the mean of the other phases'.
    pub(super) fn predict(&self, node: &str, phase: Phase, cost: JobCost) -> Prediction {
        let seed = self.seed(phase, cost);
        let line = self.nodes.get(node).map(|model| &model.lines[phase as usize]);
        let learnt = line.and_then(|line| Some((line.at(seed)?, line.jobs())));
        let (seconds, jobs) = learnt.unwrap_or_else(|| {
            let factor = self.factors[phase as usize].or_else(|| self.mean()).unwrap_or(1.0);
            (seed * factor, 0)
        });
        Prediction { time: time(seconds.max(LEAST_SECONDS)), seed: time(seed), jobs }
    }

    /// Learns from a job that was predicted and ran. One that declared no cost, since it was not known, says nothing.
    pub(super) fn learn(&mut self, label: &JobLabel, cost: JobCost, predicted: Duration, ran: Duration) {
        if cost == JobCost::default() {
            return;
        }
        let (seed, phase) = (self.seed(label.phase, cost), label.phase as usize);
        let measured = ran.as_secs_f64() / seed;
        let factor = &mut self.factors[phase];
        *factor = Some(factor.map_or(measured, |mean| mean + NEWEST * (measured - mean)));
        if !self.nodes.contains_key(&label.node) {
            if self.nodes.len() == MOST_NODES {
                return;
            }
            self.nodes.insert(Arc::clone(&label.node), NodeModel::default());
        }
        if let Some(model) = self.nodes.get_mut(&label.node) {
            model.lines[phase].learn(seed, ran);
            model.errors[phase].add(predicted, ran);
        }
    }

    /// How good predictions were, by node and phase.
    pub(super) fn accuracy(&self) -> Vec<Accuracy> {
        let of_node = |(node, model): (&Arc<str>, &NodeModel)| {
            let phases = Phase::ALL.into_iter();
            phases.filter_map(|phase| model.errors[phase as usize].accuracy(node, phase)).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of_node).collect()
    }

    fn mean(&self) -> Option<f64> {
        let known = self.factors.iter().flatten();
        let count = known.clone().count();
        (count > 0).then(|| known.sum::<f64>() / count as f64)
    }

    /// The seconds before anything was measured: by the profile, or by whichever of arithmetic and memory takes longer on
    /// the assumed cores.
    fn seed(&self, phase: Phase, cost: JobCost) -> f64 {
        let profiled = self.roofline.as_ref().and_then(|roofline| roofline.time(phase, cost));
        let seconds = profiled.map(|time| time.as_secs_f64()).unwrap_or_else(|| {
            (cost.flops as f64 / FLOPS_PER_SECOND).max(cost.bytes as f64 / BYTES_PER_SECOND) / self.speed
        });
        seconds.max(LEAST_SECONDS)
    }
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(node: &str, phase: Phase) -> JobLabel {
        JobLabel { node: node.into(), phase, tokens: 1 }
    }

    fn run(model: &mut CostModel, node: &str, phase: Phase, cost: JobCost, ran: Duration) {
        let predicted = model.predict(node, phase, cost).time;
        model.learn(&label(node, phase), cost, predicted, ran);
    }

    const SMALL: JobCost = JobCost { flops: 2_000_000_000, bytes: 0 };
    const LARGE: JobCost = JobCost { flops: 8_000_000_000, bytes: 0 };

    #[test]
    fn prediction_scales_with_cost_and_follows_what_was_measured() {
        let mut model = CostModel::of_cores(1);
        for _ in 0..40 {
            run(&mut model, "mind", Phase::Prefill, SMALL, Duration::from_millis(10));
        }
        let predicted = model.predict("mind", Phase::Prefill, LARGE);
        assert!(predicted.time.abs_diff(Duration::from_millis(40)) < Duration::from_micros(10), "{predicted:?}");
        assert_eq!((predicted.jobs, predicted.seed), (40, Duration::from_millis(400)));
        let other = model.predict("mind", Phase::Decode, LARGE);
        assert!(other.time.abs_diff(predicted.time) < Duration::from_micros(10), "an unknown phase takes the mean");
        assert_eq!(other.jobs, 0);
    }

    #[test]
    fn nodes_of_one_phase_have_lines_of_their_own() {
        let mut model = CostModel::of_cores(1);
        for _ in 0..20 {
            run(&mut model, "small", Phase::Decode, SMALL, Duration::from_millis(10));
            run(&mut model, "large", Phase::Decode, SMALL, Duration::from_millis(30));
        }
        let time = |node| model.predict(node, Phase::Decode, SMALL).time.as_millis();
        assert_eq!((time("small"), time("large")), (10, 30));
        assert!((10..=30).contains(&time("new")), "a new node starts from what the phase takes of its seed");
        let accuracy = model.accuracy();
        assert_eq!(accuracy.len(), 2);
        assert!(accuracy.iter().all(|one| one.jobs == 20 && one.median_error().is_some_and(|error| error < 0.01)));
    }

    #[test]
    fn more_cores_are_taken_for_faster_before_anything_ran() {
        let time = |cores| CostModel::of_cores(cores).predict("mind", Phase::Decode, LARGE).time;
        assert!(time(4) < time(1) / 2 && time(4) > time(1) / 4, "{:?} {:?}", time(4), time(1));
    }

    #[test]
    fn a_job_of_unknown_cost_does_not_make_others_look_slow() {
        let mut model = CostModel::of_cores(1);
        let before = model.predict("mind", Phase::Prefill, SMALL);
        for phase in [Phase::Load, Phase::Prefill] {
            run(&mut model, "mind", phase, JobCost::default(), Duration::from_millis(300));
        }
        assert_eq!(model.predict("mind", Phase::Prefill, SMALL), before);
    }

    #[test]
    fn memory_is_bounded_whatever_nodes_are_called() {
        let mut model = CostModel::of_cores(1);
        for node in 0..2 * MOST_NODES {
            run(&mut model, &node.to_string(), Phase::Decode, SMALL, Duration::from_millis(10));
        }
        assert_eq!(model.nodes.len(), MOST_NODES);
    }

    #[test]
    fn no_cost_and_absurd_cost_have_a_prediction() {
        let mut model = CostModel::of_cores(1);
        assert!(model.predict("mind", Phase::Load, JobCost::default()).time > Duration::ZERO);
        run(&mut model, "mind", Phase::Load, JobCost { flops: 1, bytes: 0 }, Duration::from_secs(1 << 40));
        let absurd = model.predict("mind", Phase::Load, JobCost { flops: u64::MAX, bytes: u64::MAX }).time;
        assert!(absurd > Duration::from_secs(1 << 40), "{absurd:?}");
    }
}
