//! `nanomind replay RUN`: makes the decisions of a run again, or says what it would have come to under another policy.
use std::path::{Path, PathBuf};

use nanomind::{
    actors::{
        StoredModels,
        run_log::{Counterfactual, CounterfactualError, Instead, Outcome, RunLogReader, counterfactual, replay},
        simulation::BatteryChoice,
    },
    graphs::{Source, read_power},
};

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    graph_file::{self, DeviceArgs},
    models,
    output::{self, Format, FormatArgs, Table},
};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind run graphs/library/chat.ron --device laptop --log chat.log\n  \
    nanomind replay chat.log\n  nanomind replay chat.log --policy PowerSaver\n\n\
    The governor is stepped over every input that the log has; its decisions have to come out as they were recorded, bit\n\
    for bit. With --policy what came in is simulated instead, on the device of the log, under its own policy and under\n\
    the other: `PowerSaver`, `Adaptive(high: 0.50, low: 0.20)`, or a file with such a text or a whole graph in it.\n\n\
    Exit codes: 0 they do, 1 they do not (the first difference is shown), 65 not a run log.")]
pub struct Args {
    /// A log that `run --log` or `simulate --log` wrote
    run: PathBuf,

    /// Simulate what came in, under the policy of the run and under this one: such as PowerSaver, or that of a graph
    #[arg(long, value_name = "POLICY|FILE.ron")]
    policy: Option<String>,

    #[command(flatten)]
    device: DeviceArgs,

    /// The battery to simulate, such as 2000mAh or 50Wh [default: that of the log]
    #[arg(long, value_name = "CAPACITY", requires = "policy")]
    battery: Option<BatteryChoice>,

    #[command(flatten)]
    format: FormatArgs,
}

/// Replays.
///
/// # Errors
/// 65 for a file that is no run log and for a policy that is none, 1 where the decisions differ, 2 where nobody says which
/// device to simulate.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let mut log = RunLogReader::open(&args.run).map_err(Exit::invalid)?;
    let ended = match &args.policy {
        None => again(&mut log, &args),
        Some(policy) => otherwise(&mut log, policy, &args, globals),
    };
    if let Some(warning) = log.warning() {
        eprintln!("warning: {warning}");
    }
    ended
}

/// The decisions once more.
fn again(log: &mut RunLogReader, args: &Args) -> Result<(), Exit> {
    let done = replay(log).map_err(Exit::invalid)?;
    match args.format.format {
        Format::Json => output::json(&done)?,
        Format::Table => match &done.difference {
            None => output::line(format_args!(
                "{} inputs give the same {} decisions again, bit for bit",
                done.inputs, done.decisions
            ))?,
            Some(difference) => output::text(difference)?,
        },
    }
    if done.difference.is_some() { Err(Exit::silent(Code::Failed)) } else { Ok(()) }
}

/// What would have come of another policy.
fn otherwise(log: &mut RunLogReader, policy: &str, args: &Args, globals: &Globals) -> Result<(), Exit> {
    let path = Path::new(policy);
    let named = path.extension().is_some_and(|extension| extension == "ron") || path.is_file();
    let source = if named { graph_file::read(path)? } else { Source::new("--policy", policy) };
    let policy = read_power(source).map_err(|report| {
        graph_file::tell(&report);
        Exit::silent(Code::Invalid)
    })?;
    let instead = Instead { device: args.device.profile()?, battery: args.battery };
    let models = StoredModels::new(models::open_store(globals)?).with_shapes();
    let answer = counterfactual(log, policy, &instead, &models).map_err(|error| match error {
        CounterfactualError::NoDevice => Exit::usage(error).help("say which with --device, such as --device laptop"),
        CounterfactualError::Graph(report) => {
            graph_file::tell(&report);
            Exit::silent(Code::Invalid)
        }
        other => Exit::invalid(other),
    })?;
    match args.format.format {
        Format::Json => output::json(&answer),
        Format::Table => output::text(table(&answer)),
    }
}

/// What a row says of one of the outcomes.
type Cell = fn(&Outcome) -> String;

/// Recorded, simulated, and simulated under the other policy, side by side.
fn table(answer: &Counterfactual) -> String {
    let Counterfactual { device, recorded, simulated, otherwise, assumed } = answer;
    let rows: [(&str, Cell); 8] = [
        ("hours", |outcome| format!("{:.3}", outcome.hours)),
        ("energy", |outcome| match outcome.energy.amount() {
            Some(amount) => format!("{:.6} Wh", amount.wh()),
            None => outcome.energy.label().to_owned(),
        }),
        ("requests", |outcome| outcome.requests.to_string()),
        ("answered", |outcome| outcome.answered.to_string()),
        ("dropped", |outcome| outcome.dropped.to_string()),
        ("latency, half", |outcome| milliseconds(outcome.latency.map(|latency| latency.p50_ms))),
        ("latency, 9 in 10", |outcome| milliseconds(outcome.latency.map(|latency| latency.p90_ms))),
        ("battery", |outcome| match (outcome.empty_after_hours, outcome.level_at_end) {
            (Some(hours), _) => format!("empty after {hours:.2} h"),
            (None, Some(level)) => format!("{:.1} %", level * 100.0),
            (None, None) => "-".to_owned(),
        }),
    ];
    let mut table = Table::new(["", ">RECORDED", ">SIMULATED", ">OTHERWISE"]);
    for (name, cell) in rows {
        table.row([name.to_owned(), cell(recorded), cell(simulated), cell(otherwise)]);
    }
    let assumed: String = assumed.iter().map(|one| format!(", with {one}")).collect();
    format!(
        "{table}\nRecorded: as it was, by {}. Simulated: on {device} by the same policy{assumed}.\n\
         Otherwise: the same by {}.\n",
        recorded.policy, otherwise.policy
    )
}

fn milliseconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"))
}
