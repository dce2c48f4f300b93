//! The report of a simulation: how long the battery lasted, who took what, how long people waited, and what was decided.

use nanomind_hal::{AcceleratorId, Energy};
use serde::Serialize;

use super::percentiles::Percentiles;
use crate::duty::Duty;
use crate::edge::EdgeCounts;
use crate::governor::Mode;
use crate::report::PlacementReport;
use crate::request::RequestCounts;
use crate::standby::StandbyReport;

/// What came of a simulation. It holds nothing of the machine that simulated.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SimulationReport {
    /// The graph.
    pub graph: String,
    /// The device.
    pub device: String,
    /// The graph's power policy.
    pub policy: String,
    /// The scenario.
    pub scenario: String,
    /// What it was drawn from.
    pub seed: u64,
    /// The time of day at the beginning, in hours.
    pub begins_hours: f64,
    /// What ended it.
    pub end: SimulationEnd,
    /// How much time was simulated, in hours.
    pub hours: f64,
    /// The battery; nothing where the device lives on mains.
    pub battery: Option<BatteryUse>,
    /// All energy that the device took.
    pub energy: Energy,
    /// The energy over the time, in watts.
    pub mean_watts: Option<f64>,
    /// What of the energy no brick took: the board, what waits.
    pub energy_unattributed: Energy,
    /// What of the bricks' energy went into loading weights.
    pub energy_loading: Energy,
    /// Nodes that have work done by accelerators, in the order of the graph.
    pub bricks: Vec<BrickUse>,
    /// Requests by how they ended.
    pub requests: RequestCounts,
    /// From a request to the first sign of its answer; nothing where none was answered.
    pub first_output: Option<Percentiles>,
    /// From a request to the end of its answer.
    pub end_to_end: Option<Percentiles>,
    /// How long the device was in each power mode, in hours.
    pub modes: Vec<ModeTime>,
    /// How much of the time was standby; nothing where none was.
    pub standby: Option<StandbyReport>,
    /// What crossed each edge and what it dropped.
    pub edges: Vec<EdgeUse>,
    /// Weights in memory.
    pub weights: WeightUse,
    /// Changes of mode and placement, in the order of time.
    pub changes: Vec<Changed>,
    /// What sensors and bricks counted of themselves, such as frames that were passed over.
    pub counters: Vec<Counted>,
    /// Nodes that ended with an error.
    pub failures: Vec<NodeFailure>,
    /// Battery, power and temperature, about once a minute.
    pub samples: Vec<Sample>,
}

/// What ends a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SimulationEnd {
    /// The battery was empty.
    BatteryEmpty,
    /// The scenario was over.
    ScenarioOver,
    /// Every node had ended before.
    GraphEnded,
}

/// A node that ended with an error, and whether it was started again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NodeFailure {
    /// The node.
    pub node: String,
    /// How often it was started again.
    pub restarts: u64,
    /// Whether it stayed down.
    pub stayed_down: bool,
    /// The last error.
    pub why: String,
}

/// What became of the battery.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct BatteryUse {
    /// What it gives from full to empty, in watt-hours.
    pub usable_wh: f64,
    /// How full it was at the beginning: 0 to 1.
    pub level_at_start: f64,
    /// How full it was at the end.
    pub level_at_end: f64,
    /// When it was empty, in hours; nothing where it never was.
    pub empty_after_hours: Option<f64>,
}

/// What one brick took, where it ran and how often it moved.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BrickUse {
    /// Its node.
    pub node: String,
    /// The kind of the node.
    pub kind: String,
    /// Its energy.
    pub energy: Energy,
    /// Where its jobs ran, in the order of first use.
    pub ran_on: Vec<PlacementReport>,
    /// How often it moved.
    pub moves: u64,
}

/// How long the device was in a power mode.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ModeTime {
    /// The mode.
    pub mode: Mode,
    /// Hours.
    pub hours: f64,
}

/// What crossed an edge.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct EdgeUse {
    /// `mind.text → reply.text`.
    pub edge: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: EdgeCounts,
}

/// Weights in memory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct WeightUse {
    /// The most at once.
    pub peak_bytes: u64,
    /// The most right after the stages that bricks did in turn; nothing where none did.
    pub between_stages_bytes: Option<u64>,
    /// The most as the device began to stand by; nothing where it never did.
    pub in_standby_bytes: Option<u64>,
}

/// Something that the governor changed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Changed {
    /// When, in hours.
    pub hours: f64,
    /// What.
    pub what: ChangedWhat,
    /// Why, in a sentence.
    pub why: String,
}

/// What the governor changed.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedWhat {
    /// The power mode.
    Mode {
        /// The mode until then.
        from: Mode,
        /// The mode from then on.
        to: Mode,
    },
    /// The place of a brick.
    Place {
        /// Its node.
        node: String,
        /// Where it ran.
        from: AcceleratorId,
        /// Where it runs from then on.
        to: AcceleratorId,
    },
    /// What is asked of the nodes beside where to work.
    Duty(Duty),
}

/// What a node counted of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Counted {
    /// The node.
    pub node: String,
    /// What it counted.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// The device at one moment.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Sample {
    /// When, in hours.
    pub hours: f64,
    /// How full the battery was: 0 to 1.
    pub level: Option<f64>,
    /// Whether it was on a charger.
    pub charging: bool,
    /// What the device drew since the sample before, in watts.
    pub watts: f64,
    /// The battery's temperature, in degrees Celsius.
    pub celsius: Option<f64>,
}

impl SimulationReport {
    /// Whether a node stayed down.
    pub fn failed(&self) -> bool {
        self.failures.iter().any(|failure| failure.stayed_down)
    }

    /// Packets that edges dropped by their policy.
    pub fn dropped(&self) -> u64 {
        self.edges.iter().map(|edge| edge.counts.dropped).sum()
    }

    /// Hours until the battery is empty: those that were simulated, or at the same mean power those that would have
    /// been, if nothing was charged. `None` without a battery or where nothing was drawn.
    pub fn hours_to_empty(&self) -> Option<f64> {
        let battery = self.battery?;
        battery.empty_after_hours.or_else(|| {
            let drained = battery.level_at_start - battery.level_at_end;
            (drained > 0.0).then(|| self.hours * battery.level_at_start / drained)
        })
    }
}
