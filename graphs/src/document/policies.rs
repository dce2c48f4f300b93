//! Placement, restart and power as written.
use std::time::Duration;

use crate::{
    Code, Diagnostic, PowerPolicy, RestartPolicy,
    findings::Findings,
    source::Span,
    suggest,
    tree::{Body, Shape, Tree, Word},
};

/// Where a node may run, as written.
#[derive(Clone, Debug)]
pub(crate) enum PlacementDecl {
    Auto,
    Pin(Word),
    Prefer(Vec<Word>, Span),
}

/// How a node is restarted, as written.
#[derive(Clone, Debug)]
pub(crate) struct RestartDecl {
    pub(crate) policy: RestartPolicy,
}

const PLACEMENTS: &str = "a placement is Auto, Pin(\"gpu\") or Prefer([\"npu\", \"gpu\", \"cpu\"])";
const RESTARTS: &str =
    "a restart policy is Never, OnFailure(max: 3, within: \"1min\") or Always(max: 3, within: \"1min\")";
const POWERS: &str =
    "power is Performance, Balanced, PowerSaver, Adaptive(high: 0.50, low: 0.20) or AlphaRule(high: 0.50, low: 0.20)";

fn text(tree: &Tree) -> Option<Word> {
    match &tree.shape {
        Shape::Text(text) | Shape::Untyped(text) => Some(Word { text: text.clone(), span: tree.span }),
        _ => None,
    }
}

/// A word that names no variant, or a variant written the wrong way.
fn unknown(tree: &Tree, what: &str, names: &[&str], shape: &str) -> Diagnostic {
    match &tree.shape {
        Shape::Named(word, _) if !names.contains(&word.text.as_str()) => {
            Diagnostic::error(Code::UnknownWord, format!("{} is no {what}", word.text))
                .label(word.span, "unknown word")
                .maybe_help(
                    suggest::nearest(&word.text, names.iter().copied()).map(|near| format!("did you mean {near}?")),
                )
                .help(shape)
        }
        Shape::Named(word, _) => Diagnostic::error(Code::WrongType, format!("{} is not written like this", word.text))
            .at(tree, "here")
            .help(shape),
        _ => {
            Diagnostic::error(Code::WrongType, format!("{} is no {what}", tree.describe())).at(tree, "here").help(shape)
        }
    }
}

pub(super) fn placement(tree: &Tree, findings: &mut Findings) -> Option<PlacementDecl> {
    let found = match &tree.shape {
        Shape::Named(word, Body::Bare) if word.text == "Auto" => Some(PlacementDecl::Auto),
        Shape::Named(word, Body::Tuple(values)) if word.text == "Pin" => match values.as_slice() {
            [value] => text(value).map(PlacementDecl::Pin),
            _ => None,
        },
        Shape::Named(word, Body::Tuple(values)) if word.text == "Prefer" => match values.as_slice() {
            [Tree { shape: Shape::List(values), .. }] if !values.is_empty() => {
                let words: Option<Vec<_>> = values.iter().map(text).collect();
                words.map(|words| PlacementDecl::Prefer(words, tree.span))
            }
            _ => None,
        },
        _ => None,
    };
    if let (None, Shape::Named(word, Body::Tuple(values))) = (&found, &tree.shape)
        && word.text == "Prefer"
        && let Some(names) = values.iter().map(text).collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
    {
        let names: Vec<String> = names.iter().map(|name| format!("{:?}", name.text)).collect();
        findings.push(
            Diagnostic::error(Code::WrongType, "Prefer takes a list in brackets")
                .at(tree, "here")
                .help(format!("write Prefer([{}])", names.join(", "))),
        );
    } else if found.is_none() {
        findings.push(unknown(tree, "placement", &["Auto", "Pin", "Prefer"], PLACEMENTS));
    }
    found
}

