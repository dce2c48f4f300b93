//! What the governor sees when it decides: plain data, and all of it. Two runs that saw the same decide the same.

use std::time::Duration;

use nanomind_hal::{AcceleratorId, Phase, Timestamp};
use serde::{Deserialize, Serialize};

/// Everything that one decision is made from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// When it was gathered.
    pub at: Timestamp,
    /// The battery, where there is one that can be read.
    pub battery: Option<BatteryObservation>,
    /// The temperature of the hottest part, in degrees Celsius, where one is measured.
    pub temperature_c: Option<f64>,
    /// What the device draws while no job runs, where its profile is known.
    pub floor: Option<FloorObservation>,
    /// What is asked of the run.
    pub demand: DemandObservation,
    /// The accelerators that work, the fastest cluster first and the most frugal last.
    pub accelerators: Vec<AcceleratorObservation>,
    /// The nodes that submit jobs, in the order of the graph.
    pub nodes: Vec<NodeObservation>,
}

/// The battery.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct BatteryObservation {
    /// State of charge, 0 to 1.
    pub level: f64,
    /// Whether it is being charged or full on a charger.
    pub charging: bool,
    /// What flows out of it, in watts, where that is measured; what flows in is negative.
    pub watts: Option<f64>,
}

/// What the device draws while no job runs, in watts, by its profile.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct FloorObservation {
    /// With all of it on.
    pub awake_w: f64,
    /// With one core waiting for an event.
    pub standby_w: f64,
}

/// What is asked of the run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DemandObservation {
    /// Requests that have not ended.
    pub open: usize,
    /// Requests that were ever made.
    pub minted: u64,
    /// How long the run had nothing to do between requests, lately.
    pub gaps: Gaps,
}

/// How long a run had nothing to do, time after time: weights by power of two of the gap, the newest weighing most.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Gaps {
    /// The weight of the gaps from 2^(k − 1) to 2^k milliseconds at index k. The last one has all that are longer.
    pub weights: Vec<f64>,
}

/// One accelerator since the look before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AcceleratorObservation {
    /// Which one.
    pub id: AcceleratorId,
    /// The processor cores that it computes on; accelerators that share one never run at once.
    pub cores: Vec<usize>,
    /// Jobs that wait or run now.
    pub queue_depth: usize,
    /// What those jobs are predicted to take, in milliseconds.
    pub backlog_ms: f64,
    /// The bytes of weights that fit there, where it has memory of its own.
    pub memory: Option<u64>,
    /// What each node had it do.
    pub load: Vec<NodeLoad>,
}

/// What one node had an accelerator do since the look before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeLoad {
    /// The node.
    pub node: String,
    /// Its share of the time, 0 to 1.
    pub share: f64,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeObservation {
    /// Its name in the graph.
    pub node: String,
    /// Where its next job goes.
    pub on: AcceleratorId,
    /// Whether it works on a request now.
    pub busy: bool,
    /// Bytes of its weights, in memory or not.
    pub weight_bytes: u64,
    /// What it does each time it fires, by phase: a running mean, or what its model lets expect where it has not fired.
    pub work: Vec<PhaseWork>,
    /// Where its placement lets it go, in order of preference, and what a firing would take there. An accelerator that
    /// has failed is not among them.
    pub places: Vec<PlaceObservation>,
}

/// What a node does in one phase, each time it fires.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct PhaseWork {
    /// The phase.
    pub phase: Phase,
    /// How many jobs that is.
    pub jobs: f64,
    /// Floating-point operations of one job.
    pub flops: f64,
    /// Bytes that one job reads.
    pub bytes: f64,
}

/// One place where a node could work.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlaceObservation {
    /// Which accelerator.
    pub accelerator: AcceleratorId,
    /// Predicted milliseconds of one firing there, waiting left out.
    pub ms: f64,
    /// Predicted millijoules of one firing there, beyond what the device draws anyway; none without a profile.
    pub mj: Option<f64>,
    /// What the prediction rests on.
    pub basis: Basis,
    /// Predicted milliseconds to load the node's weights there.
    pub load_ms: f64,
    /// Predicted millijoules of that; none without a profile.
    pub load_mj: Option<f64>,
    /// What a move to there takes, from the decision to the first job there, in milliseconds; 0 where the node is now.
    pub move_ms: f64,
    /// How many such moves were measured; with none, `move_ms` is an assumption.
    pub moves_measured: u64,
}

/// What a prediction rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The device's profile, or one assumed core where there is none.
    Seeded,
    /// What was measured on another accelerator, scaled by what both are seeded with.
    Scaled {
        /// Where it was measured.
        from: AcceleratorId,
    },
    /// Jobs of the node that ran there.
    Learnt {
        /// How many.
        jobs: u64,
    },
}

impl Observation {
    /// The accelerator of that id.
    pub fn accelerator(&self, id: &AcceleratorId) -> Option<&AcceleratorObservation> {
        self.accelerators.iter().find(|accelerator| accelerator.id == *id)
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&NodeObservation> {
        self.nodes.iter().find(|node| node.node == name)
    }

    /// Whether anything is asked of the run, or worked on.
    pub fn is_active(&self) -> bool {
        self.demand.open > 0 || self.accelerators.iter().any(|place| place.queue_depth > 0)
    }
}

impl AcceleratorObservation {
    /// Whether the two share a core.
    pub fn overlaps(&self, other: &AcceleratorObservation) -> bool {
        self.id == other.id || self.cores.iter().any(|core| other.cores.contains(core))
    }

    /// The share of time that a node took there since the look before, 0 to 1.
    pub fn share_of(&self, node: &str) -> f64 {
        self.load.iter().find(|load| load.node == node).map_or(0.0, |load| load.share)
    }
}

impl NodeObservation {
    /// What is predicted for the place where it is now; none if that accelerator has failed.
    pub fn here(&self) -> Option<&PlaceObservation> {
        self.places.iter().find(|place| place.accelerator == self.on)
    }
}

/// The gaps are counted up to 2^(this − 2) milliseconds each: 24 days.
const GAP_CLASSES: usize = 33;
/// What a gap's weight comes to with each later one; some twenty of them count.
const GAP_FADING: f64 = 0.95;

impl Gaps {
    /// One more gap; those before fade.
    pub fn add(&mut self, gap: Duration) {
        self.weights.resize(GAP_CLASSES, 0.0);
        self.weights.iter_mut().for_each(|weight| *weight *= GAP_FADING);
        let millis = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        let class = (u64::BITS - millis.leading_zeros()) as usize;
        self.weights[class.min(GAP_CLASSES - 1)] += 1.0;
    }

    /// Each class of gaps that occurred: its typical length and its weight, the shortest first.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, f64)> {
        self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0).map(|(class, &weight)| {
            // The geometric mean of the class's bounds.
            let millis = if class == 0 { 0.5 } else { 2f64.powf(class as f64 - 0.5) };
            (Duration::from_secs_f64(millis * 1e-3), weight)
        })
    }
}
