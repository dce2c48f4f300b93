//! What a run log holds: who ran what on which device, and then everything that happened, in its order.

use nanomind_graphs::PowerPolicy;
use nanomind_hal::{AcceleratorId, Energy, Timestamp};
use serde::{Deserialize, Serialize};

use super::graph_text::GraphText;
use crate::governor;
use crate::packet::Payload;
use crate::report::RunEnd;
use crate::request::{RequestEnd, RequestId};

/// One record of a run log. Times are those of the run's clock, which began at zero with the machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// What ran, and on what; the first record.
    Header(Box<Header>),
    /// A sensor brought a request.
    Arrival(Arrival),
    /// A language node answered one.
    Answer(Answer),
    /// A request ended.
    Ended(Ended),
    /// The governor was told something that mattered, and decided this.
    Governor(Box<governor::Record>),
    /// What the battery was like.
    Battery(BatteryLevel),
    /// What was taken so far.
    Energy(EnergyTaken),
    /// The run ended in order; the last record, unless the run was killed.
    End(Ending),
}

/// What ran, and on what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The program that wrote the log: `nanomind 0.1.0`.
    pub program: String,
    /// When the run started, on its clock.
    pub started: Timestamp,
    /// The graph, with everything that it was checked with.
    pub graph: GraphText,
    /// The profile of the device, where one was given.
    pub device: Option<DeviceText>,
    /// The power policy.
    pub policy: PowerPolicy,
    /// The battery at the start, where there was one.
    pub battery: Option<BatteryAtStart>,
    /// The nodes in the order of the graph.
    pub nodes: Vec<LoggedNode>,
}

/// A device profile as text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceText {
    /// What it is called.
    pub name: String,
    /// The whole profile, in RON.
    pub text: String,
}

/// The battery at the start.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct BatteryAtStart {
    /// State of charge, 0 to 1.
    pub level: f64,
    /// What it holds when it is full, in watt-hours, where that is known.
    pub full_wh: Option<f64>,
    /// Whether it is simulated.
    pub simulated: bool,
}

/// A node of the graph.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoggedNode {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it could run, in order of preference.
    pub candidates: Vec<AcceleratorId>,
}

/// A sensor brought a request. Nothing of what it was about is kept, only how much it was.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Arrival {
    /// When.
    pub at: Timestamp,
    /// The request.
    pub request: RequestId,
    /// The sensor.
    pub sensor: String,
    /// How much it brought.
    pub brought: Brought,
}

/// How much a sensor brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Brought {
    /// A text.
    Text {
        /// Its length in bytes.
        bytes: u64,
    },
    /// A picture.
    Picture {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// Tokens or rows of embeddings.
    Tokens {
        /// How many.
        tokens: u64,
    },
    /// That something happened.
    Event,
    /// That it failed.
    Failure,
}

/// What a language node did for a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// When the answer was whole.
    pub at: Timestamp,
    /// The request.
    pub request: RequestId,
    /// The node.
    pub node: String,
    /// Tokens of the prompt, template, history and pictures included.
    pub prompt_tokens: u64,
    /// Of these, tokens that were in the KV cache already.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
}

/// A request ended.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// The request.
    pub request: RequestId,
    /// How.
    pub end: RequestEnd,
}

/// What the battery was like.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct BatteryLevel {
    /// When.
    pub at: Timestamp,
    /// State of charge, 0 to 1.
    pub level: f64,
    /// Whether it is being charged, or full on a charger.
    pub charging: bool,
}

/// What was taken from the start up to a time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EnergyTaken {
    /// Up to when.
    pub at: Timestamp,
    /// All of it.
    pub total: Energy,
    /// What each node took.
    pub nodes: Vec<(String, Energy)>,
    /// What no node took.
    pub unattributed: Energy,
}

/// The run ended in order.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// When.
    pub at: Timestamp,
    /// How.
    pub end: RunEnd,
}

impl Brought {
    /// How much a packet with this payload brings.
    pub(crate) fn by(payload: &Payload) -> Brought {
        match payload {
            Payload::Text(text) => Brought::Text { bytes: text.len() as u64 },
            Payload::Image(picture) => {
                Brought::Picture { width: picture.width() as u32, height: picture.height() as u32 }
            }
            Payload::Tokens(tokens) => Brought::Tokens { tokens: tokens.len() as u64 },
            Payload::Embeddings(embeddings) => Brought::Tokens { tokens: embeddings.rows.tokens() as u64 },
            Payload::Event(_) => Brought::Event,
            Payload::Failed(_) => Brought::Failure,
        }
    }
}

impl Record {
    /// When it happened; the header's is the start of the run.
    pub fn at(&self) -> Timestamp {
        match self {
            Record::Header(header) => header.started,
            Record::Arrival(arrival) => arrival.at,
            Record::Answer(answer) => answer.at,
            Record::Ended(ended) => ended.at,
            Record::Governor(record) => record.input.at(),
            Record::Battery(battery) => battery.at,
            Record::Energy(energy) => energy.at,
            Record::End(ending) => ending.at,
        }
    }
}
