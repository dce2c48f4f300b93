//! `nanomind trace summary FILE`: time by node and by edge, and copied bytes, from a trace that `run --trace` wrote.
use std::path::PathBuf;

use nanomind::actors::trace::TraceSummary;

use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Format, FormatArgs, Table},
};

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

/// What to do with a trace.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print running and waiting time by node, packets and delay by edge, and slots and copied bytes by pool
    Summary {
        /// A trace written by `nanomind run --trace FILE`
        file: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
}

/// Prints the summary.
///
/// # Errors
/// Exit 65 where the file is no trace.
pub fn run(args: Args, _globals: &Globals) -> Result<(), Exit> {
    let What::Summary { file, format } = args.what;
    let summary = TraceSummary::read(&file).map_err(Exit::invalid)?;
    match format.format {
        Format::Json => output::json(&summary),
        Format::Table => output::text(table(&summary)),
    }
}

fn table(summary: &TraceSummary) -> String {
    let titles = [
        "NODE",
        "PHASE",
        "ON",
        ">JOBS",
        ">TOKENS",
        ">RUN ms",
        ">WAIT ms",
        ">PREDICTED",
        ">ERROR %",
        ">TOKENS/s",
        ">mJ",
    ];
    let mut nodes = Table::new(titles);
    for line in &summary.nodes {
        nodes.row([
            line.node.clone(),
            line.phase.clone(),
            line.accelerator.clone(),
            line.jobs.to_string(),
            line.tokens.to_string(),
            format!("{:.2}", line.run_ms),
            format!("{:.2}", line.wait_ms),
            figure(line.predicted_ms, 2),
            figure(line.median_error.map(|error| error * 100.0), 0),
            figure(line.tokens_per_second, 1),
            figure(line.energy_mj, 1),
        ]);
    }
    let mut edges = Table::new(["EDGE", ">PACKETS", ">TOKENS", ">NOT TAKEN", ">MEAN ms", ">LONGEST ms"]);
    for line in &summary.edges {
        edges.row([
            line.edge.clone(),
            line.packets.to_string(),
            line.tokens.to_string(),
            line.not_received.to_string(),
            figure(line.mean_ms, 3),
            figure(line.longest_ms, 3),
        ]);
    }
    let mut text = format!("{nodes}\n{edges}\n");
    if !summary.pools.is_empty() {
        let mut pools = Table::new(["SLOTS OF", ">MOST IN USE", ">COPIED BYTES"]);
        for line in &summary.pools {
            pools.row([line.pool.clone(), line.most_slots.to_string(), line.copied_bytes.to_string()]);
        }
        text += &format!("{pools}\n");
    }
    text += &format!("{:.1} ms from the first event to the last\n", summary.span_ms);
    if summary.lost_records > 0 {
        text += &format!("{} records were lost because the ring was full\n", summary.lost_records);
    }
    if summary.cut_short {
        text += "the trace ends in the middle: the run that wrote it did not finish\n";
    }
    text
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
