//! `nanomind run GRAPH`: checks a graph, fetches what it lacks, runs it, and reports.
mod report_to;
mod top;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nanomind::{
    actors::{
        GraphFiles, LoadListener, LogTo, Machine, MachineError, NodeLibrary, RunOptions, RunReport, Runtime,
        StoredModels,
        governor::{GovernorConfig, HoldOrder, Mode, ModeError},
        report::RunEnd,
        run_log::{GraphText, KeepingLoader},
        trace::TraceFile,
    },
    graphs::{Plan, Source, Surroundings, check, parse_time},
    hal::{BatterySource, BatteryTrace},
};

#[cfg(feature = "gpu")]
use nanomind::hal::gpu::GpuChoice;
use report_to::ReportTo;

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    graph_file::{self, DeviceArgs, GraphArgs},
    models,
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  nanomind run graphs/library/camera-assistant.ron\n  nanomind run graphs/library/chat.ron\n  \
    echo 'What is the capital of France?' | nanomind run graphs/library/chat.ron --set temperature=0\n\n\
    Answers go to stdout; a short report goes to stderr, or the whole one as JSON with --report json. Ctrl-C finishes\n\
    what is in flight, a second one stops at once."
)]
pub struct Args {
    #[command(flatten)]
    graph: GraphArgs,

    #[command(flatten)]
    device: DeviceArgs,

    /// Instead of this machine's battery, a recording (lines of seconds,level[,status[,watts]]), or one that is empty after
    /// so long (simulated:60s), whatever is taken from it
    #[arg(long, value_name = "FILE.csv|simulated:TIME", value_parser = battery, env = "NANOMIND_BATTERY")]
    battery: Option<Battery>,

    /// End the run after so long: what is in flight is finished
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,

    /// Choose the power mode by hand, over policy, battery, holds and heat: performance, balanced or power-saver
    #[arg(long, value_name = "MODE", env = "NANOMIND_MODE")]
    mode: Option<Mode>,

    /// Hold a power mode as long as the run lasts, over policy and battery: MODE or MODE:REASON
    #[arg(long, value_name = "MODE[:REASON]", value_parser = hold_order)]
    hold: Option<HoldOrder>,

    /// Move each language node after every N tokens of an answer, for testing that nothing changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    migrate_every: Option<u64>,

    /// Write a trace that Perfetto and chrome://tracing open
    #[arg(long, value_name = "FILE.json", env = "NANOMIND_TRACE")]
    trace: Option<PathBuf>,

    /// Write the report as JSON to a file, or with `json` as the last line of stderr, in place of the short one
    #[arg(long, value_name = "FILE.json|json", env = "NANOMIND_REPORT")]
    report: Option<ReportTo>,

    /// Write a run log, which `nanomind why` explains and `nanomind replay` replays
    #[arg(long, value_name = "FILE", env = "NANOMIND_LOG")]
    log: Option<PathBuf>,

    /// Show on stderr while the run goes on what each brick does, what that was predicted to take, and what it draws
    #[arg(long)]
    top: bool,

    /// No short report on stderr
    #[arg(long, short)]
    quiet: bool,
}

/// A battery that is not this machine's.
#[derive(Clone, Debug)]
enum Battery {
    /// Played from a file.
    Recorded(PathBuf),
    /// Empty after so long.
    Emptying(Duration),
}

/// A battery as it is written on the command line.
fn battery(text: &str) -> Result<Battery, String> {
    match text.strip_prefix("simulated:") {
        Some(text) => time(text).map(Battery::Emptying),
        None => Ok(Battery::Recorded(text.into())),
    }
}

/// A span of time as it is written on the command line.
fn time(text: &str) -> Result<Duration, String> {
    parse_time(text).ok_or_else(|| "expected a number with a unit: ms, s, min or h".to_owned())
}

/// A hold as it is written on the command line.
fn hold_order(text: &str) -> Result<HoldOrder, ModeError> {
    let (mode, reason) = text.split_once(':').unwrap_or((text, "asked for with --hold"));
    Ok(HoldOrder { owner: "command line".to_owned(), reason: reason.to_owned(), mode: mode.parse()? })
}

impl Args {
    /// Where the trace is to be written, for whoever sets up logging.
    pub fn trace_path(&self) -> Option<&Path> {
        self.trace.as_deref()
    }
}

