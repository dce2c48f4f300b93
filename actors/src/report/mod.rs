//! The report of a run: what was asked, what came of it, where it ran, what was dropped and decided.

mod energy;
mod screen;
mod table;

pub(crate) use table::Table;

use indexmap::IndexMap;
use nanomind_hal::Energy;
use nanomind_hal::tabm::SlotPool;
use serde::{Deserialize, Serialize};

pub use energy::{EarlierRequests, EdgeEnergy, EnergyReport, PhaseReport, RequestEnergy};

use crate::edge::EdgeCounts;
use crate::governor::DecisionRecord;
use crate::memory::Resident;
use crate::request::RequestCounts;
use crate::standby::StandbyReport;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Every node finished.
    Finished,
    /// A node stayed down after a failure.
    Failed,
    /// It was asked to drain, and everything in flight flowed out.
    Drained,
    /// It was stopped at once.
    Stopped,
}

/// The report of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// The graph's name.
    pub graph: String,
    /// How the run ended.
    pub end: RunEnd,
    /// From start to end, in seconds.
    pub seconds: f64,
    /// Requests by how they ended.
    pub requests: RequestCounts,
    /// When a sink that shows answers as they come had something to show, by request (the first 1,024).
    pub first_outputs: Vec<FirstOutput>,
    /// Nodes in the order of the graph.
    pub nodes: Vec<NodeReport>,
    /// Edges in the order of the graph.
    pub edges: Vec<EdgeReport>,
    /// Slot pools of the token-aware buffer manager.
    pub pools: Vec<PoolReport>,
    /// Accelerators of the machine.
    pub accelerators: Vec<AcceleratorReport>,
    /// What the run took of the machine's memory.
    pub memory: MemoryReport,
    /// How much of the run was standby; nothing where none was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub standby: Option<StandbyReport>,
    /// Decisions of the governor.
    pub decisions: Vec<DecisionRecord>,
    /// Energy of the whole run.
    pub energy: EnergyReport,
}

/// How long a request waited for the first sign of its answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FirstOutput {
    /// The request.
    pub request: u64,
    /// From its minting to the first output at a sink, in milliseconds; loading a model counts.
    pub after_ms: f64,
}

/// What a node did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Its kind.
    pub kind: String,
    /// How it ended and how often it was restarted.
    #[serde(flatten)]
    pub outcome: NodeOutcome,
    /// Where its jobs ran, in the order of first use.
    pub ran_on: Vec<PlacementReport>,
    /// How often it was moved.
    pub moves: u64,
    /// What it counted itself.
    pub counters: IndexMap<String, u64>,
    /// Its answers (the last 256).
    pub answers: Vec<AnswerReport>,
    /// Energy of this node alone.
    pub energy: Energy,
    /// The same by phase.
    pub phases: Vec<PhaseReport>,
}

impl NodeReport {
    /// How long its jobs ran, and how long they waited for an accelerator before, in milliseconds.
    pub fn job_ms(&self) -> (f64, f64) {
        self.ran_on.iter().fold((0.0, 0.0), |(run, wait), place| (run + place.run_ms, wait + place.wait_ms))
    }

    /// Tokens that its jobs worked on.
    pub fn tokens(&self) -> u64 {
        self.ran_on.iter().map(|place| place.tokens).sum()
    }
}

/// How a node fared under its supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeOutcome {
    /// How it ended ("finished", "failed: …").
    pub end: String,
    /// Whether it stayed down after a failure.
    pub failed: bool,
    /// Whether it failed for want of a device that the graph requires.
    #[serde(default)]
    pub device_missing: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// The last failure, restarted or not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<String>,
}

/// What a node had one accelerator do.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlacementReport {
    /// Which accelerator.
    pub accelerator: String,
    /// Jobs that ran there.
    pub jobs: u64,
    /// Tokens that they worked on.
    pub tokens: u64,
    /// Time that they ran, in milliseconds.
    pub run_ms: f64,
    /// Time that they waited, in milliseconds.
    pub wait_ms: f64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: f64,
    /// Time that they were predicted to run when they were submitted, in milliseconds.
    #[serde(default)]
    pub predicted_ms: f64,
    /// How far predictions were off, summed over the jobs: |predicted − actual| / actual.
    #[serde(default)]
    pub errors: f64,
}

