//! The log of decisions: each with the observation that it was made from.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::observation::Observation;

/// A decision and what it was made from; one line of the log file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Its number in the run, from 1.
    pub number: u64,
    /// The decision.
    pub decision: Decision,
    /// What was seen when it was made.
    pub seen: Observation,
}

/// The log could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the decision log {}: {source}", path.display())]
pub struct LogError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Keeps every decision in memory, and as JSON lines in a file if one is given.
#[derive(Debug, Default)]
pub struct DecisionLog {
    records: Vec<DecisionRecord>,
    file: Option<(PathBuf, File)>,
}

impl DecisionLog {
    /// A log in memory alone.
    pub fn in_memory() -> DecisionLog {
        DecisionLog::default()
    }

    /// A log that also goes to a file, replacing one that is there.
    ///
    /// # Errors
    /// [`LogError`] with what the system said.
    pub fn create(path: &Path) -> Result<DecisionLog, LogError> {
        let file = File::create(path).map_err(|source| LogError { path: path.to_owned(), source })?;
        Ok(DecisionLog { records: Vec::new(), file: Some((path.to_owned(), file)) })
    }

    /// Adds a decision. It is kept in memory in any case.
    ///
    /// # Errors
    /// [`LogError`], once: after it the file is closed and later decisions go to memory alone.
    pub fn add(&mut self, decision: Decision, seen: Observation) -> Result<(), LogError> {
        let record = DecisionRecord { number: self.records.len() as u64 + 1, decision, seen };
        let written = match &mut self.file {
            None => Ok(()),
            Some((_, file)) => serde_json::to_string(&record)
                .map_err(io::Error::from)
                .and_then(|line| file.write_all(format!("{line}\n").as_bytes())),
        };
        self.records.push(record);
        written.map_err(|source| LogError { path: self.file.take().map(|(path, _)| path).unwrap_or_default(), source })
    }

    /// All decisions so far, the oldest first.
    pub fn records(&self) -> &[DecisionRecord] {
        &self.records
    }
}
