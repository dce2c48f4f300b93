//! Fields of a node: what a graph may set, within which bounds, and what holds when it does not.
use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::Serialize;

use crate::units;

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldType {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A number within bounds, both included.
    Number {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// A time span such as `"250ms"`, within bounds.
    Duration {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// An amount of memory such as `"512MiB"`, within bounds, in bytes.
    Bytes {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// A file or directory.
    Path,
    /// A model: a name in the catalogue or a file.
    Model,
    /// One of these words.
    Choice(Vec<String>),
    /// A list of values of one type.
    List(Box<FieldType>),
}

impl FieldType {
    /// The type in words, with its bounds: what a person is told was expected.
    pub fn expectation(&self, unit: Option<&str>) -> String {
        match self {
            Self::Text => "a text in quotes".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Integer { .. } => format!("a whole number {}", self.bounds(unit)).trim_end().to_owned(),
            Self::Number { .. } => format!("a number {}", self.bounds(unit)),
            Self::Duration { .. } => {
                format!("a duration {}, such as \"250ms\", \"1s\" or \"2min\"", self.bounds(unit))
            }
            Self::Bytes { .. } => format!("an amount of memory {}, such as \"512MiB\"", self.bounds(unit)),
            Self::Path => "a path in quotes".to_owned(),
            Self::Model => "a model: a catalogue name or a file, in quotes".to_owned(),
            Self::Choice(words) => match words.as_slice() {
                [] => "nothing".to_owned(),
                [only] => format!("\"{only}\""),
                [first @ .., last] => format!(
                    "{} or \"{last}\"",
                    first.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
                ),
            },
            Self::List(of) => format!("a list [..], each {}", of.expectation(None)),
        }
    }

    /// The bounds in words: `from 64 to 131072 tokens`; empty where there are none.
    pub fn bounds(&self, unit: Option<&str>) -> String {
        let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
        match self {
            Self::Integer { min: i64::MIN, max: i64::MAX } => unit.trim().to_owned(),
            Self::Integer { min, max: i64::MAX } => format!("at least {min}{unit}"),
            Self::Integer { min, max } => format!("from {min} to {max}{unit}"),
            Self::Number { min, max } if *max >= f64::MAX => format!("at least {min}{unit}"),
            Self::Number { min, max } => format!("from {min} to {max}{unit}"),
            Self::Duration { min, max } => {
                format!("from {} to {}", units::show_duration(*min), units::show_duration(*max))
            }
            Self::Bytes { min, max } => format!("from {} to {}", units::show_bytes(*min), units::show_bytes(*max)),
            Self::Choice(_) => self.expectation(None),
            Self::List(of) => match of.bounds(None) {
                bounds if bounds.is_empty() => bounds,
                bounds => format!("each {bounds}"),
            },
            Self::Text | Self::Bool | Self::Path | Self::Model => String::new(),
        }
    }

    /// The type's name in the reference.
    pub fn name(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Integer { .. } => "integer".to_owned(),
            Self::Number { .. } => "number".to_owned(),
            Self::Duration { .. } => "duration".to_owned(),
            Self::Bytes { .. } => "memory".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Model => "model".to_owned(),
            Self::Choice(_) => "choice".to_owned(),
            Self::List(of) => format!("list of {}", of.name()),
        }
    }

    /// Whether `value` has this type and lies within its bounds.
    pub fn admits(&self, value: &FieldValue) -> bool {
        match (self, value) {
            (Self::Text, FieldValue::Text(_))
            | (Self::Bool, FieldValue::Bool(_))
            | (Self::Path, FieldValue::Path(_))
            | (Self::Model, FieldValue::Model(_)) => true,
            (Self::Integer { min, max }, FieldValue::Integer(value)) => (min..=max).contains(&value),
            (Self::Number { min, max }, FieldValue::Number(value)) => (min..=max).contains(&value),
            (Self::Duration { min, max }, FieldValue::Duration(value)) => (min..=max).contains(&value),
            (Self::Bytes { min, max }, FieldValue::Bytes(value)) => (min..=max).contains(&value),
            (Self::Choice(words), FieldValue::Choice(word)) => words.contains(word),
            (Self::List(of), FieldValue::List(values)) => values.iter().all(|value| of.admits(value)),
            _ => false,
        }
    }
}

/// A field's value, checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum FieldValue {
    /// Text.
    Text(String),
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Integer(i64),
    /// Number.
    Number(f64),
    /// Time span.
    Duration(#[serde(serialize_with = "units::serialize_duration")] Duration),
    /// Memory in bytes.
    Bytes(u64),
    /// File or directory, as the graph wrote it.
    Path(PathBuf),
    /// Model reference, as the graph wrote it.
    Model(String),
    /// One of the field's words.
    Choice(String),
    /// List.
    List(Vec<FieldValue>),
}

impl FieldValue {
    /// The value's type in a word.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Bool(_) => "bool",
            Self::Integer(_) => "integer",
            Self::Number(_) => "number",
            Self::Duration(_) => "duration",
            Self::Bytes(_) => "memory",
            Self::Path(_) => "path",
            Self::Model(_) => "model",
            Self::Choice(_) => "choice",
            Self::List(_) => "list",
        }
    }

    /// The value under field type `ty`: a text becomes the path, model, choice or quantity that it
    /// stands for, an integer a number.
    pub(crate) fn into_type(self, ty: &FieldType) -> Self {
        match (self, ty) {
            (Self::Text(text), FieldType::Path) => Self::Path(text.into()),
            (Self::Text(text), FieldType::Model) => Self::Model(text),
            (Self::Text(text), FieldType::Choice(_)) => Self::Choice(text),
            (Self::Text(text), FieldType::Duration { .. }) => match units::parse_duration(&text) {
                Ok(span) => Self::Duration(span),
                Err(_) => Self::Text(text),
            },
            (Self::Text(text), FieldType::Bytes { .. }) => match units::parse_bytes(&text) {
                Ok(bytes) => Self::Bytes(bytes),
                Err(_) => Self::Text(text),
            },
            (Self::Integer(value), FieldType::Number { .. }) => Self::Number(value as f64),
            (Self::Integer(value), FieldType::Bytes { .. }) if value >= 0 => Self::Bytes(value.unsigned_abs()),
            (Self::List(values), FieldType::List(of)) => {
                Self::List(values.into_iter().map(|value| value.into_type(of)).collect())
            }
            (value, _) => value,
        }
    }
}

