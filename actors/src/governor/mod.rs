//! The power governor: which mode the run is in, what that asks of the nodes, and on which accelerator each brick works.
//!
//! The [`Governor`] actor looks now and then — the battery, the temperature, the accelerators' queues, what every node shows
//! on the board — and passes the [`Observation`] to [`step`], a pure function that decides. What else it is told, of
//! holds and forced moves, goes the same way: every [`Input`] that changed anything is a [`Record`] with the
//! [`Decision`]s that it led to, each with its candidates and its reason. So a run can be explained afterwards, and the
//! records in their order give its decisions again.
//!
//! A mode comes to a [`Duty`](crate::Duty), by the ladder of the graph's power policy:
//!
//! | mode | `AlphaRule`, fixed modes, and whatever was asked for by name | `Adaptive` on battery |
//! |---|---|---|
//! | performance | full parallel work | moving frames only, standby whenever idle |
//! | balanced | frame rate and working share are α | the same, frame rate is α |
//! | power-saver | On-Demand Cascade: moving frames, weights released at once, bricks in turn, standby | the same, weights by break-even |
//!
//! Adaptive runs keep weights as long as that costs less than loading them again, by the gaps between requests seen so far.

mod actor;
mod decision;
mod holds;
mod input;
mod keep;
mod ladder;
mod look;
mod memory;
mod messages;
mod mode;
mod observation;
mod placement;
mod record;
mod step;
mod temperature;
#[cfg(test)]
mod tests;
mod thresholds;

pub(crate) use actor::GovernorParts;
pub use actor::{Finish, Governor, GovernorConfig, Movable};
pub use decision::{Assessment, Candidate, Change, Decision, Move, NodeCandidates, Payback, Placing, Reason};
pub(crate) use holds::HoldEvents;
pub use holds::{HoldGuard, HoldOrder, Holds};
pub use input::{Hold, HoldId, Input};
pub use look::Observer;
pub use memory::Memory;
pub use messages::{Assign, MigrateDue};
pub use mode::{Mode, ModeError};
pub use observation::{
    AcceleratorObservation, Basis, BatteryObservation, DemandObservation, FloorObservation, Gaps, NodeLoad,
    NodeObservation, Observation, PhaseWork, PlaceObservation,
};
pub use record::{DecisionRecord, Record, Recorder};
pub use step::step;
pub use temperature::TemperatureSource;
