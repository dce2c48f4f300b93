//! A decision: what changes, what else there was to choose from, and why.

use std::cell::Cell;
use std::fmt;

use nanomind_hal::{AcceleratorId, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::input::Hold;
use super::mode::Mode;
use super::observation::Basis;
use crate::duty::Duty;

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
    /// What is asked of the nodes beside where to work.
    Duty {
        /// Until now.
        from: Duty,
        /// From now on.
        to: Duty,
    },
    /// Where nodes work. All moves of one choice, which is made for all nodes together.
    Placement(Placing),
}

/// A choice of where every node works.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Placing {
    /// The nodes that move, in the order of the graph.
    pub moves: Vec<Move>,
    /// What was predicted for staying; none where a node could not stay, or where the choice was not the governor's.
    pub stay: Option<Assessment>,
    /// What was predicted for this choice; none where it was not the governor's.
    pub chosen: Option<Assessment>,
    /// How many combinations of places there were to choose from.
    pub combinations: u64,
    /// The places of each node that could move, with what was predicted there.
    pub nodes: Vec<NodeCandidates>,
}

/// One node that moves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// The node.
    pub node: String,
    /// Where it worked.
    pub from: AcceleratorId,
    /// Where its next job goes.
    pub to: AcceleratorId,
}

/// What is predicted for one combination of places, over one firing of every node.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Assessment {
    /// Milliseconds from the first node to the last, waiting for others included.
    pub latency_ms: f64,
    /// Milliseconds of the busiest cores: what a stream's pace is bounded by.
    pub bottleneck_ms: f64,
    /// Millijoules; core-milliseconds where no profile says what a core draws.
    pub energy: f64,
    /// What is minimised: both, weighed by the mode, staying being 1.
    pub cost: f64,
}

/// Where a node could work.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeCandidates {
    /// The node.
    pub node: String,
    /// Its places, in order of preference.
    pub places: Vec<Candidate>,
}

/// One accelerator that a node could work on.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Which one.
    pub accelerator: AcceleratorId,
    /// Predicted milliseconds of one firing there, waiting left out.
    pub ms: f64,
    /// Predicted millijoules of it; none without a profile.
    pub mj: Option<f64>,
    /// What the prediction rests on.
    pub basis: Basis,
    /// What is minimised, with this node there and all others where they are to go.
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
    /// It is too hot for the mode that would be due.
    Hot {
        /// Degrees Celsius.
        temperature_c: f64,
        /// The threshold, hysteresis included.
        threshold_c: f64,
        /// Why the mode would be due that is left.
        #[serde(deserialize_with = "nested")]
        due: Box<Reason>,
    },
    /// Somebody holds this mode.
    Held(Hold),
    /// The person running the graph chose this mode.
    Chosen,
    /// The mode is what it was, and what it comes to has changed with the battery.
    Alpha {
        /// State of charge, 0 to 1.
        level: f64,
        /// What frame rate and work are scaled with, 0 to 1.
        alpha: f64,
    },
    /// Keeping weights has become dearer, or cheaper, than loading them again.
    BreakEven {
        /// Millijoules that loading the weights of all nodes takes.
        reload_mj: f64,
        /// Watts that staying awake for them takes beyond standing by.
        awake_w: f64,
        /// Milliseconds that a gap between requests takes in the mean, where there were any.
        gap_ms: Option<f64>,
    },
    /// The mode changed, and other places are better in the new one.
    ModeChanged {
        /// The new mode.
        mode: Mode,
        /// What changed it.
        #[serde(deserialize_with = "nested")]
        because: Box<Reason>,
    },
    /// Others crowd the cores that a node works on.
    Crowded {
        /// The share of time that others took there, 0 to 1.
        others: f64,
        /// Jobs in the queue that it leaves.
        queue_depth: usize,
        /// Predicted cost of staying divided by predicted cost of moving.
        gain: f64,
        /// What the move is expected to save against what it takes.
        payback: Payback,
    },
    /// Other places are predicted to be cheaper by this factor.
    Cheaper {
        /// Predicted cost of staying divided by predicted cost of moving.
        gain: f64,
        /// What the move is expected to save against what it takes.
        payback: Payback,
    },
    /// An accelerator has failed.
    Lost {
        /// Which one.
        accelerator: AcceleratorId,
    },
    /// The person running the graph asked for a move every so many tokens.
    Forced {
        /// Tokens between two moves.
        every: u64,
    },
}