/// As a graph would write it.
impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Model(text) | Self::Choice(text) => write!(f, "{text:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Duration(value) => write!(f, "\"{}\"", units::show_duration(*value)),
            Self::Bytes(value) => write!(f, "\"{}\"", units::show_bytes(*value)),
            Self::Path(path) => write!(f, "{:?}", path.display().to_string()),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}
impl From<f64> for FieldValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}
impl From<Duration> for FieldValue {
    fn from(value: Duration) -> Self {
        Self::Duration(value)
    }
}

/// What holds when a graph does not set a field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The graph must set it.
    Required,
    /// It stays unset: the node's `optional_…` getters answer `None`.
    Optional,
    /// This value.
    Default(FieldValue),
}

/// A field of a node kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FieldSpec {
    /// Name, unique in its node.
    pub name: String,
    /// What it holds.
    pub ty: FieldType,
    /// Unit of a number, such as `tokens` or `Hz`.
    pub unit: Option<String>,
    /// What holds when it is not set.
    pub presence: Presence,
    /// What it is for, one sentence.
    pub doc: String,
}

impl FieldSpec {
    /// A required field.
    pub fn new(name: impl Into<String>, ty: FieldType, doc: impl Into<String>) -> Self {
        Self { name: name.into(), ty, unit: None, presence: Presence::Required, doc: doc.into() }
    }

    /// A required text.
    pub fn text(name: impl Into<String>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Text, doc)
    }

    /// A required truth value.
    pub fn bool(name: impl Into<String>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Bool, doc)
    }

    /// A required whole number within `bounds`.
    pub fn integer(name: impl Into<String>, bounds: RangeInclusive<i64>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Integer { min: *bounds.start(), max: *bounds.end() }, doc)
    }

    /// A required number within `bounds`.
    pub fn number(name: impl Into<String>, bounds: RangeInclusive<f64>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Number { min: *bounds.start(), max: *bounds.end() }, doc)
    }

    /// A required time span within `bounds`.
    pub fn duration(name: impl Into<String>, bounds: RangeInclusive<Duration>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Duration { min: *bounds.start(), max: *bounds.end() }, doc)
    }

    /// A required amount of memory within `bounds`, in bytes.
    pub fn bytes(name: impl Into<String>, bounds: RangeInclusive<u64>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Bytes { min: *bounds.start(), max: *bounds.end() }, doc)
    }

    /// A required file or directory.
    pub fn path(name: impl Into<String>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Path, doc)
    }

    /// A required model.
    pub fn model(name: impl Into<String>, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Model, doc)
    }

    /// A required word out of `words`.
    pub fn choice(name: impl Into<String>, words: &[&str], doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::Choice(words.iter().map(|&word| word.to_owned()).collect()), doc)
    }

    /// A required list of `of`.
    pub fn list(name: impl Into<String>, of: FieldType, doc: impl Into<String>) -> Self {
        Self::new(name, FieldType::List(Box::new(of)), doc)
    }

    /// The unit of the number.
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// The value when a graph does not set the field; a text also stands for a path, a model, a
    /// choice, a duration or an amount of memory.
    pub fn default(mut self, value: impl Into<FieldValue>) -> Self {
        self.presence = Presence::Default(value.into().into_type(&self.ty));
        self
    }

    /// A graph may leave the field unset.
    pub fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }
}
