//! Reach: every node lies on a way from a sensor to a sink.
use crate::{
    Code, Diagnostic, Role, Span,
    check::{
        edges::{Edges, resolved},
        nodes::Node,
    },
    findings::Findings,
};

pub(crate) fn check(nodes: &[Node<'_>], edges: &Edges, head: Span, findings: &mut Findings) {
    // Where a kind is unknown nothing is certain about the way of the data.
    if nodes.is_empty() || nodes.iter().any(|node| node.spec.is_none()) {
        return;
    }
    let is = |index: usize, role: Role| nodes[index].spec.is_some_and(|spec| spec.role == role);
    if !(0..nodes.len()).any(|index| is(index, Role::Sensor)) {
        findings.push(
            Diagnostic::error(Code::NoSensor, "the graph has no sensor, so nothing ever starts")
                .label(head, "no node here brings data in")
                .help("add a sensor, such as Prompt, and connect it"),
        );
        return;
    }
    let unfed = |index: usize| {
        nodes[index].inputs().iter().enumerate().any(|(port, spec)| {
            spec.required && !edges.sound.iter().any(|edge| edge.to.node == index && edge.to.port == port)
        })
    };
    // What a node makes may be what an unconnected input wants: reported there.
    let wanted = |index: usize| {
        let made = || nodes[index].outputs().iter().map(|output| resolved(&nodes[index], output));
        (0..nodes.len()).filter(|&other| other != index && unfed(other)).any(|other| {
            let fed = |port| edges.sound.iter().any(|edge| edge.to.node == other && edge.to.port == port);
            let inputs = nodes[other].inputs().iter().enumerate();
            inputs.filter(|(port, spec)| spec.required && !fed(*port)).any(|(_, spec)| {
                let taken = resolved(&nodes[other], spec);
                made().any(|made| made.fits(&taken))
            })
        })
    };
    // A node with a reported mistake counts as reached: its mistake is that one.
    let doubtful = |index: usize| edges.doubtful.contains(&index);
    let starts = (0..nodes.len()).filter(|&index| is(index, Role::Sensor) || doubtful(index) || unfed(index)).collect();
    let fed = spread(nodes.len(), starts, &|edge| (edge.0, edge.1), edges);
    let ends = (0..nodes.len()).filter(|&index| is(index, Role::Sink) || doubtful(index)).collect();
    let heard = spread(nodes.len(), ends, &|edge| (edge.1, edge.0), edges);
    for (index, node) in nodes.iter().enumerate() {
        let (message, label) = if !fed[index] {
            (format!("{} is never reached: no edges lead from a sensor to it", node.title()), "gets no data")
        } else if !heard[index] && !wanted(index) {
            (format!("what {} makes reaches no sink", node.title()), "leads nowhere")
        } else {
            continue;
        };
        findings.push(
            Diagnostic::error(Code::Unreachable, message).label(node.declared, label).help("connect it, or remove it"),
        );
    }
}

/// The nodes that can be come to from `starts`.
fn spread(
    count: usize,
    starts: Vec<usize>,
    direction: &dyn Fn((usize, usize)) -> (usize, usize),
    edges: &Edges,
) -> Vec<bool> {
    let mut reached = vec![false; count];
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in &edges.sound {
        let (from, to) = direction((edge.from.node, edge.to.node));
        next[from].push(to);
    }
    let mut waiting = starts;
    while let Some(node) = waiting.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            waiting.extend(&next[node]);
        }
    }
    reached
}
