//! A Mermaid flowchart, as Markdown renderers show it.
use std::fmt::Write;

use super::{Outline, groups, label_of, place_of};
use crate::Role;

/// The graph as a Mermaid flowchart from left to right.
pub fn mermaid(outline: &Outline) -> String {
    let plan = &outline.0;
    let mut text = String::from("flowchart LR\n");
    for (group, nodes) in groups(plan) {
        if let Some(group) = group {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    subgraph {}[\"{}\"]", group.replace(['.', '-'], "_"), escape(group));
        }
        for index in nodes {
            let node = &plan.nodes[index];
            let mut label = format!("<b>{}</b><br/>{}", escape(&node.name), escape(&node.kind));
            if let Some(place) = place_of(node) {
                let _ = write!(label, "<br/><i>{}</i>", escape(&place));
            }
            let (open, close) = match node.role {
                Role::Sensor => ("([", "])"),
                Role::Brick => ("[", "]"),
                Role::Sink => ("[[", "]]"),
            };
            let _ = writeln!(text, "    n{index}{open}\"{label}\"{close}:::{}", node.role);
        }
        if group.is_some() {
            text.push_str("    end\n");
        }
    }
    for edge in &plan.edges {
        let label = format!("{} → {}<br/>{}", edge.from.port, edge.to.port, label_of(plan, edge));
        let _ = writeln!(text, "    n{} -- \"{}\" --> n{}", edge.from.node, escape_label(&label), edge.to.node);
    }
    text.push_str("    classDef sensor fill:#e3f4e8,stroke:#2f855a,color:#1a202c\n");
    text.push_str("    classDef brick fill:#e6effc,stroke:#2b6cb0,color:#1a202c\n");
    text.push_str("    classDef sink fill:#fdf0e0,stroke:#c05621,color:#1a202c\n");
    text
}

/// Text inside quotes, as Mermaid's entity codes.
fn escape(text: &str) -> String {
    text.replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}

/// As [`escape`], but keeps our own line break.
fn escape_label(text: &str) -> String {
    text.split("<br/>").map(escape).collect::<Vec<_>>().join("<br/>")
}
