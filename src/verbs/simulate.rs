//! `nanomind simulate GRAPH`: days of a device's battery in seconds, in virtual time.
use std::{path::PathBuf, sync::Arc};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nanomind::{
    actors::{
        GraphFiles, LogTo, StoredModels,
        run_log::{GraphText, KeepingLoader},
        simulation::{BatteryChoice, Scenario, Simulation, suite::PaperSuite},
    },
    graphs::Plan,
    hal::{
        Clock,
        profile::{DeviceProfile, DeviceProfileError},
    },
};

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    graph_file::{self, GraphArgs},
    models,
    output::{self, Format, FormatArgs},
};

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind simulate graphs/library/camera-assistant.ron --device rk3566\n  \
    nanomind simulate graphs/library/watch.ron --device rk3566 --battery 2000mAh --seed 7 --plot day.svg\n  \
    nanomind simulate --suite paper\n\n\
    Without --scenario a day at home, from 08:00 on, the battery full, no charger, 22 degrees: questions come by chance, 6 an\n\
    hour from 7 to 9, 2 from 9 to 17, 7 from 17 to 22 and 0.2 at night, of 8 to 24 tokens with answers of 20 to 60; something\n\
    moves before a camera 12, 4, 12 and 0.5 times an hour, for 5 s to a minute. A Prompt with a text of its own asks that\n\
    once, at the beginning; Timers tick as in a run. An empty battery ends the simulation.\n\n\
    A scenario is a RON file, of which every field but the name may be left out:\n  \
    Scenario(name: \"an evening\", begins: \"17:00\", lasts: \"6h\", level: 0.8,\n    \
    prompts: (at: [(time: \"10min\", tokens: 12, answer: 40)], by_hour: [(from: \"17:00\", to: \"22:00\", rate: 7)],\n      \
    tokens: (8, 24), answers: (20, 60)),\n    \
    motion: (at: [(time: \"30min\", lasts: \"2min\")], by_hour: [(from: \"17:00\", to: \"22:00\", rate: 12)],\n      \
    lasts: (\"5s\", \"60s\")),\n    \
    picture: (640, 480), ambient: [(from: \"2h\", celsius: 30)], charging: [(from: \"3h\", to: \"4h\", watts: 5)],\n    \
    faults: [Accelerator(name: \"npu\", from: \"1h\", to: \"2h\"), Sensor(node: \"camera\", from: \"5h\", to: \"6h\")])\n\n\
    The report goes to stdout and is the same, to the byte, for the same graph, device, scenario and seed; how long it took\n\
    goes to stderr.")]
pub struct Args {
    #[command(flatten)]
    graph: Option<GraphArgs>,

    /// The device: rk3566, rk3588, rpi5, jetson-orin-nano, laptop, or the path of a profile
    #[arg(long, value_name = "NAME|FILE.ron", env = "NANOMIND_DEVICE")]
    device: Option<String>,

    /// Instead of a graph: simulate what the NANOMIND paper tells of its board, beside the paper's figures, and compare power
    /// policies over many days
    #[arg(long, value_name = "NAME", conflicts_with_all = ["graph", "device", "battery", "scenario", "seed", "plot"])]
    suite: Option<Suite>,

    /// How many days the suite compares policies over
    #[arg(long, default_value_t = 20, requires = "suite", value_parser = clap::value_parser!(u64).range(1..=1000))]
    days: u64,

    /// Its battery, such as 2000mAh or 50Wh [default: that of the device]
    #[arg(long, value_name = "CAPACITY")]
    battery: Option<BatteryChoice>,

    /// What happens [default: a day at home, see below]
    #[arg(long, value_name = "FILE.ron")]
    scenario: Option<PathBuf>,

    /// What chance is drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Draw battery, mode and power over time as SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// Write a run log, as `run --log` does
    #[arg(long, value_name = "FILE", env = "NANOMIND_LOG")]
    log: Option<PathBuf>,

    #[command(flatten)]
    format: FormatArgs,
}

