//! A figure and where it comes from. Neither is of use without the other, so one type holds both.

use std::fmt;

use serde::Deserialize;

/// A figure of a profile with its origin. As text: `(value: 2.5, source: "board vendor's data sheet, table 3")`, or
/// with `fitted:` or `estimate:` in place of `source:`. Exactly one of the three is given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written<T>", bound(deserialize = "T: Deserialize<'de>"))]
pub struct Sourced<T> {
    /// The figure.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a figure comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// What is published: a data sheet, a measurement, a paper.
    Source(String),
    /// It was chosen so that a simulation agrees with this. Then that agreement proves nothing.
    Fitted(String),
    /// Nothing published was found; this is the reasoning.
    Estimate(String),
}

impl Origin {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Origin::Source(text) | Origin::Fitted(text) | Origin::Estimate(text) => text,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Source(text) => write!(f, "source: {text}"),
            Origin::Fitted(text) => write!(f, "fitted to {text}"),
            Origin::Estimate(text) => write!(f, "estimate: {text}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Figure", bound(deserialize = "T: Deserialize<'de>"))]
struct Written<T> {
    value: T,
    source: Option<String>,
    fitted: Option<String>,
    estimate: Option<String>,
}

/// A figure whose origin is not told, or told twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected exactly one of source, fitted and estimate, with words in it, found {found}")]
pub struct OriginError {
    found: &'static str,
}

impl<T> TryFrom<Written<T>> for Sourced<T> {
    type Error = OriginError;

    fn try_from(written: Written<T>) -> Result<Sourced<T>, OriginError> {
        let origin = match (written.source, written.fitted, written.estimate) {
            (Some(text), None, None) => Origin::Source(text),
            (None, Some(text), None) => Origin::Fitted(text),
            (None, None, Some(text)) => Origin::Estimate(text),
            (None, None, None) => return Err(OriginError { found: "none" }),
            _ => return Err(OriginError { found: "several" }),
        };
        match origin.text().trim() {
            "" => Err(OriginError { found: "an empty text" }),
            _ => Ok(Sourced { value: written.value, origin }),
        }
    }
}
