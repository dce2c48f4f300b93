//! `nanomind bench cost`: how good predictions of run times are. Real runs of the bricks on every accelerator of the machine,
//! each with a cost model that knows nothing at first; what it predicted of each job against what that took.
use std::path::PathBuf;

use nanomind::hal::{AcceleratorId, Accuracy};
use serde::Serialize;

use crate::{
    exit::Exit,
    globals::Globals,
    models,
    output::{self, Format, FormatArgs, Table},
};

mod workload;

/// So many jobs of a brick in a phase are not counted: the model learns from them.
const LEARNING: u64 = 20;

/// Arguments of `bench cost`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "On each accelerator eye, projector and mind of a vision-language model answer about drawn scenes, and a \
    language model answers prompts of several lengths; nothing else runs meanwhile. Errors are of the predictions that \
    were made when a job began, against the time that it ran, the first 20 jobs of each brick and phase left out."
)]
pub struct Args {
    /// The mmproj GGUF file of encoder and projector
    #[arg(long, default_value = "examples/models/scene/scene-mmproj.gguf", value_name = "FILE.gguf")]
    vision: PathBuf,

    /// The GGUF file of the language model that goes with them
    #[arg(short, long, default_value = "examples/models/scene/scene.gguf", value_name = "FILE.gguf")]
    model: PathBuf,

    /// A language model that answers prompts: a name from `nanomind list`, or a GGUF file [default: smollm2-135m, if it
    /// is on this machine]
    #[arg(short, long)]
    language: Option<String>,

    /// Scenes to look at
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(24..=1_000))]
    frames: u32,

    /// Prompts to answer
    #[arg(short, long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    prompts: u32,

    #[command(flatten)]
    format: FormatArgs,
}

/// How good predictions were for one brick in one phase on one accelerator.
#[derive(Serialize)]
struct Row {
    brick: String,
    accelerator: String,
    phase: String,
    /// Jobs that ran, those that were learnt from among them.
    jobs: u64,
    /// Jobs that the errors are of.
    measured: usize,
    median_error_percent: f64,
    /// Below 0 where jobs took longer than predicted.
    median_bias_percent: f64,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
    /// The median over all errors of all rows.
    median_error_percent: Option<f64>,
    /// Of the medians of the rows, the largest.
    worst_median_error_percent: Option<f64>,
}

/// Runs everything on every accelerator and prints how good predictions were.
///
/// # Errors
/// 65 for an unusable model; fails when a run does not end well.
pub fn run(args: &Args, globals: &Globals) -> Result<(), Exit> {
    let language = language_model(args, globals)?;
    if language.is_none() {
        eprintln!(
            "note: smollm2-135m is not on this machine (nanomind pull smollm2-135m): only the scene models are run"
        );
    }
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for place in workload::places()? {
        for accuracy in workload::run(args, language.as_deref(), place, globals)? {
            let after = accuracy.errors_after(LEARNING);
            rows.extend(row(&accuracy, place, after));
            errors.extend(after.iter().map(|error| f64::from(error.abs())));
        }
    }
    let worst = rows.iter().map(|row| row.median_error_percent).max_by(f64::total_cmp);
    let report = Report {
        rows,
        median_error_percent: median(errors).map(|error| error * 100.0),
        worst_median_error_percent: worst,
    };
    match args.format.format {
        Format::Json => output::json(&report),
        Format::Table => {
            output::text(table(&report))?;
            match (report.median_error_percent, report.worst_median_error_percent) {
                (Some(median), Some(worst)) => {
                    output::line(format!("median error {median:.1} %, of the worst row {worst:.1} %"))
                }
                _ => output::line("no brick ran more jobs than are learnt from"),
            }
        }
    }
}

/// The file of the language model that was asked for, or of the usual one if it is here.
fn language_model(args: &Args, globals: &Globals) -> Result<Option<PathBuf>, Exit> {
    match &args.language {
        Some(name) => models::resolve(&models::parse_reference(name)?, globals).map(Some),
        None => Ok(models::resolve(&models::parse_reference("smollm2-135m")?, globals).ok()),
    }
}

fn row(accuracy: &Accuracy, place: AcceleratorId, after: &[f32]) -> Option<Row> {
    let of = |error: &dyn Fn(f32) -> f32| median(after.iter().map(|value| f64::from(error(*value))).collect());
    Some(Row {
        brick: accuracy.node.to_string(),
        accelerator: place.to_string(),
        phase: accuracy.phase.to_string(),
        jobs: accuracy.jobs,
        measured: after.len(),
        median_error_percent: of(&f32::abs)? * 100.0,
        median_bias_percent: of(&|error| error)? * 100.0,
    })
}

/// The middle value; of an even number, the mean of the two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().checked_sub(1)? / 2);
    Some((values[lower] + values[upper]) / 2.0)
}

fn table(report: &Report) -> Table {
    let mut table = Table::new(["BRICK", "ON", "PHASE", ">JOBS", ">MEASURED", ">MEDIAN ERROR", ">BIAS"]);
    for row in &report.rows {
        table.row([
            row.brick.clone(),
            row.accelerator.clone(),
            row.phase.clone(),
            row.jobs.to_string(),
            row.measured.to_string(),
            format!("{:.1} %", row.median_error_percent),
            format!("{:+.1} %", row.median_bias_percent),
        ]);
    }
    table
}