/// The governor has no reasons within reasons within reasons deeper than this; what a file says is bounded by it.
const DEEPEST: u8 = 4;

/// Reads a reason within a reason.
fn nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Reason>, D::Error> {
    thread_local! {
        /// How deep this thread is within a reason that it reads.
        static DEPTH: Cell<u8> = const { Cell::new(0) };
    }
    let depth = DEPTH.get();
    if depth == DEEPEST {
        return Err(D::Error::custom(format!("expected at most {DEEPEST} reasons within each other, found more")));
    }
    DEPTH.set(depth + 1);
    let reason = Reason::deserialize(deserializer);
    DEPTH.set(depth);
    reason.map(Box::new)
}

impl Reason {
    /// Whether somebody asked for the mode by name.
    pub(super) fn is_asked(&self) -> bool {
        match self {
            Reason::Held(_) | Reason::Chosen => true,
            Reason::Hot { due, .. } => due.is_asked(),
            _ => false,
        }
    }
}

/// What a move saves against what it takes.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Payback {
    /// Milliseconds of work that it saves within the horizon.
    pub saves_ms: f64,
    /// How far it looked ahead, in milliseconds.
    pub horizon_ms: f64,
    /// Milliseconds that it takes.
    pub costs_ms: f64,
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
            Reason::Hot { temperature_c, threshold_c, due } => {
                write!(f, "{temperature_c:.0} °C is at or above {threshold_c:.0} °C; otherwise {due}")
            }
            Reason::Held(Hold { owner, reason, mode, .. }) => write!(f, "{owner} holds {mode}: {reason}"),
            Reason::Chosen => f.write_str("chosen by hand"),
            Reason::Alpha { level, alpha } => {
                write!(f, "battery at {:.1} % makes α {alpha:.2}", level * 100.0)
            }
            Reason::BreakEven { reload_mj, awake_w, gap_ms } => {
                write!(f, "loading again takes {reload_mj:.0} mJ, staying awake {awake_w:.2} W")?;
                match gap_ms {
                    Some(gap) => write!(f, ", and {:.1} s pass between requests", gap / 1e3),
                    None => Ok(()),
                }
            }
            Reason::ModeChanged { mode, because } => write!(f, "mode is now {mode}: {because}"),
            Reason::Crowded { others, queue_depth, gain, payback } => write!(
                f,
                "others take {:.0} % of its cores (queue depth {queue_depth}): predicted {gain:.2}x cheaper there, {payback}",
                others * 100.0
            ),
            Reason::Cheaper { gain, payback } => write!(f, "predicted {gain:.2}x cheaper there, {payback}"),
            Reason::Lost { accelerator } => write!(f, "{accelerator} has failed"),
            Reason::Forced { every } => write!(f, "a move every {every} tokens was asked for"),
        }
    }
}

impl fmt::Display for Payback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "saves {:.0} ms in {:.0} s for a move of {:.0} ms",
            self.saves_ms,
            self.horizon_ms / 1e3,
            self.costs_ms
        )
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Mode { from, to } => write!(f, "mode {from} → {to}"),
            Change::Duty { to, .. } => write!(f, "duty {to}"),
            Change::Placement(placing) => {
                for (index, Move { node, from, to }) in placing.moves.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{node}: {from} → {to}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s  {} ({})", self.at.as_secs_f64(), self.change, self.reason)
    }
}
