//! A decision: what changes, what else there was to choose from, and why.

use std::fmt;

use nanomind_hal::{AcceleratorId, Timestamp};
use serde::{Deserialize, Serialize};

use super::mode::Mode;

/// One decision of the governor.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// When it was made.
    pub at: Timestamp,
    /// What changes.
    pub change: Change,
    /// Why.
    pub reason: Reason,
}

/// What a decision changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The power mode.
    Mode {
        /// The mode until now.
        from: Mode,
        /// The mode from now on.
        to: Mode,
    },
    /// The accelerator of a node.
    Move {
        /// The node.
        node: String,
        /// Where it worked.
        from: AcceleratorId,
        /// Where its next job goes.
        to: AcceleratorId,
        /// Where it could have gone, with what was predicted there.
        candidates: Vec<Candidate>,
    },
}

/// One accelerator that a node could work on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Which one.
    pub accelerator: AcceleratorId,
    /// Predicted milliseconds for one step there, waiting for others included.
    pub step_ms: f64,
    /// Whether a step was ever measured there; otherwise the figure is scaled from another accelerator by its cores.
    pub measured: bool,
    /// What is minimised: step time weighed with power. Only its order means something.
    pub cost: f64,
}

/// Why a decision was made.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The graph's power policy names this mode.
    Policy,
    /// There is no battery to save.
    NoBattery,
    /// The charger is connected.
    Charging {
        /// State of charge, 0 to 1.
        level: f64,
    },
    /// The battery passed a threshold.
    BatteryLevel {
        /// State of charge, 0 to 1.
        level: f64,
        /// The threshold, hysteresis included.
        threshold: f64,
    },
    /// The mode changed, and another place is cheaper in the new one.
    ModeChanged {
        /// The new mode.
        mode: Mode,
        /// What changed it.
        because: Box<Reason>,
    },
    /// Others crowd the cores that the node works on.
    Crowded {
        /// The share of time that others took there, 0 to 1.
        others: f64,
        /// Jobs in the queue that it leaves.
        queue_depth: usize,
        /// Predicted cost here divided by predicted cost there.
        gain: f64,
    },
    /// Another place is predicted to be cheaper by this factor.
    Cheaper {
        /// Predicted cost here divided by predicted cost there.
        gain: f64,
    },
    /// The person running the graph asked for a move every so many tokens.
    Forced {
        /// Tokens between two moves.
        every: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Policy => f.write_str("the graph's power policy says so"),
            Reason::NoBattery => f.write_str("no battery to save"),
            Reason::Charging { level } => write!(f, "battery at {:.0} % is charging", level * 100.0),
            Reason::BatteryLevel { level, threshold } => {
                let side = if level <= threshold { "at or below" } else { "above" };
                write!(f, "battery at {:.1} % is {side} {:.1} %", level * 100.0, threshold * 100.0)
            }
            Reason::ModeChanged { mode, because } => write!(f, "mode is now {mode}: {because}"),
            Reason::Crowded { others, queue_depth, gain } => write!(
                f,
                "others take {:.0} % of its cores (queue depth {queue_depth}): predicted {gain:.2}x cheaper there",
                others * 100.0
            ),
            Reason::Cheaper { gain } => write!(f, "predicted {gain:.2}x cheaper there"),
            Reason::Forced { every } => write!(f, "a move every {every} tokens was asked for"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Mode { from, to } => write!(f, "mode {from} → {to}"),
            Change::Move { node, from, to, .. } => write!(f, "{node}: {from} → {to}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s  {} ({})", self.at.as_secs_f64(), self.change, self.reason)
    }
}
