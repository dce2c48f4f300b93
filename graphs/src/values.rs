//! A value as written against the type that its field has.
use std::time::Duration;

use crate::{
    Code, Diagnostic, FieldSpec, FieldType, FieldValue, suggest,
    tree::{Shape, Tree},
    units::{self, QuantityError},
};

type Found<T> = Result<T, Box<Diagnostic>>;

/// Reads `tree` as a value of `field`; `owner` says whose field it is.
pub(crate) fn read(owner: &str, field: &FieldSpec, tree: &Tree) -> Found<FieldValue> {
    let what = format!("`{}` of {owner}", field.name);
    let value = of_type(&what, &field.ty, field.unit.as_deref(), tree)?;
    if field.ty.admits(&value) { Ok(value) } else { Err(Box::new(out_of_bounds(&what, field, &value, tree))) }
}

fn of_type(what: &str, ty: &FieldType, unit: Option<&str>, tree: &Tree) -> Found<FieldValue> {
    let wrong = || {
        let diagnostic = Diagnostic::wrong_type(what, tree, &ty.expectation(unit));
        Err(Box::new(diagnostic.maybe_help(quotes(ty, tree))))
    };
    match (ty, &tree.shape) {
        (FieldType::Text, Shape::Text(text) | Shape::Untyped(text)) => Ok(FieldValue::Text(text.clone())),
        (FieldType::Path | FieldType::Model, Shape::Text(text) | Shape::Untyped(text)) if text.trim().is_empty() => {
            let diagnostic = Diagnostic::error(Code::WrongType, format!("{what} is empty"));
            Err(Box::new(diagnostic.at(tree, format!("expected {}", ty.expectation(None)))))
        }
        (FieldType::Path, Shape::Text(text) | Shape::Untyped(text)) => Ok(FieldValue::Path(text.into())),
        (FieldType::Model, Shape::Text(text) | Shape::Untyped(text)) => Ok(FieldValue::Model(text.clone())),
        (FieldType::Choice(words), Shape::Text(text) | Shape::Untyped(text)) => choice(what, words, text, tree),
        (FieldType::Bool, Shape::Bool(value)) => Ok(FieldValue::Bool(*value)),
        (FieldType::Bool, Shape::Untyped(text)) => text.parse().map(FieldValue::Bool).or_else(|_| wrong()),
        (FieldType::Integer { .. }, Shape::Integer(value)) => Ok(FieldValue::Integer(*value)),
        (FieldType::Integer { .. }, Shape::Untyped(text)) => text.parse().map(FieldValue::Integer).or_else(|_| wrong()),
        (FieldType::Number { .. }, Shape::Integer(value)) => Ok(FieldValue::Number(*value as f64)),
        (FieldType::Number { .. }, Shape::Number(value)) => Ok(FieldValue::Number(*value)),
        (FieldType::Number { .. }, Shape::Untyped(text)) => text.parse().map(FieldValue::Number).or_else(|_| wrong()),
        (FieldType::Duration { .. }, _) => duration(what, tree).map(FieldValue::Duration),
        (FieldType::Bytes { .. }, _) => bytes(what, tree).map(FieldValue::Bytes),
        (FieldType::List(of), Shape::List(values)) => {
            let each = format!("an element of {what}");
            let values = values.iter().map(|value| of_type(&each, of, None, value)).collect::<Found<Vec<_>>>()?;
            Ok(FieldValue::List(values))
        }
        _ => wrong(),
    }
}

/// Quotes too few or too many are the commonest slip.
fn quotes(ty: &FieldType, tree: &Tree) -> Option<String> {
    match (ty, &tree.shape) {
        (FieldType::Integer { .. } | FieldType::Number { .. } | FieldType::Bool, Shape::Text(text)) => {
            let would_do = text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok();
            would_do.then(|| format!("write it without quotes: {text}"))
        }
        (FieldType::Text | FieldType::Path | FieldType::Model | FieldType::Choice(_), Shape::Named(word, _)) => {
            Some(format!("write it in quotes: \"{}\"", word.text))
        }
        (FieldType::Text | FieldType::Choice(_), Shape::Integer(value)) => {
            Some(format!("write it in quotes: \"{value}\""))
        }
        (FieldType::List(_), Shape::Text(text)) => Some(format!("write it in brackets: [{text:?}]")),
        _ => None,
    }
}

