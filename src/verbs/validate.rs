//! `nanomind validate GRAPH`: everything that is wrong with a graph, in one go.
use nanomind::hal::profile::DeviceProfile;
use nanomind::{
    actors::{
        GraphFiles, NodeLibrary, StoredModels,
        forecast::Forecast,
        simulation::{BatteryChoice, Scenario, Simulation},
    },
    graphs::{Plan, Report, Surroundings, check, show_memory},
};
use serde::Serialize;
use std::sync::Arc;

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    graph_file::{self, GraphArgs, MachineArgs},
    models,
    output::{self, Format, FormatArgs, Table},
};

/// The day of the forecast is drawn from this, as that of `simulate` is by default.
const SEED: u64 = 0;

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind validate graphs/library/chat.ron --set temperature=0.2\n  \
    nanomind validate camera.ron --accelerators cpu,npu --memory 2GiB\n  \
    nanomind validate graphs/library/camera-assistant.ron --device rk3566 --battery 50Wh\n\n\
    With --device the hours that a battery lasts are told for each power mode, and for the graph's own policy: expected from\n\
    the shapes of its models, the device's profile and the day that `simulate` states, before anything runs.\n\n\
    Exit codes: 0 sound (a model that has only to be pulled is no mistake), 65 mistakes, 69 an accelerator is missing.")]
pub struct Args {
    #[command(flatten)]
    graph: GraphArgs,

    #[command(flatten)]
    machine: MachineArgs,

    /// Forecast how long a battery lasts on this device: rk3566, rk3588, rpi5, jetson-orin-nano, laptop, or the path of a profile
    #[arg(long, value_name = "NAME|FILE.ron", env = "NANOMIND_DEVICE", conflicts_with_all = ["accelerators", "memory"])]
    device: Option<String>,

    /// The battery of the forecast, such as 2000mAh or 50Wh [default: that of the device]
    #[arg(long, value_name = "CAPACITY", requires = "device")]
    battery: Option<BatteryChoice>,

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
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<&'a Forecast>,
}

/// Checks the graph.
///
/// # Errors
/// Exit 65 for mistakes, 69 for a missing accelerator.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let source = graph_file::read(&args.graph.graph)?;
    let stored = StoredModels::new(models::open_store(globals)?).with_shapes();
    let device = args.device.as_deref().map(DeviceProfile::find).transpose().map_err(Exit::invalid)?.map(Arc::new);
    let checked = match &device {
        Some(device) => {
            let simulation = Simulation::of(device.clone());
            simulation.check(source, &args.graph.overrides(), &GraphFiles, &stored).map_err(Exit::failed)?
        }
        None => {
            let library = NodeLibrary::standard().map_err(Exit::failed)?;
            let machine = args.machine.machine(&args.graph)?;
            let surroundings =
                Surroundings { registry: library.registry(), loader: &GraphFiles, models: &stored, machine: &machine };
            check(source, &args.graph.overrides(), surroundings)
        }
    };
    let (plan, report) = match &checked {
        Ok(plan) => (Some(plan), plan.warnings()),
        Err(report) => (None, report),
    };
    let battery = args.battery.unwrap_or_default();
    let forecast = device
        .as_ref()
        .zip(plan)
        .map(|(device, plan)| Forecast::of(plan, device, battery, &Scenario::day(), SEED).map_err(Exit::invalid));
    let forecast = forecast.transpose()?;
    let file = args.graph.graph.display().to_string();
    let valid = plan.is_some() || report.only_models_missing();
    match args.format.format {
        Format::Json => output::json(&Answer { file, valid, report, plan, forecast: forecast.as_ref() })?,
        Format::Table => {
            if !report.is_empty() {
                graph_file::tell(report);
            }
            match plan {
                Some(plan) => output::text(summary(&file, plan))?,
                None if valid => output::line(format_args!("{file} is sound, but its models have to be pulled first"))?,
                None => {}
            }
            if let Some(forecast) = &forecast {
                output::text(hours(forecast))?;
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

/// How long the battery lasts, policy by policy.
fn hours(forecast: &Forecast) -> String {
    let mut table = Table::new(["", "hours", "mean", "answers", "time to answer"]);
    for outlook in &forecast.outlooks {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let lasts = match (outlook.hours, forecast.usable_wh) {
            (None, Some(_)) => "more than 1440".to_owned(),
            (hours, _) => or_dash(hours.map(|hours| format!("{hours:.1}"))),
        };
        table.row([
            format!("  {}", outlook.policy),
            lasts,
            format!("{:.2} W", outlook.mean_watts),
            outlook.answered.to_string(),
            or_dash(outlook.answer_seconds.map(|seconds| format!("{seconds:.1} s"))),
        ]);
    }
    let lives_on = match forecast.usable_wh {
        Some(wh) => format!("{wh:.2} Wh of its battery"),
        None => "mains, for a day".to_owned(),
    };
    format!("\nExpected on {} with {lives_on}, {} after the other:\n{table}", forecast.device, forecast.scenario)
}
