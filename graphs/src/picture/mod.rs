//! Pictures of a graph: Mermaid, DOT and SVG, each with ports, types, queue policies and placements.
mod dot;
mod layout;
mod mermaid;
mod svg;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;

use crate::{Firing, Placement, Plan, PlannedEdge, PlannedNode, PortType, QueuePolicy, Width};

/// A graph that is right in itself, though models or accelerators for it may be missing here: enough for a picture,
/// not for a run.
#[derive(Clone, Debug)]
pub struct Outline(pub(crate) Plan);

impl From<Plan> for Outline {
    fn from(plan: Plan) -> Self {
        Self(plan)
    }
}

/// The type and whatever about the edge is not the usual: `Image, Latest`, `Text, DropOldest 8, latched`.
fn edge_label(edge: &PlannedEdge, input_firing: Firing) -> String {
    let mut label = match &edge.ty {
        PortType::Embeddings { width: Width::Fixed(width), element } => format!("Embeddings {width} {element}"),
        PortType::Embeddings { element, .. } => format!("Embeddings {element}"),
        ty => ty.to_string(),
    };
    match edge.queue.policy {
        QueuePolicy::Block => {}
        QueuePolicy::Latest => label.push_str(", Latest"),
        policy => label.push_str(&format!(", {policy} {}", edge.queue.packets)),
    }
    if edge.firing != Firing::Trigger || edge.firing != input_firing {
        label.push_str(&format!(", {}", edge.firing));
    }
    label
}

fn label_of(plan: &Plan, edge: &PlannedEdge) -> String {
    let input = plan.nodes.get(edge.to.node).and_then(|node| node.spec.find_input(&edge.to.port));
    edge_label(edge, input.map_or(Firing::Trigger, |input| input.firing))
}

/// Where a node runs, if it runs on an accelerator.
fn place_of(node: &PlannedNode) -> Option<String> {
    if node.spec.runs_on.is_empty() {
        return None;
    }
    Some(match &node.placement {
        Placement::Auto => "auto".to_owned(),
        Placement::Pin(id) => format!("pinned to {id}"),
        prefer => prefer.to_string(),
    })
}

/// The include that a node came through: `voice` of `voice.mic`.
fn group_of(node: &PlannedNode) -> Option<&str> {
    node.name.rsplit_once('.').map(|(group, _)| group)
}

/// The groups in order of appearance, `None` first, each with its nodes.
fn groups(plan: &Plan) -> Vec<(Option<&str>, Vec<usize>)> {
    let mut groups: Vec<(Option<&str>, Vec<usize>)> = vec![(None, Vec::new())];
    for (index, node) in plan.nodes.iter().enumerate() {
        let group = group_of(node);
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, nodes)) => nodes.push(index),
            None => groups.push((group, vec![index])),
        }
    }
    groups
}
