//! A DOT graph, as Graphviz draws it.
use std::fmt::Write;

use super::{Outline, groups, label_of, place_of};
use crate::{PortSpec, Role};

/// The graph in DOT, nodes as records with their ports.
pub fn dot(outline: &Outline) -> String {
    let plan = &outline.0;
    let mut text = format!("digraph \"{}\" {{\n", escape(&plan.name));
    text.push_str("    rankdir=LR;\n    node [shape=Mrecord, style=filled, fontname=\"Helvetica\", fontsize=11];\n");
    text.push_str("    edge [fontname=\"Helvetica\", fontsize=9];\n");
    for (number, (group, nodes)) in groups(plan).into_iter().enumerate() {
        let indent = if group.is_some() { "        " } else { "    " };
        if let Some(group) = group {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    subgraph cluster_{number} {{\n        label=\"{}\";", escape(group));
        }
        for index in nodes {
            let node = &plan.nodes[index];
            let mut title = format!("{}\\n{}", record(&node.name), record(&node.kind));
            if let Some(place) = place_of(node) {
                let _ = write!(title, "\\n{}", record(&place));
            }
            let (fill, line) = match node.role {
                Role::Sensor => ("#e3f4e8", "#2f855a"),
                Role::Brick => ("#e6effc", "#2b6cb0"),
                Role::Sink => ("#fdf0e0", "#c05621"),
            };
            let mut cells = vec![title];
            if !node.spec.inputs.is_empty() {
                cells.insert(0, ports('i', &node.spec.inputs));
            }
            if !node.spec.outputs.is_empty() {
                cells.push(ports('o', &node.spec.outputs));
            }
            let label = cells.join(" | ");
            let _ = writeln!(text, "{indent}n{index} [label=\"{label}\", fillcolor=\"{fill}\", color=\"{line}\"];");
        }
        if group.is_some() {
            text.push_str("    }\n");
        }
    }
    for edge in &plan.edges {
        let label = escape(&label_of(plan, edge));
        let (from, to) = (&edge.from, &edge.to);
        let _ =
            writeln!(text, "    n{}:o_{}:e -> n{}:i_{}:w [label=\"{label}\"];", from.node, from.port, to.node, to.port);
    }
    text.push_str("}\n");
    text
}

fn ports(side: char, ports: &[PortSpec]) -> String {
    let ports: Vec<String> = ports.iter().map(|port| format!("<{side}_{0}> {0}", record(&port.name))).collect();
    format!("{{{}}}", ports.join(" | "))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Text inside a record label.
fn record(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if matches!(c, '{' | '}' | '|' | '<' | '>' | '"' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
