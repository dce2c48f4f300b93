//! What the governor is told: everything that its memory ever hears of. A run's inputs in their order give its decisions
//! again, bit for bit.

use nanomind_hal::Timestamp;
use serde::{Deserialize, Serialize};

use super::mode::Mode;
use super::observation::Observation;

/// One thing that the governor is told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// It has looked.
    Observed(Observation),
    /// A node is to move, as the person running the graph asked for; this is seen meanwhile.
    Due {
        /// The node.
        node: String,
        /// Tokens between two moves.
        every: u64,
        /// What is seen.
        seen: Observation,
    },
    /// Somebody asks for a mode, for as long as they hold it.
    Held {
        /// When.
        at: Timestamp,
        /// Who, why and which mode.
        hold: Hold,
    },
    /// A hold is over.
    Released {
        /// When.
        at: Timestamp,
        /// The hold's number.
        id: HoldId,
    },
    /// The person running the graph chose a mode, or gave the choice back to the policy.
    Chosen {
        /// When.
        at: Timestamp,
        /// The mode.
        mode: Option<Mode>,
    },
}

/// The number of a hold in its run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldId(pub u64);

/// A mode that somebody asks for while they need it. Of several holds the most frugal one counts, as in
/// power-profiles-daemon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// Its number in the run.
    pub id: HoldId,
    /// Who asks.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// For what.
    pub mode: Mode,
}

impl Input {
    /// When the governor was told.
    pub fn at(&self) -> Timestamp {
        match self {
            Input::Observed(seen) | Input::Due { seen, .. } => seen.at,
            Input::Held { at, .. } | Input::Released { at, .. } | Input::Chosen { at, .. } => *at,
        }
    }

    /// What is seen, where the input says.
    pub fn seen(&self) -> Option<&Observation> {
        match self {
            Input::Observed(seen) | Input::Due { seen, .. } => Some(seen),
            Input::Held { .. } | Input::Released { .. } | Input::Chosen { .. } => None,
        }
    }
}
