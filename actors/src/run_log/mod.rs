//! The run log: what a run was told, what it decided, and what that took, so that it can be explained and replayed.
//!
//! The file is append-only and binary. It begins with the line `nanomind run log 1`, whose number is that of the format;
//! then come frames of a length, a checksum and a record each ([`Record`], encoded by `postcard`), the first of which
//! is the [`Header`]. Nothing that a person said or that a camera saw is in it: of a request there is how long the text
//! or how large the picture was. The header has the graph's text.
//!
//! A log survives the end of its process at any moment: records are written one by one, and a reader leaves out a last
//! one that is torn and says so.

mod counterfactual;
mod frame;
mod graph_text;
mod reader;
mod record;
mod replay;
mod why;
mod writer;

pub use counterfactual::{Counterfactual, CounterfactualError, Instead, Outcome, counterfactual};
pub use frame::Break;
pub use graph_text::{GraphText, KeepingLoader, TextFile};
pub use reader::{ReadError, RunLogReader, Tail};
pub use record::{
    Answer, Arrival, BatteryAtStart, BatteryLevel, Brought, DeviceText, Ended, Ending, EnergyTaken, Header, LoggedNode,
    Record,
};
pub use replay::{Difference, Parting, Replay, replay};
pub use why::{Answer as WhyAnswer, Explained, Question, StateThen, WhyError, why};
pub use writer::{RunLog, RunLogError};

/// The number of the format; it changes with any record.
const FORMAT: u32 = 1;
/// How a log begins.
const MAGIC: &[u8] = b"nanomind run log 1\n";
/// The same without the number of the format.
const MAGIC_STEM: &str = "nanomind run log ";

#[cfg(test)]
mod tests;
