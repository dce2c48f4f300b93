//! The actors that run a graph: sensors, bricks, sinks, accelerators, supervisor and governor. Contains no numerics.
//!
//! Three planes that do not mix:
//!
//! - **Control** is actix messages: start, drain, stop, assign, cancel, stats. No data crosses a mailbox.
//! - **Data** crosses bounded [`edge`]s as [`Packet`]s; bulk data stays in slots and the packet holds the handle.
//! - **Work** is submitted to accelerators as [`Jobs`], and never runs on the control thread.
//!
//! [`Runtime::start`] takes a checked plan, a [`Machine`] and a [`NodeLibrary`]; a program adds kinds of its own with
//! [`NodeLibrary::register`] and [`Node`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accelerator;
mod board;
mod cancellation;
mod duty;
pub mod edge;
mod energy;
mod error;
pub mod forecast;
pub mod governor;
mod homes;
mod inputs;
mod jobs;
mod library;
mod line_editor;
mod machine;
mod memory;
mod models;
mod node;
mod node_actor;
mod nodes;
mod outputs;
mod packet;
mod pools;
mod reader;
mod readiness;
pub mod report;
mod request;
mod residence;
mod rest;
pub mod run_log;
mod running;
mod runtime;
mod shapes;
mod shared;
mod signals;
pub mod simulation;
mod snapshot;
mod standby;
pub mod supervisor;
mod tally;
mod threads;
pub mod trace;
mod turns;
#[cfg(test)]
mod virtual_stage;
mod weights;
mod work;

pub use board::{NodeBoard, NodeEntry};
pub use cancellation::Cancellations;
pub use duty::{Duty, DutyBoard, Frames, Keep};
pub use energy::EnergyBooks;
pub use error::NodeError;
pub use inputs::{Firing, Input, Inputs};
pub use jobs::{Accelerators, JobOutcome, JobSpec, Jobs};
pub use library::{Constructor, NodeLibrary};
pub use machine::{Machine, MachineError};
pub use memory::Resident;
pub use models::{GraphFiles, StoredModels};
pub use node::{Node, NodeContext};
pub use outputs::Outputs;
pub use packet::{Embeddings, Event, Packet, Payload};
pub use report::RunReport;
pub use request::{Epoch, Origin, Request, RequestCounts, RequestEnd, RequestError, RequestId, Requests};
pub use residence::{Residence, Stage};
pub use running::{RunHandle, Running};
pub use runtime::{LogTo, RunOptions, Runtime, StartError};
pub use shapes::shape_of;
pub use snapshot::{NodeSnapshot, Snapshot, Watch};
pub use standby::StandbyReport;
pub use weights::{LoadError, LoadListener, LoadedModel, WeightBytes, WeightSource, WeightStore, Weights};