fn choice(what: &str, words: &[String], text: &str, tree: &Tree) -> Found<FieldValue> {
    if words.iter().any(|word| word == text) {
        return Ok(FieldValue::Choice(text.to_owned()));
    }
    Err(Box::new(
        Diagnostic::error(Code::UnknownWord, format!("{what} cannot be {text:?}"))
            .at(tree, "unknown word")
            .maybe_help(suggest::help(text, words.iter().map(String::as_str), "possible", true)),
    ))
}

/// Reads a time span such as `"250ms"`.
pub(crate) fn duration(what: &str, tree: &Tree) -> Found<Duration> {
    let bad = |message: String, help: String| {
        Err(Box::new(Diagnostic::error(Code::BadDuration, message).at(tree, "expected such as \"250ms\"").help(help)))
    };
    let units = units::DURATION_UNITS;
    match &tree.shape {
        Shape::Text(text) | Shape::Untyped(text) => units::parse_duration(text).or_else(|error| match error {
            QuantityError::NoUnit => bad(
                format!("{what} is {text:?}, a number without a unit"),
                format!("write \"{text}s\" or \"{text}ms\""),
            ),
            QuantityError::UnknownUnit(unit) => {
                let number = text.trim().trim_end_matches(unit).trim();
                let help = match unit_meant(unit) {
                    Some(meant) => format!("did you mean \"{number}{meant}\"?\nunits: {units}"),
                    None => format!("units: {units}"),
                };
                bad(format!("{what} is {text:?}, and \"{unit}\" is no unit of time"), help)
            }
            QuantityError::NoNumber => {
                bad(format!("{what} is {text:?}, which is no duration"), format!("units: {units}"))
            }
            QuantityError::OutOfRange => {
                bad(format!("{what} is {text:?}, which is out of range"), format!("units: {units}"))
            }
        }),
        Shape::Integer(_) | Shape::Number(_) => {
            let number = match tree.shape {
                Shape::Number(number) => number.to_string(),
                Shape::Integer(number) => number.to_string(),
                _ => String::new(),
            };
            let help = format!("write \"{number}s\" or \"{number}ms\"");
            bad(format!("{what} is {number}, a number without a unit"), help)
        }
        _ => Err(Box::new(Diagnostic::wrong_type(what, tree, "a duration such as \"250ms\", \"1s\" or \"2min\""))),
    }
}

fn unit_meant(unit: &str) -> Option<&'static str> {
    match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "m" | "mins" | "minute" | "minutes" => Some("min"),
        "hr" | "hrs" | "hour" | "hours" => Some("h"),
        "msec" | "msecs" | "millis" | "milliseconds" => Some("ms"),
        "usec" | "micros" | "microseconds" => Some("us"),
        _ => None,
    }
}

fn bytes(what: &str, tree: &Tree) -> Found<u64> {
    let bad = |message: String| {
        let help = format!("units: {}", units::AMOUNT_UNITS);
        Err(Box::new(Diagnostic::error(Code::BadAmount, message).at(tree, "expected such as \"512MiB\"").help(help)))
    };
    match &tree.shape {
        Shape::Text(text) | Shape::Untyped(text) => units::parse_bytes(text).or_else(|error| match error {
            QuantityError::NoUnit => bad(format!("{what} is {text:?}, a number without a unit")),
            QuantityError::UnknownUnit(unit) => bad(format!("{what} is {text:?}, and \"{unit}\" is no unit of memory")),
            QuantityError::NoNumber => bad(format!("{what} is {text:?}, which is no amount of memory")),
            QuantityError::OutOfRange => bad(format!("{what} is {text:?}, which is out of range")),
        }),
        Shape::Integer(number) => bad(format!("{what} is {number}, a number without a unit")),
        _ => Err(Box::new(Diagnostic::wrong_type(what, tree, "an amount of memory such as \"512MiB\""))),
    }
}

fn out_of_bounds(what: &str, field: &FieldSpec, value: &FieldValue, tree: &Tree) -> Diagnostic {
    let unit = field.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let bounds = field.ty.bounds(field.unit.as_deref());
    if matches!(value, FieldValue::List(_)) {
        let expected = field.ty.expectation(None);
        return Diagnostic::error(Code::OutOfBounds, format!("{what} must be {expected}")).at(tree, "out of bounds");
    }
    let shown = value.to_string();
    let shown = shown.trim_matches('"');
    Diagnostic::error(Code::OutOfBounds, format!("{what} is {shown}{unit}, but must be {bounds}"))
        .at(tree, bounds)
        .help(field.doc.clone())
}
