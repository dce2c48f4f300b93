//! `nanomind why RUN`: why a run went as it did, in plain sentences, from its log.
use std::{path::PathBuf, time::Duration};

use nanomind::{
    actors::run_log::{Question, RunLogReader, WhyError, why},
    graphs::parse_time,
};

use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Format, FormatArgs},
};

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind run graphs/library/chat.ron --log chat.log\n  nanomind why chat.log\n  \
    nanomind why chat.log --brick mind\n  nanomind why chat.log --at 12.4s --format json\n\n\
    Times are those of the run's clock, as in its trace and report.")]
pub struct Args {
    /// A log that `run --log` or `simulate --log` wrote
    run: PathBuf,

    /// Only where this brick worked, and what was predicted for it
    #[arg(long, value_name = "NODE")]
    brick: Option<String>,

    /// How things stood at this time, and the last decision before it
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Duration>,

    #[command(flatten)]
    format: FormatArgs,
}

fn time(text: &str) -> Result<Duration, String> {
    parse_time(text).ok_or_else(|| "expected a time such as 12.4s or 3min".to_owned())
}

/// Explains.
///
/// # Errors
/// 65 for a file that is no run log, 2 for a brick that was not there.
pub fn run(args: Args, _globals: &Globals) -> Result<(), Exit> {
    let mut log = RunLogReader::open(&args.run).map_err(Exit::invalid)?;
    let question = Question { brick: args.brick, at: args.at };
    let answer = why(&mut log, &question).map_err(|error| match error {
        WhyError::UnknownBrick { .. } => Exit::usage(error),
        WhyError::Read(error) => Exit::invalid(error),
    })?;
    match args.format.format {
        Format::Json => output::json(&answer)?,
        Format::Table => output::text(&answer)?,
    }
    if let Some(warning) = log.warning() {
        eprintln!("warning: {warning}");
    }
    Ok(())
}
