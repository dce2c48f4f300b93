//! Cycles: one in which no node delays would wait for itself.
use crate::{
    Code, Diagnostic,
    check::{edges::Edges, nodes::Node},
    findings::Findings,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

pub(crate) fn check(nodes: &[Node<'_>], edges: &Edges, findings: &mut Findings) {
    let delays = |node: usize| nodes[node].spec.is_some_and(|spec| spec.delays);
    // Edges by their start; an edge into a delaying node closes no cycle.
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, edge) in edges.sound.iter().enumerate().filter(|(_, edge)| !delays(edge.to.node)) {
        out[edge.from.node].push(index);
    }
    let mut marks = vec![Mark::New; nodes.len()];
    for start in 0..nodes.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        // (node, next of its edges, edge that led here)
        let mut path: Vec<(usize, usize, Option<usize>)> = vec![(start, 0, None)];
        while let Some((node, next, _)) = path.last_mut() {
            let Some(&edge) = out[*node].get(*next) else {
                marks[*node] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let target = edges.sound[edge].to.node;
            match marks[target] {
                Mark::New => {
                    marks[target] = Mark::Open;
                    path.push((target, 0, Some(edge)));
                }
                Mark::Open => {
                    let begin = path.iter().position(|(node, ..)| *node == target).unwrap_or(0);
                    let circle: Vec<usize> =
                        path[begin + 1..].iter().filter_map(|(_, _, edge)| *edge).chain([edge]).collect();
                    findings.push(describe(&circle, nodes, edges));
                }
                Mark::Done => {}
            }
        }
    }
}

fn describe(circle: &[usize], nodes: &[Node<'_>], edges: &Edges) -> Diagnostic {
    let name = |edge: usize| nodes[edges.sound[edge].from.node].name.as_str();
    let names: Vec<&str> =
        circle.iter().map(|&edge| name(edge)).chain(circle.first().map(|&edge| name(edge))).collect();
    let message = format!("a cycle without a delay: {}", names.join(" -> "));
    let diagnostic = Diagnostic::error(Code::Cycle, message);
    circle
        .iter()
        .enumerate()
        .fold(diagnostic, |diagnostic, (index, &edge)| {
            let edge = &edges.sound[edge];
            let from = &nodes[edge.from.node].name;
            let to = &nodes[edge.to.node].name;
            let text = if index + 1 == circle.len() { "closes the cycle" } else { "part of the cycle" };
            diagnostic.label(edge.from.span, format!("{from} -> {to}, {text}"))
        })
        .help("each node here waits for itself; put a node between that delays, or remove an edge")
}
