//! `nanomind validate GRAPH`: everything that is wrong with a graph, in one go.
use nanomind::{
    actors::{GraphFiles, NodeLibrary, StoredModels},
    graphs::{Plan, Report, Surroundings, check, show_memory},
};
use serde::Serialize;

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    graph_file::{self, GraphArgs, MachineArgs},
    models,
    output::{self, Format, FormatArgs, Table},
};

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind validate graphs/library/chat.ron --set temperature=0.2\n  \
    nanomind validate camera.ron --accelerators cpu,npu --memory 2GiB\n\n\
    Exit codes: 0 sound (a model that has only to be pulled is no mistake), 65 mistakes, 69 an accelerator is missing.")]
pub struct Args {
    #[command(flatten)]
    graph: GraphArgs,

    #[command(flatten)]
    machine: MachineArgs,

    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Serialize)]
struct Answer<'a> {
    file: String,
    valid: bool,
    #[serde(flatten)]
    report: &'a Report,
    plan: Option<&'a Plan>,
}

/// Checks the graph.
///
/// # Errors
/// Exit 65 for mistakes, 69 for a missing accelerator.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let source = graph_file::read(&args.graph.graph)?;
    let library = NodeLibrary::standard().map_err(Exit::failed)?;
    let stored = StoredModels::new(models::open_store(globals)?).with_shapes();
    let machine = args.machine.machine(&args.graph)?;
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &stored, machine: &machine };
    let checked = check(source, &args.graph.overrides(), surroundings);
    let (plan, report) = match &checked {
        Ok(plan) => (Some(plan), plan.warnings()),
        Err(report) => (None, report),
    };
    let file = args.graph.graph.display().to_string();
    let valid = plan.is_some() || report.only_models_missing();
    match args.format.format {
        Format::Json => output::json(&Answer { file, valid, report, plan })?,
        Format::Table => {
            if !report.is_empty() {
                graph_file::tell(report);
            }
            match plan {
                Some(plan) => output::text(summary(&file, plan))?,
                None if valid => output::line(format_args!("{file} is sound, but its models have to be pulled first"))?,
                None => {}
            }
        }
    }
    match (valid, report.device_missing()) {
        (true, _) => Ok(()),
        (false, true) => Err(Exit::silent(Code::DeviceMissing)),
        (false, false) => Err(Exit::silent(Code::Invalid)),
    }
}

/// What a sound graph comes to.
fn summary(file: &str, plan: &Plan) -> String {
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut table = Table::new(["", "", ""]);
    for node in plan.nodes() {
        let models = node.models.values().map(|facts| facts.reference.clone());
        let places: Vec<String> = node.candidates.iter().map(ToString::to_string).collect();
        let places = (!places.is_empty()).then(|| format!("on {}", places.join(", ")));
        let details: Vec<String> = models.chain(places).collect();
        table.row([format!("  {}", node.name), node.kind.clone(), details.join(" ")]);
    }
    format!(
        "{file} is sound: \"{}\" has {} and {}, and takes {} at worst\n{table}",
        plan.name(),
        counted(plan.nodes().len(), "node"),
        counted(plan.edges().len(), "edge"),
        show_memory(plan.memory().total),
    )
}