/// One answer of a language node; [`EnergyReport::of_request`] tells what it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerReport {
    /// The request.
    pub request: u64,
    /// Tokens of the prompt, template and history included.
    pub prompt_tokens: u64,
    /// Of these, tokens that were in the KV cache already.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Tokens that were guessed ahead.
    #[serde(default)]
    pub guessed_tokens: u64,
    /// Of these, tokens that were generated then.
    #[serde(default)]
    pub right_guesses: u64,
    /// From taking the prompt to the first token, in milliseconds.
    pub first_token_ms: f64,
    /// Time of prefill, waiting included, in milliseconds.
    pub prefill_ms: f64,
    /// Time of decode, waiting included, in milliseconds.
    pub decode_ms: f64,
    /// Prompt tokens a second, those from the cache left out.
    pub prefill_tokens_per_s: f64,
    /// Generated tokens a second.
    pub decode_tokens_per_s: f64,
    /// How often the node was moved during this answer.
    pub moves: u64,
    /// Generated tokens by the accelerator that made them.
    pub generated_on: IndexMap<String, u64>,
    /// Why it ended there ("end of turn", "max_tokens", "stop text", "context full", "cancelled").
    pub finish: String,
    /// The generated token ids, so that two runs can be compared.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub token_ids: Vec<u32>,
}

/// What crossed an edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EdgeReport {
    /// `mind.text → reply.text`.
    pub edge: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: EdgeCounts,
    /// What its producer spent on what crossed it.
    #[serde(flatten)]
    pub energy: EdgeEnergy,
}

/// What a pool of slots saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolReport {
    /// The output that it serves: `embed.embeddings`.
    pub pool: String,
    /// Slots taken for writing.
    pub acquired: u64,
    /// Slots published to readers.
    pub published: u64,
    /// Embedding bytes moved without arithmetic; the contract is none.
    pub copied_bytes: u64,
    /// Slots of the pool, made once.
    pub slots: u64,
    /// Bytes of all its slots.
    pub bytes: u64,
    /// Slots that were free at the end: all of them, unless somebody still reads.
    pub free: u64,
}

impl PoolReport {
    pub(crate) fn new(name: String, pool: &SlotPool) -> PoolReport {
        let stats = pool.stats();
        // A pool that was made has slots of a size.
        let slot_bytes = pool.geometry().slot_bytes().unwrap_or(0);
        PoolReport {
            pool: name,
            bytes: (slot_bytes * pool.geometry().slots) as u64,
            acquired: stats.acquired,
            published: stats.published,
            copied_bytes: stats.copied_bytes,
            slots: (stats.free + stats.writing + stats.ready_or_reading) as u64,
            free: stats.free as u64,
        }
    }
}

/// What a run took of the machine's memory, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryReport {
    /// The most packed weights that were in memory at once; what nodes share is counted once.
    pub weights: u64,
    /// What was in memory right after the stages that bricks did in turn; nothing where none did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub between_stages: Option<Resident>,
    /// What was in memory as the run began to stand by; nothing where it never did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_standby: Option<Resident>,
    /// Positions of KV caches that were written at most, of all language nodes together.
    pub kv_cache: u64,
    /// Slots of all pools.
    pub slots: u64,
    /// The most that the process ever had resident, code and mapped files included; nothing where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_resident: Option<u64>,
}

/// What an accelerator did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AcceleratorReport {
    /// Which one.
    pub accelerator: String,
    /// Jobs done.
    pub jobs: u64,
    /// Time that jobs ran, in milliseconds.
    pub busy_ms: f64,
    /// Time that jobs waited, in milliseconds.
    pub wait_ms: f64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: f64,
}

impl RunReport {
    /// Whether any node failed for good.
    pub fn failed(&self) -> bool {
        self.nodes.iter().any(|node| node.outcome.failed)
    }

    /// Whether any node failed for want of a device.
    pub fn device_missing(&self) -> bool {
        self.nodes.iter().any(|node| node.outcome.device_missing)
    }

    /// Embedding bytes that were moved without arithmetic, in all pools together.
    pub fn copied_bytes(&self) -> u64 {
        self.pools.iter().map(|pool| pool.copied_bytes).sum()
    }

    /// All answers with the node that gave them.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &AnswerReport)> {
        self.nodes.iter().flat_map(|node| node.answers.iter().map(|answer| (node.node.as_str(), answer)))
    }
}
