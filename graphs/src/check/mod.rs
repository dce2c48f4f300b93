//! The checks: from a text to a plan, or to a report of everything that is wrong with it.
mod cycles;
mod edges;
mod flatten;
mod inputs;
mod memory;
mod models;
mod nodes;
mod placement;
mod reach;

use crate::{
    Overrides, Plan, PlannedNode, Report, Source, Surroundings, findings::Findings, picture::Outline, source::Sources,
};

/// Checks a graph and everything that it includes against its surroundings. All mistakes are found in one go.
///
/// # Errors
/// The report of the mistakes, if any of them stops the graph; see [`Report::only_models_missing`] and
/// [`Report::device_missing`] for graphs that are right but cannot run here yet.
pub fn check(source: Source, overrides: &Overrides, surroundings: Surroundings<'_>) -> Result<Plan, Report> {
    let mut sources = Sources::default();
    let mut findings = Findings::default();
    let planned = examine(source, overrides, surroundings, &mut sources, &mut findings);
    let failed = findings.any_error();
    let report = Report::new(sources, findings.into_inner());
    match planned {
        Some(plan) if !failed => Ok(Plan { warnings: report, ..plan }),
        _ => Err(report),
    }
}

/// Checks a graph as [`check`] does, but lets pass what is right and only cannot run here yet: for a picture of it.
///
/// # Errors
/// The report of the mistakes, if the graph itself is wrong.
pub fn outline(source: Source, overrides: &Overrides, surroundings: Surroundings<'_>) -> Result<Outline, Report> {
    let mut sources = Sources::default();
    let mut findings = Findings::default();
    match examine(source, overrides, surroundings, &mut sources, &mut findings) {
        Some(plan) if !findings.any_mistake() => Ok(Outline(plan)),
        _ => Err(Report::new(sources, findings.into_inner())),
    }
}

fn examine(
    source: Source,
    overrides: &Overrides,
    surroundings: Surroundings<'_>,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<Plan> {
    let mut flat = flatten::flatten(source, overrides, surroundings.loader, sources, findings)?;
    let mut nodes = nodes::resolve(std::mem::take(&mut flat.nodes), surroundings.registry, findings);
    models::find(&mut nodes, surroundings.models, findings);
    let edges = edges::resolve(&flat, &nodes, findings);
    cycles::check(&nodes, &edges, findings);
    if !flat.edges_unknown {
        inputs::check(&nodes, &edges, findings);
    }
    if !flat.edges_unknown && flat.unread.is_empty() {
        reach::check(&nodes, &edges, flat.head, findings);
    }
    let places = placement::resolve(&flat, &nodes, surroundings.machine, findings);
    let restarts = flat.restarts(&nodes, findings);
    let memory = memory::check(&nodes, &edges, surroundings.machine, findings);
    if findings.any_mistake() {
        return None;
    }
    let nodes = nodes
        .into_iter()
        .zip(places)
        .zip(restarts)
        .map(|((node, (placement, candidates)), restart)| {
            // Without an error every node has its specification.
            node.spec.map(|spec| PlannedNode {
                name: node.name.clone(),
                kind: spec.kind.clone(),
                role: spec.role,
                placement,
                candidates,
                restart,
                values: node.values.into_iter().map(|(name, value)| (name, value.value)).collect(),
                models: node.models,
                spec: spec.clone(),
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Plan {
        name: flat.name,
        edges: edges.sound.iter().map(|edge| edge.planned(&nodes)).collect(),
        nodes,
        power: flat.power,
        memory,
        warnings: Report::default(),
    })
}