/// Runs the graph to its end.
///
/// # Errors
/// 65 for a graph or model file that is invalid, 69 for an accelerator or a camera that is missing, 2 for core groups that make no
/// sense, 130 after Ctrl-C, 1 for a run that failed.
pub fn run(args: Args, globals: &Globals, trace: Option<TraceFile>) -> Result<(), Exit> {
    let machine = Machine::detect(args.graph.cpu_groups.as_deref(), None).map_err(|error| match error {
        MachineError::Groups(_) => Exit::usage(error),
        other => Exit::failed(other),
    })?;
    let machine = match args.device.profile()? {
        Some(profile) => machine.with_profile(profile),
        None => machine,
    };
    let library = NodeLibrary::standard().map_err(Exit::failed)?;
    let source = graph_file::read(&args.graph.graph)?;
    let (machine, no_gpu) = match names_gpu(&args, &source.text) {
        true => with_gpu(machine, &models::pipelines_folder(globals)?),
        false => (machine, None),
    };
    let (plan, text) = plan(&args, source, globals, &machine, &library).map_err(|exit| match no_gpu {
        Some(why) if exit.code() == Code::DeviceMissing => Exit::new(Code::DeviceMissing, why),
        _ => exit,
    })?;
    let mut governor = GovernorConfig { trace, ..GovernorConfig::default() };
    if let Some(battery) = &args.battery {
        governor.battery = BatterySource::Trace(match battery {
            Battery::Recorded(path) => BatteryTrace::open(path).map_err(Exit::usage)?,
            Battery::Emptying(time) => BatteryTrace::emptying(*time),
        });
    }
    let options = RunOptions {
        governor,
        migrate_every: args.migrate_every,
        mode: args.mode,
        holds: args.hold.clone().into_iter().collect(),
        lasts: args.lasts,
        interrupts: true,
        on_load: Some(load_display()),
        log: args.log.clone().map(|path| LogTo { path, graph: text }),
        watch: args.top.then(top::watch),
    };
    let running = Runtime::start(&plan, &machine, &library, options).map_err(Exit::failed)?;
    finish(&args, &running.wait())
}

/// Whether the graph or the command line names a graphics processor: else none is looked for.
fn names_gpu(args: &Args, text: &str) -> bool {
    let placed = args.graph.overrides().placements;
    text.contains("\"gpu") || placed.iter().any(|(_, accelerator)| accelerator.starts_with("gpu"))
}

/// The machine with its graphics processor, or as it is and why there is none: a graph may do without.
#[cfg(feature = "gpu")]
fn with_gpu(machine: Machine, pipelines: &Path) -> (Machine, Option<MachineError>) {
    match machine.clone().with_gpu(&GpuChoice::Best, Some(pipelines)) {
        Ok(machine) => (machine, None),
        Err(error) => (machine, Some(error)),
    }
}

#[cfg(not(feature = "gpu"))]
fn with_gpu(machine: Machine, _: &Path) -> (Machine, Option<MachineError>) {
    (machine, None)
}

/// The graph, checked, and all of its text; models that are missing are fetched after asking.
fn plan(
    args: &Args,
    source: Source,
    globals: &Globals,
    machine: &Machine,
    library: &NodeLibrary,
) -> Result<(Plan, GraphText), Exit> {
    let overrides = args.graph.overrides();
    let models = StoredModels::new(models::open_store(globals)?);
    let (for_graphs, loader) = (machine.for_graphs(), KeepingLoader::new(&GraphFiles));
    let surroundings =
        Surroundings { registry: library.registry(), loader: &loader, models: &models, machine: &for_graphs };
    let checked = match check(source.clone(), &overrides, surroundings) {
        Err(report) if report.only_models_missing() => {
            for model in report.missing_models() {
                models::resolve_or_pull(&models::parse_reference(model)?, globals)?;
            }
            check(source.clone(), &overrides, surroundings)
        }
        other => other,
    };
    match checked {
        Ok(plan) => {
            if !plan.warnings().is_empty() {
                graph_file::tell(plan.warnings());
            }
            Ok((plan, loader.into_text(&source, &overrides)))
        }
        Err(report) => {
            graph_file::tell(&report);
            let code = if report.device_missing() { Code::DeviceMissing } else { Code::Invalid };
            Err(Exit::silent(code))
        }
    }
}

/// Prints and writes the report, and says how the process ends.
fn finish(args: &Args, report: &RunReport) -> Result<(), Exit> {
    match &args.report {
        Some(to) => to.give(report, args.quiet)?,
        None if !args.quiet => eprintln!("{report}"),
        None => {}
    }
    match report.end {
        RunEnd::Drained | RunEnd::Stopped => Err(Exit::silent(Code::Interrupted)),
        RunEnd::Failed if report.device_missing() => Err(Exit::silent(Code::DeviceMissing)),
        RunEnd::Failed => Err(Exit::silent(Code::Failed)),
        RunEnd::Finished if report.requests.failed > 0 => Err(Exit::silent(Code::Failed)),
        RunEnd::Finished => Ok(()),
    }
}

/// A bar while a model is loaded, on a terminal only.
fn load_display() -> LoadListener {
    let bar = Mutex::new(None::<ProgressBar>);
    Arc::new(move |file, progress| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(progress.total_bytes), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("loading {msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.set_message(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
            bar
        });
        shown.set_position(progress.done_bytes);
        if progress.done_bytes >= progress.total_bytes
            && let Some(done) = bar.take()
        {
            done.finish_and_clear();
        }
    })
}
