//! What a job says about itself when it is submitted: whose it is, how urgent, and what it costs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a job is for, how urgent it is and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOrder {
    /// Whose work it is.
    pub label: JobLabel,
    /// How urgent it is.
    pub class: JobClass,
    /// What it costs.
    pub cost: JobCost,
}

/// Whose work a job is: what statistics and traces show. Displays as `mind prefill 64 tokens`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLabel {
    /// The node of the graph.
    pub node: Arc<str>,
    /// What it is doing.
    pub phase: Phase,
    /// How many tokens the job works on; zero where there are none.
    pub tokens: u32,
}

impl fmt::Display for JobLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.phase)?;
        match self.tokens {
            0 => Ok(()),
            1 => f.write_str(" 1 token"),
            tokens => write!(f, " {tokens} tokens"),
        }
    }
}

/// What a brick does in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads and packs weights.
    Load,
    /// Makes ready what a model works on, without its weights: decodes and resizes pictures.
    Prepare,
    /// Lays out what a model made: writes rows where the next brick reads them.
    Publish,
    /// Looks up token embeddings.
    Embed,
    /// Encodes an image or audio.
    Encode,
    /// Projects embeddings from one model's space to another's.
    Project,
    /// Reads a prompt.
    Prefill,
    /// Produces tokens.
    Decode,
    /// Carries state from one accelerator to another.
    Migrate,
}

impl Phase {
    /// All phases, in the order of their declaration.
    pub const ALL: [Phase; 9] = [
        Phase::Load,
        Phase::Prepare,
        Phase::Publish,
        Phase::Embed,
        Phase::Encode,
        Phase::Project,
        Phase::Prefill,
        Phase::Decode,
        Phase::Migrate,
    ];

    /// Whether every accelerator does it, whatever its profile lists: it needs no kernels of a model.
    pub fn is_done_everywhere(self) -> bool {
        matches!(self, Phase::Load | Phase::Prepare | Phase::Publish | Phase::Migrate)
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Load => "load",
            Phase::Prepare => "prepare",
            Phase::Publish => "publish",
            Phase::Embed => "embed",
            Phase::Encode => "encode",
            Phase::Project => "project",
            Phase::Prefill => "prefill",
            Phase::Decode => "decode",
            Phase::Migrate => "migrate",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How urgent a job is. More urgent jobs go first, but a job that has waited long enough goes before a more urgent
/// one that has just come: see [`JobClass::patience`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobClass {
    /// Short work that others wait for, such as cutting back a cache.
    Control,
    /// Sound: gaps are heard.
    Audio,
    /// The next token of an answer that someone reads.
    Decode,
    /// Reading a prompt.
    Prefill,
    /// Looking at an image, loading weights, and whatever else can wait.
    Vision,
}

impl JobClass {
    pub(super) const ALL: [JobClass; 5] =
        [JobClass::Control, JobClass::Audio, JobClass::Decode, JobClass::Prefill, JobClass::Vision];

    /// How much later than a `Control` job a job of this class may start. Of all jobs that wait, the one whose
    /// submission plus patience is earliest goes first.
    pub fn patience(self) -> Duration {
        Duration::from_millis(match self {
            JobClass::Control => 0,
            JobClass::Audio => 5,
            JobClass::Decode => 25,
            JobClass::Prefill => 250,
            JobClass::Vision => 500,
        })
    }
}

/// What a job costs. The accelerator predicts its run time from this and from the rate that it measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCost {
    /// Floating-point (or integer multiply-accumulate) operations, counting a multiply-add as two.
    pub flops: u64,
    /// Bytes of weights and caches read from memory; when loading, from storage.
    pub bytes: u64,
}
