//! What is wrong with a scenario: where, what was expected, what was found, and what may have been meant.

use std::io;
use std::path::PathBuf;

use nanomind_graphs::nearest_word;
use ron::Error;
use ron::error::SpannedError;

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

/// What a mistake in a text says, its place apart.
pub(super) fn describe(error: &SpannedError, text: &str) -> String {
    match &error.code {
        // What our own types say.
        Error::Message(what) => what.clone(),
        Error::NoSuchStructField { expected, found, .. } => {
            let meant = meant(found, expected);
            format!("expected {}, found the unknown field `{found}`{meant}", one_of(expected))
        }
        Error::NoSuchEnumVariant { expected, found, .. } => {
            format!("expected {}, found `{found}`{}", one_of(expected), meant(found, expected))
        }
        Error::MissingStructField { field, .. } => format!("expected a field `{field}`, found none"),
        Error::DuplicateStructField { field, .. } => format!("expected `{field}` once, found it twice"),
        Error::InvalidValueForType { expected, found } => format!("expected {expected}, found {found}"),
        other => {
            let what = other.to_string();
            let mut letters = what.chars();
            let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
            format!("{first}{}, found {}", letters.as_str(), found(error, text))
        }
    }
}

fn meant(found: &str, expected: &[&'static str]) -> String {
    did_you_mean(nearest_word(found, expected.iter().copied()))
}

/// `a`, `b` or `c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => "no field".to_owned(),
        [only] => format!("`{only}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|name| format!("`{name}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
    }
}

/// The beginning of what stands at the place of the mistake.
fn found(error: &SpannedError, text: &str) -> String {
    let line = text.lines().nth(error.span.start.line.saturating_sub(1)).unwrap_or_default();
    let rest: String = line.chars().skip(error.span.start.col.saturating_sub(1)).take(24).collect();
    match rest.trim().trim_end_matches(',') {
        "" => "the end of the line".to_owned(),
        rest => format!("{rest:?}"),
    }
}