/// What can be simulated together.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Suite {
    /// The table of the NANOMIND paper (arXiv 2510.05109), and a study of policies
    Paper,
}

/// Simulates a suite and shows it beside what it is compared with.
fn run_suite(args: &Args, globals: &Globals) -> Result<(), Exit> {
    let stored = StoredModels::new(models::open_store(globals)?).with_shapes();
    let clock = Clock::system();
    let mut progress = |done: usize, all: usize| {
        if done.is_multiple_of(10) || done == all {
            eprintln!("{done} of {all} simulations in {:.1} s", clock.now().as_secs_f64());
        }
    };
    let suite = PaperSuite::run(args.days, &stored, &mut progress).map_err(Exit::failed)?;
    match args.format.format {
        Format::Table => output::text(&suite),
        Format::Json => output::json(&suite),
    }
}

/// Simulates the graph and reports.
///
/// # Errors
/// 2 for a device that is not known, 65 for a graph, model, device profile or scenario that is invalid, 69 for an accelerator
/// that the device lacks, 1 where a node stayed down.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    if let Some(Suite::Paper) = args.suite {
        return run_suite(&args, globals);
    }
    let (Some(graph), Some(device)) = (&args.graph, &args.device) else {
        return Err(Exit::usage("expected a graph and --device, or --suite paper"));
    };
    let device = DeviceProfile::find(device).map_err(|error| match error {
        DeviceProfileError::Unknown { .. } => Exit::usage(error),
        other => Exit::invalid(other),
    })?;
    let scenario = match &args.scenario {
        Some(path) => Scenario::open(path).map_err(Exit::invalid)?,
        None => Scenario::day(),
    };
    let simulation = Simulation {
        battery: args.battery.unwrap_or_default(),
        scenario,
        seed: args.seed,
        ..Simulation::of(Arc::new(device))
    };
    let (plan, text) = plan(graph, globals, &simulation)?;
    let log = args.log.clone().map(|path| LogTo { path, graph: text });
    let simulation = Simulation { log, ..simulation };
    let clock = Clock::system();
    let bar = progress(&simulation);
    let shown = bar.clone();
    let report =
        simulation.run_watched(&plan, move |time| shown.set_position(time.as_secs())).map_err(Exit::invalid)?;
    bar.finish_and_clear();
    eprintln!("simulated {:.2} h in {:.2} s", report.hours, clock.now().as_secs_f64());
    if let Some(path) = &args.plot {
        std::fs::write(path, report.plot())
            .map_err(|error| Exit::failed(format!("cannot write the plot {}: {error}", path.display())))?;
    }
    match args.format.format {
        Format::Table => output::text(&report)?,
        Format::Json => output::json(&report)?,
    }
    if report.failed() { Err(Exit::silent(Code::Failed)) } else { Ok(()) }
}

/// A bar of the time that has been simulated, on a terminal only.
fn progress(simulation: &Simulation) -> ProgressBar {
    let seconds = simulation.scenario.lasts.as_secs();
    let bar = ProgressBar::with_draw_target(Some(seconds), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("simulating [{bar:30}] {percent} %");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
}

/// The graph, checked for the device, and all of its text.
fn plan(graph: &GraphArgs, globals: &Globals, simulation: &Simulation) -> Result<(Plan, GraphText), Exit> {
    let source = graph_file::read(&graph.graph)?;
    let stored = StoredModels::new(models::open_store(globals)?).with_shapes();
    let (overrides, loader) = (graph.overrides(), KeepingLoader::new(&GraphFiles));
    let checked = simulation.check(source.clone(), &overrides, &loader, &stored).map_err(Exit::failed)?;
    match checked {
        Ok(plan) => {
            if !plan.warnings().is_empty() {
                graph_file::tell(plan.warnings());
            }
            Ok((plan, loader.into_text(&source, &overrides)))
        }
        Err(report) => {
            graph_file::tell(&report);
            Err(Exit::silent(if report.device_missing() { Code::DeviceMissing } else { Code::Invalid }))
        }
    }
}
