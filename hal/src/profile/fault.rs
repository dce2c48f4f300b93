//! What is wrong in the text of a profile, in the words of the house: `expected …, found …`.

use ron::Error;
use ron::error::SpannedError;

/// What a mistake says, its place apart.
pub(super) fn describe(error: &SpannedError, text: &str) -> String {
    match &error.code {
        // What our own types say.
        Error::Message(what) => what.clone(),
        Error::NoSuchStructField { expected, found, .. } => {
            format!("expected {}, found the unknown field `{found}`", one_of(expected))
        }
        Error::NoSuchEnumVariant { expected, found, .. } => format!("expected {}, found `{found}`", one_of(expected)),
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
