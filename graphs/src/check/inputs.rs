//! Each input: fed by one edge, or by several where it takes them, and some edge makes the node run.
use crate::{
    Code, Diagnostic, Firing, PortType, Role,
    check::{
        edges::{Edges, resolved},
        nodes::Node,
    },
    findings::Findings,
    suggest,
};

pub(crate) fn check(nodes: &[Node<'_>], edges: &Edges, findings: &mut Findings) {
    for (index, node) in nodes.iter().enumerate() {
        two_writers(index, node, edges, findings);
        if edges.doubtful.contains(&index) {
            continue;
        }
        if unconnected(index, node, nodes, edges, findings) {
            never_fires(index, node, edges, findings);
        }
    }
}

fn two_writers(index: usize, node: &Node<'_>, edges: &Edges, findings: &mut Findings) {
    for (port, spec) in node.inputs().iter().enumerate().filter(|(_, spec)| !spec.many) {
        let into: Vec<_> = edges.sound.iter().filter(|edge| edge.to.node == index && edge.to.port == port).collect();
        let [first, second, ..] = into.as_slice() else { continue };
        let name = format!("{}.{}", node.name, spec.name);
        let message = format!("\"{name}\" is written by {} edges, and an input has one writer", into.len());
        let diagnostic = Diagnostic::error(Code::TwoWriters, message)
            .label(second.to.span, "second writer")
            .label(first.to.span, "first writer");
        findings.push(into[2..].iter().fold(diagnostic, |diagnostic, edge| diagnostic.label(edge.to.span, "another")));
    }
}

/// Whether every required input has an edge.
fn unconnected(index: usize, node: &Node<'_>, nodes: &[Node<'_>], edges: &Edges, findings: &mut Findings) -> bool {
    let mut complete = true;
    for (port, spec) in node.inputs().iter().enumerate().filter(|(_, spec)| spec.required) {
        if edges.sound.iter().any(|edge| edge.to.node == index && edge.to.port == port) {
            continue;
        }
        complete = false;
        let needed = resolved(node, spec);
        // An edge that was to end here but names another node is one mistake, not two.
        if edges.dangling.iter().any(|carried| carried.fits(&needed)) {
            continue;
        }
        let makers: Vec<String> = nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .flat_map(|(_, other)| other.outputs().iter().map(move |output| (other, output)))
            .filter(|(other, output)| resolved(other, output).fits(&needed))
            .map(|(other, output)| format!("{}.{}", other.name, output.name))
            .collect();
        let to = format!("{}.{}", node.name, spec.name);
        let help = match makers.as_slice() {
            [] => format!("no output of this graph makes {needed}"),
            [only] => format!("add (\"{only}\", \"{to}\") to edges"),
            several => {
                let several: Vec<&str> = several.iter().map(String::as_str).collect();
                suggest::listing(&several, &format!("outputs that make {needed}")).unwrap_or_default()
            }
        };
        findings.push(
            Diagnostic::error(Code::Unconnected, format!("input \"{to}\" of {} is not connected", node.kind.text))
                .label(node.declared, format!("needs {}", describe(&needed)))
                .help(help),
        );
    }
    complete
}

fn describe(ty: &PortType) -> String {
    format!("{} {ty}", suggest::article(ty.name()))
}

fn never_fires(index: usize, node: &Node<'_>, edges: &Edges, findings: &mut Findings) {
    if node.spec.is_none_or(|spec| spec.role == Role::Sensor) || node.inputs().is_empty() {
        return;
    }
    let into: Vec<_> = edges.sound.iter().filter(|edge| edge.to.node == index).collect();
    if into.is_empty() || into.iter().any(|edge| edge.firing != Firing::Latched) {
        return;
    }
    let diagnostic =
        Diagnostic::error(Code::NeverFires, format!("{} never runs: all of its inputs are latched", node.title()))
            .label(node.declared, "nothing triggers it");
    findings.push(
        into.iter()
            .fold(diagnostic, |diagnostic, edge| diagnostic.label(edge.to.span, "latched"))
            .help("make one of the edges Trigger or Joined"),
    );
}
