//! Parameters: `params: { "device": "/dev/video0" }`, set from outside, used as `"$device"` or `"…${device}…"`.
use indexmap::IndexMap;

use crate::{
    Code, Diagnostic, Span,
    findings::Findings,
    source::{Source, Sources},
    suggest,
    tree::{self, Body, Origin, Shape, Tree, Word},
};

/// What sets the parameters of a file from outside.
pub(crate) enum Given<'a> {
    /// `--set NAME=VALUE`, as text.
    CommandLine(&'a [(String, String)]),
    /// `Include(params: {…})`. A file that a parameter has chosen among others takes what all of them take, so that it
    /// may leave some of it unused.
    Include { params: &'a [(Word, Tree)], chosen: bool },
}

struct Param {
    declared: Span,
    value: Tree,
    used: bool,
}

/// The parameters of one file with their values.
#[derive(Default)]
pub(crate) struct Params(IndexMap<String, Param>);

impl Params {
    /// Declares a parameter with its default.
    pub(crate) fn declare(&mut self, name: Word, default: Tree, findings: &mut Findings) {
        if !crate::names::is_identifier(&name.text) {
            findings.push(
                Diagnostic::error(Code::BadName, format!("{:?} is no parameter name", name.text))
                    .label(name.span, "letters, digits and _, not starting with a digit"),
            );
            return;
        }
        if matches!(default.shape, Shape::Named(..) | Shape::Fields(_) | Shape::Map(_) | Shape::Tuple(_)) {
            let expected = "a text, a number, true or false, a list, or None";
            findings.push(Diagnostic::wrong_type(&format!("the default of `{}`", name.text), &default, expected));
            return;
        }
        if let Some(earlier) = self.0.get(&name.text) {
            findings.push(
                Diagnostic::error(Code::Duplicate, format!("parameter `{}` is declared twice", name.text))
                    .label(name.span, "again here")
                    .label(earlier.declared, "first here"),
            );
            return;
        }
        self.0.insert(name.text, Param { declared: name.span, value: default, used: false });
    }

    /// Sets what is given from outside, each value read as the default's type.
    pub(crate) fn give(&mut self, given: &Given<'_>, file: &str, sources: &mut Sources, findings: &mut Findings) {
        match given {
            Given::CommandLine(settings) => {
                for (name, text) in *settings {
                    let source = Source::new("--set", format!("{name}={text}"));
                    let (start, end) = (name.len() + 1, source.text.len());
                    let id = sources.add(source);
                    let name = Word { text: name.clone(), span: Span { file: id, start: 0, end: name.len() } };
                    let value =
                        Tree { span: Span { file: id, start, end }, shape: Shape::Untyped(text.clone()), origin: None };
                    self.set(&name, value, file, findings);
                }
            }
            Given::Include { params, .. } => {
                for (name, value) in *params {
                    self.set(name, value.clone(), file, findings);
                }
            }
        }
    }

    fn set(&mut self, name: &Word, value: Tree, file: &str, findings: &mut Findings) {
        let Some(param) = self.0.get_mut(&name.text) else {
            let names = self.0.keys().map(String::as_str);
            let help = suggest::help(&name.text, names, "parameters", false)
                .unwrap_or_else(|| format!("{file} declares no parameters"));
            findings.push(
                Diagnostic::error(Code::UnknownParameter, format!("{file} has no parameter `{}`", name.text))
                    .label(name.span, "no such parameter")
                    .help(help),
            );
            return;
        };
        match typed(&param.value.shape, value) {
            (value, None) => param.value = value,
            (found, Some(expected)) => findings.push(
                Diagnostic::wrong_type(&format!("parameter `{}`", name.text), &found, expected)
                    .label(param.declared, format!("its default is {}", param.value.describe())),
            ),
        }
    }

    /// Puts the values in the place of `"$name"` and `"…${name}…"`, everywhere in `tree`.
    pub(crate) fn fill(&mut self, tree: &mut Tree, findings: &mut Findings) {
        match &mut tree.shape {
            Shape::Text(text) => {
                let text = std::mem::take(text);
                self.fill_text(tree, text, findings);
            }
            Shape::List(values) | Shape::Tuple(values) | Shape::Named(_, Body::Tuple(values)) => {
                values.iter_mut().for_each(|value| self.fill(value, findings));
            }
            Shape::Fields(fields) | Shape::Named(_, Body::Fields(fields)) => {
                fields.iter_mut().for_each(|(_, value)| self.fill(value, findings));
            }
            // Keys are names and stay as they are.
            Shape::Map(entries) => entries.iter_mut().for_each(|(_, value)| self.fill(value, findings)),
            _ => {}
        }
    }

    fn fill_text(&mut self, tree: &mut Tree, text: String, findings: &mut Findings) {
        if let Some(name) = text.strip_prefix('$').filter(|name| crate::names::is_identifier(name)) {
            match self.find(name, tree.span, findings) {
                Some(param) => {
                    tree.shape = param.value.shape.clone();
                    tree.origin = Some(Origin { param: name.to_owned(), span: param.value.span });
                }
                None => tree.shape = Shape::Untyped(text),
            }
            return;
        }
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some(dollar) = rest.find('$') {
            filled.push_str(&rest[..dollar]);
            let after = &rest[dollar + 1..];
            if let Some(literal) = after.strip_prefix('$') {
                filled.push('$');
                rest = literal;
                continue;
            }
            let named = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            match named.filter(|(name, _)| crate::names::is_identifier(name)) {
                Some((name, behind)) => {
                    if let Some(param) = self.find(name, tree.span, findings) {
                        filled.push_str(&plain(&param.value.shape));
                        tree.origin = Some(Origin { param: name.to_owned(), span: param.value.span });
                    }
                    rest = behind;
                }
                None => {
                    filled.push('$');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        tree.shape = Shape::Text(filled);
    }

    fn find(&mut self, name: &str, span: Span, findings: &mut Findings) -> Option<&Param> {
        if !self.0.contains_key(name) {
            let names = self.0.keys().map(String::as_str);
            findings.push(
                Diagnostic::error(Code::UnknownParameter, format!("there is no parameter `{name}`"))
                    .label(span, "no such parameter")
                    .maybe_help(suggest::help(name, names, "parameters", false))
                    .help(format!("declare it as params: {{ {name:?}: .. }}, or write $$ for a dollar sign")),
            );
            // The one that is meant is not unused.
            let meant = suggest::nearest(name, self.0.keys().map(String::as_str)).map(str::to_owned);
            if let Some(param) = meant.and_then(|meant| self.0.get_mut(&meant)) {
                param.used = true;
            }
        }
        let param = self.0.get_mut(name)?;
        param.used = true;
        Some(param)
    }

    /// Warns of parameters that nothing uses.
    pub(crate) fn report_unused(&self, findings: &mut Findings) {
        for (name, param) in self.0.iter().filter(|(_, param)| !param.used) {
            findings.push(
                Diagnostic::warning(Code::UnusedParameter, format!("parameter `{name}` is never used"))
                    .label(param.declared, "declared here")
                    .help(format!("use it as \"${name}\" for a whole value or ${{{name}}} inside a text")),
            );
        }
    }
}

/// The value as the type of `default`, and what it should have been where it is something else.
fn typed(default: &Shape, mut value: Tree) -> (Tree, Option<&'static str>) {
    if let Shape::Untyped(text) = &value.shape {
        // Behind as much space as stands before it on the command line, so that the places are right.
        let padded = format!("{:1$}{text}", "", value.span.start);
        value.shape = match default {
            Shape::Nothing => return (value, None),
            Shape::Text(_) => Shape::Text(text.clone()),
            _ => match tree::parse(&padded, value.span.file) {
                Ok(Tree { shape: Shape::Named(..), .. }) | Err(_) => Shape::Text(text.clone()),
                Ok(parsed) => parsed.shape,
            },
        };
    }
    let expected = match (default, &value.shape) {
        (Shape::Nothing, _)
        | (_, Shape::Nothing)
        | (Shape::Text(_), Shape::Text(_) | Shape::Untyped(_))
        | (Shape::Bool(_), Shape::Bool(_))
        | (Shape::Integer(_) | Shape::Number(_), Shape::Integer(_) | Shape::Number(_))
        | (Shape::List(_), Shape::List(_)) => return (value, None),
        (Shape::Text(_), _) => "a text",
        (Shape::Bool(_), _) => "true or false",
        (Shape::Integer(_) | Shape::Number(_), _) => "a number",
        (_, _) => "a list [..]",
    };
    (value, Some(expected))
}

/// A scalar inside a text.
fn plain(shape: &Shape) -> String {
    match shape {
        Shape::Text(text) | Shape::Untyped(text) => text.clone(),
        Shape::Integer(value) => value.to_string(),
        Shape::Number(value) => value.to_string(),
        Shape::Bool(value) => value.to_string(),
        _ => String::new(),
    }
}
