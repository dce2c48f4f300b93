//! The reference of node kinds, made from the specifications that a check uses, so that it cannot differ from them.
use std::fmt::Write;

use crate::{FieldSpec, NodeSpec, PortSpec, Presence, Registry, suggest};

/// Characters in a line of text.
const WIDTH: usize = 96;

/// A kind that the registry does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no node kind {kind}{}", meant.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
pub struct UnknownKind {
    /// What was asked for.
    pub kind: String,
    /// The nearest kind, if one is near.
    pub meant: Option<String>,
}

/// The reference of one kind, or the list of all kinds.
///
/// # Errors
/// When the registry does not have the kind.
pub fn reference(registry: &Registry, kind: Option<&str>) -> Result<String, UnknownKind> {
    let Some(kind) = kind else { return Ok(overview(registry)) };
    let kinds = registry.iter().map(|spec| spec.kind.as_str());
    let meant = suggest::nearest(kind, kinds);
    // `nodes llm` is as good as `nodes Llm`.
    let found = registry.get(kind).or_else(|| registry.iter().find(|spec| spec.kind.eq_ignore_ascii_case(kind)));
    match found {
        Some(spec) => Ok(page(spec)),
        None => Err(UnknownKind { kind: kind.to_owned(), meant: meant.map(str::to_owned) }),
    }
}

/// The whole graph of a kind's example.
pub fn example_graph(spec: &NodeSpec) -> String {
    let lines: String = spec.example.lines().map(|line| format!("    {line}\n")).collect();
    format!("Graph(\n    name: \"example\",\n{})\n", lines.trim_end().to_owned() + ",\n").replace(",,\n", ",\n")
}

fn overview(registry: &Registry) -> String {
    let width = registry.iter().map(|spec| spec.kind.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (role, title) in
        [(crate::Role::Sensor, "Sensors"), (crate::Role::Brick, "Bricks"), (crate::Role::Sink, "Sinks")]
    {
        let specs: Vec<&NodeSpec> = registry.iter().filter(|spec| spec.role == role).collect();
        if specs.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{title}");
        for spec in specs {
            let summary = wrapped(&spec.summary, width + 4);
            let _ = write!(text, "  {:width$}  {}", spec.kind, summary.trim_start());
        }
    }
    text.push_str("\nnanomind nodes KIND tells ports, fields and an example.\n");
    text
}

fn page(spec: &NodeSpec) -> String {
    let mut text = format!("{} ({})\n{}", spec.kind, spec.role, wrapped(&spec.summary, 0));
    for (title, ports, inputs) in [("Inputs", &spec.inputs, true), ("Outputs", &spec.outputs, false)] {
        let rows: Vec<_> = ports.iter().map(|port| (port_row(port, inputs), port.doc.as_str())).collect();
        text.push_str(&section(title, &rows));
    }
    let rows: Vec<_> = spec.fields.iter().map(|field| (field_row(field), field.doc.as_str())).collect();
    text.push_str(&section("Fields", &rows));
    if !spec.runs_on.is_empty() {
        let kinds: Vec<&str> = spec.runs_on.iter().map(|kind| kind.name()).collect();
        let _ = write!(text, "\nRuns on {}\n", kinds.join(", "));
    }
    if spec.delays {
        text.push_str("\nDelays: a cycle may pass through it\n");
    }
    if !spec.example.is_empty() {
        let _ = write!(text, "\nExample\n");
        for line in example_graph(spec).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn port_row(port: &PortSpec, input: bool) -> Vec<String> {
    let mut row = vec![port.name.clone(), port.ty.to_string()];
    if input {
        row.push(port.firing.to_string());
        let required = if port.required { "must be connected" } else { "optional" };
        row.push(if port.many { format!("{required}, several edges") } else { required.to_owned() });
    }
    row
}

fn field_row(field: &FieldSpec) -> Vec<String> {
    let presence = match &field.presence {
        Presence::Required => "required".to_owned(),
        Presence::Optional => "optional".to_owned(),
        Presence::Default(value) => format!("default {value}"),
    };
    vec![field.name.clone(), field.ty.name(), presence, field.ty.bounds(field.unit.as_deref())]
}

/// A title, and for each row its columns and below them its text.
fn section(title: &str, rows: &[(Vec<String>, &str)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns: Vec<Vec<String>> = rows.iter().map(|(columns, _)| columns.clone()).collect();
    let mut text = format!("\n{title}\n");
    for (line, (_, doc)) in table(&columns).lines().zip(rows) {
        let _ = writeln!(text, "{line}");
        text.push_str(&wrapped(doc, 6));
    }
    text
}

/// The text in lines of at most 96 characters, each after `indent` spaces.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(lines, "{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(lines, "{:indent$}{line}", "");
    lines
}

/// Rows in columns, two spaces in front.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, " {cell:width$} ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
