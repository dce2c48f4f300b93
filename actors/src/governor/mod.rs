//! The power governor: which mode the run is in, and on which accelerator each brick works.
//!
//! Each tick the [`Governor`] actor gathers an [`Observation`] — the battery, the accelerators' queues, what every node
//! shows on the board — and asks [`decide`], a pure function, what to change. Each change is a [`Decision`] with its
//! candidates and its reason; a [`DecisionLog`] keeps it together with the observation it was made from, so that a run
//! can be explained afterwards.

mod actor;
mod decide;
mod decision;
mod log;
mod messages;
mod mode;
mod observation;
mod thresholds;

pub use actor::{Finish, Governor, GovernorConfig, Movable};
pub use decide::{Memory, decide, force_move};
pub use decision::{Candidate, Change, Decision, Reason};
pub use log::{DecisionLog, DecisionRecord, LogError};
pub use messages::{Assign, MigrateDue};
pub use mode::Mode;
pub use observation::{AcceleratorObservation, BatteryObservation, NodeLoad, NodeObservation, Observation};
