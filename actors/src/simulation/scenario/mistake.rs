//! What is wrong with a scenario: where, what was expected, what was found, and what may have been meant.

use std::io;
use std::path::PathBuf;

/// Why there is no scenario, or none for this graph and device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is too large for a scenario.
    #[error("the scenario {} is too large: expected at most {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, as `expected …, found …`.
        what: String,
    },
    /// It speaks of something that the graph or the device does not have.
    #[error("scenario {name:?}: {field}: expected {expected}, found {found:?}{}", did_you_mean(suggestion.as_deref()))]
    Stranger {
        /// The scenario.
        name: String,
        /// Where it speaks of it.
        field: String,
        /// What there is.
        expected: String,
        /// What it says.
        found: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
}

/// `; did you mean …?`
fn did_you_mean(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| format!("; did you mean {word:?}?"))
}
