//! `nanomind replay RUN`: makes the decisions of a run again, from its log.
use std::path::PathBuf;

use nanomind::actors::run_log::{RunLogReader, replay};

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    output::{self, Format, FormatArgs},
};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  nanomind run graphs/library/chat.ron --log chat.log\n  nanomind replay chat.log\n\n\
    The governor is stepped over every input that the log has; its decisions have to come out as they were recorded, bit\n\
    for bit. Exit codes: 0 they do, 1 they do not (the first difference is shown), 65 not a run log."
)]
pub struct Args {
    /// A log that `run --log` or `simulate --log` wrote
    run: PathBuf,

    #[command(flatten)]
    format: FormatArgs,
}

/// Replays.
///
/// # Errors
/// 65 for a file that is no run log, 1 where the decisions differ.
pub fn run(args: Args, _globals: &Globals) -> Result<(), Exit> {
    let mut log = RunLogReader::open(&args.run).map_err(Exit::invalid)?;
    let done = replay(&mut log).map_err(Exit::invalid)?;
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
    if let Some(warning) = log.warning() {
        eprintln!("warning: {warning}");
    }
    if done.difference.is_some() { Err(Exit::silent(Code::Failed)) } else { Ok(()) }
}