pub(super) fn restart(tree: &Tree, findings: &mut Findings) -> Option<RestartDecl> {
    let names = ["Never", "OnFailure", "Always"];
    let (word, fields): (&Word, &[(Word, Tree)]) = match &tree.shape {
        Shape::Named(word, Body::Bare) => (word, &[]),
        Shape::Named(word, Body::Tuple(values)) if values.is_empty() => (word, &[]),
        Shape::Named(word, Body::Fields(fields)) if word.text != "Never" => (word, fields),
        _ => {
            findings.push(unknown(tree, "restart policy", &names, RESTARTS));
            return None;
        }
    };
    if !names.contains(&word.text.as_str()) {
        findings.push(unknown(tree, "restart policy", &names, RESTARTS));
        return None;
    }
    let (mut max, mut within) = (3, Duration::from_secs(60));
    for (name, value) in fields {
        match name.text.as_str() {
            "max" => match value.shape {
                Shape::Integer(number @ 1..=1000) => max = u32::try_from(number).unwrap_or(1000),
                Shape::Integer(number) => findings.push(
                    Diagnostic::error(
                        Code::OutOfBounds,
                        format!("max is {number}, but must be from 1 to 1000 restarts"),
                    )
                    .at(value, "from 1 to 1000"),
                ),
                _ => findings.push(Diagnostic::wrong_type("max", value, "a whole number from 1 to 1000")),
            },
            "within" => match crate::values::duration("within", value) {
                Ok(span) if span > Duration::ZERO => within = span,
                Ok(_) => findings.push(
                    Diagnostic::error(Code::OutOfBounds, "within is 0s, but must be longer")
                        .at(value, "longer than 0s"),
                ),
                Err(diagnostic) => findings.push(*diagnostic),
            },
            other => findings.push(
                Diagnostic::error(Code::UnknownSection, format!("{} has no field `{other}`", word.text))
                    .label(name.span, "unknown field")
                    .maybe_help(suggest::help(other, ["max", "within"], "fields", false)),
            ),
        }
    }
    Some(RestartDecl {
        policy: match word.text.as_str() {
            "Never" => RestartPolicy::Never,
            "Always" => RestartPolicy::Always { max, within },
            _ => RestartPolicy::OnFailure { max, within },
        },
    })
}

pub(crate) fn power(tree: &Tree, findings: &mut Findings) -> Option<PowerPolicy> {
    let names = ["Performance", "Balanced", "PowerSaver", "Adaptive", "AlphaRule"];
    let found = match &tree.shape {
        Shape::Named(word, Body::Bare) => match word.text.as_str() {
            "Performance" => Some(PowerPolicy::Performance),
            "Balanced" => Some(PowerPolicy::Balanced),
            "PowerSaver" => Some(PowerPolicy::PowerSaver),
            _ => None,
        },
        Shape::Named(word, Body::Fields(fields)) => match word.text.as_str() {
            "Adaptive" => {
                return thresholds(word, fields, findings).map(|(high, low)| PowerPolicy::Adaptive { high, low });
            }
            "AlphaRule" => {
                return thresholds(word, fields, findings).map(|(high, low)| PowerPolicy::AlphaRule { high, low });
            }
            _ => None,
        },
        _ => None,
    };
    if found.is_none() {
        findings.push(unknown(tree, "power policy", &names, POWERS));
    }
    found
}

/// The two states of charge of a policy, `(high, low)`.
fn thresholds(policy: &Word, fields: &[(Word, Tree)], findings: &mut Findings) -> Option<(f64, f64)> {
    let policy_name = &policy.text;
    let (mut high, mut low) = (None, None);
    let mut wrong = false;
    for (name, value) in fields {
        let slot = match name.text.as_str() {
            "high" => &mut high,
            "low" => &mut low,
            other => {
                findings.push(
                    Diagnostic::error(Code::UnknownSection, format!("{policy_name} has no field `{other}`"))
                        .label(name.span, "unknown field")
                        .maybe_help(suggest::help(other, ["high", "low"], "fields", false)),
                );
                continue;
            }
        };
        let number = match value.shape {
            Shape::Integer(number) => number as f64,
            Shape::Number(number) => number,
            _ => {
                findings.push(Diagnostic::wrong_type(&name.text, value, "a state of charge from 0.0 to 1.0"));
                wrong = true;
                continue;
            }
        };
        if !(0.0..=1.0).contains(&number) {
            let help = (number > 1.0 && number <= 100.0).then(|| format!("{number} % is written {}", number / 100.0));
            findings.push(
                Diagnostic::error(
                    Code::OutOfBounds,
                    format!("{} is {number}, but a state of charge is from 0.0 to 1.0", name.text),
                )
                .at(value, "from 0.0 to 1.0")
                .maybe_help(help),
            );
            wrong = true;
            continue;
        }
        *slot = Some((number, value.span));
    }
    if wrong {
        return None;
    }
    let (Some((high, high_span)), Some((low, low_span))) = (high, low) else {
        findings.push(
            Diagnostic::error(Code::MissingField, format!("{policy_name} needs both `high` and `low`"))
                .label(policy.span, "here")
                .help(POWERS),
        );
        return None;
    };
    if low >= high {
        findings.push(
            Diagnostic::error(Code::OutOfBounds, format!("`low` ({low}) must be less than `high` ({high})"))
                .label(low_span, "standby at or below")
                .label(high_span, "full work at or above"),
        );
        return None;
    }
    Some((high, low))
}
