//! What a check asks of the world around it: the node kinds, the files, the models and the machine.
use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use nanomind_hal::{AcceleratorId, Phase};
use serde::Serialize;
use thiserror::Error;

use crate::{ModelWidth, Registry};

/// Everything that [`crate::check`] asks.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The node kinds.
    pub registry: &'a Registry,
    /// Reads included files.
    pub loader: &'a dyn Loader,
    /// Knows the models.
    pub models: &'a dyn ModelCatalogue,
    /// Where the graph is to run.
    pub machine: &'a Machine,
}

/// Reads the files that a graph includes. The path is the including file's directory joined with what `include` says.
pub trait Loader {
    /// The whole text of the file.
    ///
    /// # Errors
    /// When it cannot be read, is longer than `limit` bytes, or is not UTF-8.
    fn read(&self, path: &str, limit: usize) -> Result<String, LoadError>;
}

/// Why an included file could not be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file; `beside` are the graph files in its directory.
    #[error("there is no such file")]
    NotFound {
        /// Names of graph files in the same directory, for a suggestion.
        beside: Vec<String>,
    },
    /// It is longer than a graph may be.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// It is not text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// The system refuses.
    #[error("{0}")]
    System(String),
}

/// A loader for graphs that include nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Loader for NoFiles {
    fn read(&self, _path: &str, _limit: usize) -> Result<String, LoadError> {
        Err(LoadError::NotFound { beside: Vec::new() })
    }
}

/// Knows which models are on this machine and what is in them.
pub trait ModelCatalogue {
    /// What is in the model that a graph refers to as `model`: a catalogue name or a file.
    ///
    /// # Errors
    /// When it is not here, not known, or its file is broken.
    fn facts(&self, model: &str) -> Result<ModelFacts, ModelProblem>;
}

/// What a model file says about itself, as far as a graph depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelFacts {
    /// As the graph wrote it.
    pub reference: String,
    /// The file.
    pub path: PathBuf,
    /// `general.architecture`, such as `llama`.
    pub architecture: String,
    /// Width of the rows that the language model takes.
    pub embedding_width: Option<u32>,
    /// Width of the rows that the encoder makes.
    pub encoder_width: Option<u32>,
    /// Width of the rows that the projector makes.
    pub projection_width: Option<u32>,
    /// Rows that the encoder makes at once.
    pub encoder_rows: Option<u64>,
    /// The most rows that the projector makes at once.
    pub projection_rows: Option<u64>,
    /// Bytes that the encoder computes in, beside its weights and rows.
    pub encoder_work_bytes: u64,
    /// Longest context in tokens that the model was trained for.
    pub context_length: Option<u64>,
    /// Bytes of weights once loaded.
    pub weight_bytes: u64,
    /// Bytes of KV cache that one token of context takes.
    pub kv_bytes_per_token: u64,
    /// The same for each format that the model's KV cache can be kept in, by the format's name; empty: nothing is known.
    pub kv_bytes_by_format: BTreeMap<String, u64>,
}

impl ModelFacts {
    /// The width of that sort, if the file has one.
    pub fn width(&self, which: ModelWidth) -> Option<u32> {
        match which {
            ModelWidth::Embedding => self.embedding_width,
            ModelWidth::Encoder => self.encoder_width,
            ModelWidth::Projection => self.projection_width,
        }
    }

    /// Bytes of KV cache that one token takes in `format`; `None` where the model's cache cannot be kept in it.
    pub fn kv_bytes(&self, format: Option<&str>) -> Option<u64> {
        match format {
            Some(format) if !self.kv_bytes_by_format.is_empty() => self.kv_bytes_by_format.get(format).copied(),
            _ => Some(self.kv_bytes_per_token),
        }
    }

    /// The most rows of that width that are made at once, if the file says.
    pub fn rows(&self, which: ModelWidth) -> Option<u64> {
        match which {
            ModelWidth::Embedding => None,
            ModelWidth::Encoder => self.encoder_rows,
            ModelWidth::Projection => self.projection_rows,
        }
    }
}

/// Why a model cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelProblem {
    /// It is known but not on this machine.
    #[error("it is not on this machine")]
    NotPresent {
        /// The command that gets it.
        how_to_get: String,
        /// Bytes to download, if known.
        bytes: Option<u64>,
    },
    /// Neither a catalogue name nor an existing file.
    #[error("it is neither a model in the catalogue nor a file")]
    Unknown {
        /// Names in the catalogue and model files nearby, for a suggestion.
        known: Vec<String>,
    },
    /// Only its shape is known, which computes nothing: it can be simulated, not run.
    #[error("only its shape is known, it has no weights")]
    OnlyAShape {
        /// Names of the shapes that are known, for a suggestion.
        known: Vec<String>,
        /// Whether it is one of them.
        is_known: bool,
    },
    /// Its file is no model that this program can run.
    #[error("{reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
}

/// Where a graph is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Its accelerators, best known first.
    pub accelerators: Vec<AcceleratorId>,
    /// What accelerators do that do not do everything, beside [`Phase::is_done_everywhere`]; one that is not named here
    /// does all phases.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub phases: IndexMap<AcceleratorId, Vec<Phase>>,
    /// Memory that a graph may use, in bytes; `None`: unknown, so not checked.
    pub memory: Option<u64>,
}

impl Machine {
    /// Whether an accelerator does a phase.
    pub fn does(&self, accelerator: AcceleratorId, phase: Phase) -> bool {
        phase.is_done_everywhere() || self.phases.get(&accelerator).is_none_or(|phases| phases.contains(&phase))
    }
}
