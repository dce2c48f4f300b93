//! What is wrong in a RON text (a profile, a scenario), in the words of the house: `expected …, found …`.

use ron::Error;
use ron::error::SpannedError;

/// What a mistake in `text` says, its place apart. `meant` picks, of the names that may stand there, the one that an
/// unknown name was probably meant to be.
pub fn describe(
    error: &SpannedError,
    text: &str,
    meant: impl Fn(&str, &[&'static str]) -> Option<&'static str>,
) -> String {
    let meant = |found: &str, expected: &[&'static str]| match meant(found, expected) {
        Some(word) => format!("; did you mean {word:?}?"),
        None => String::new(),
    };
    match &error.code {
        // What our own types say.
        Error::Message(what) => what.clone(),
        Error::NoSuchStructField { expected, found, .. } => {
            format!("expected {}, found the unknown field `{found}`{}", one_of(expected), meant(found, expected))
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
