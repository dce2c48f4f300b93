//! What the governor sees when it decides.

use nanomind_hal::{AcceleratorId, Timestamp};
use serde::{Deserialize, Serialize};

/// Everything that one decision is made from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// When it was gathered.
    pub at: Timestamp,
    /// The battery, where there is one that can be read.
    pub battery: Option<BatteryObservation>,
    /// The accelerators, the fastest cluster first and the most frugal last.
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
}

/// One accelerator since the tick before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AcceleratorObservation {
    /// Which one.
    pub id: AcceleratorId,
    /// The processor cores that it computes on; accelerators that share one never run at once.
    pub cores: Vec<usize>,
    /// Jobs that wait or run now.
    pub queue_depth: usize,
    /// What each node had it do.
    pub load: Vec<NodeLoad>,
}

/// What one node had an accelerator do since the tick before.
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
    /// Where its placement lets it go, in order of preference.
    pub allowed: Vec<AcceleratorId>,
    /// Whether it works on a request now.
    pub busy: bool,
    /// Mean running time of its decode steps on `on` since the tick before, waiting left out, in milliseconds.
    pub step_ms: Option<f64>,
}

impl Observation {
    /// The accelerator of that id.
    pub fn accelerator(&self, id: &AcceleratorId) -> Option<&AcceleratorObservation> {
        self.accelerators.iter().find(|accelerator| accelerator.id == *id)
    }
}

impl AcceleratorObservation {
    /// Whether the two share a core.
    pub fn overlaps(&self, other: &AcceleratorObservation) -> bool {
        self.id == other.id || self.cores.iter().any(|core| other.cores.contains(core))
    }
}
