//! Perplexity of models on a text, ours beside that of peers.

use std::path::PathBuf;

use nanomind_hal::Clock;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::machine::Machine;
use crate::model::Model;
use crate::program::{Peer, Program, parse_peer};
use crate::report::{self, Table};

/// Arguments of `perplexity`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file that all programs read; may be given more than once
    #[arg(short, long, required = true)]
    model: Vec<PathBuf>,

    /// The text
    #[arg(short, long)]
    file: PathBuf,

    /// Another runtime's llama-perplexity, as NAME=PATH; may be given more than once
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_peer)]
    peer: Vec<Peer>,

    /// Path of nanomind [default: beside this program]
    #[arg(long)]
    nanomind: Option<PathBuf>,

    /// Tokens of a window
    #[arg(short, long, default_value_t = 512)]
    ctx: usize,

    /// Windows to read [default: all that the text fills]
    #[arg(long)]
    chunks: Option<usize>,

    /// Also write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What nanomind prints of a text.
#[derive(Debug, Deserialize)]
struct Ours {
    perplexity: f64,
    windows: usize,
}

/// Perplexities of one model.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    windows: usize,
    /// A perplexity for each program, ours first.
    perplexities: Vec<f64>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    programs: Vec<String>,
    rows: Vec<Row>,
}

/// Measures all models and prints a table.
///
/// # Errors
/// A program cannot be run or prints no perplexity; a model cannot be read.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let machine = Machine::detect(&Clock::system());
    let ours = Program::ours(args.nanomind.as_deref(), &["bench", "perplexity", "--format", "json"])?;
    let peers = args.peer.iter().map(|peer| Program::peer(peer, &[])).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for path in &args.model {
        let model = Model::open(path)?;
        let arguments = arguments(args, &model);
        let (out, _) = ours.output(&arguments)?;
        let found: Ours = serde_json::from_str(&out).map_err(|error| ours.failed(&arguments, error))?;
        let mut row = Row { model: model.name(), windows: found.windows, perplexities: vec![found.perplexity] };
        for peer in &peers {
            let (out, err) = peer.output(&arguments)?;
            let found = estimate(&out).or_else(|| estimate(&err));
            row.perplexities.push(found.ok_or_else(|| peer.failed(&arguments, "no \"Final estimate: PPL =\""))?);
        }
        eprintln!("{}: done", row.model);
        rows.push(row);
    }
    let programs = [&ours].into_iter().chain(&peers).map(|program| program.name.clone()).collect();
    let report = Report { machine, programs, rows };
    let heading = [
        report.machine.line(),
        format!(
            "Perplexity on {}, windows of {} tokens",
            args.file.file_name().unwrap_or_default().display(),
            args.ctx
        ),
    ];
    report::print(&heading, &table(&report), &report, args.json.as_deref())
}

fn arguments(args: &Args, model: &Model) -> Vec<String> {
    let mut words = vec!["-m".to_owned(), model.path().display().to_string(), "-f".to_owned()];
    words.extend([args.file.display().to_string(), "-c".to_owned(), args.ctx.to_string()]);
    if let Some(chunks) = args.chunks {
        words.extend(["--chunks".to_owned(), chunks.to_string()]);
    }
    words
}

/// The perplexity in what llama-perplexity prints last.
fn estimate(text: &str) -> Option<f64> {
    let behind = text.rsplit_once("PPL = ")?.1;
    behind.split_whitespace().next()?.parse().ok()
}

fn table(report: &Report) -> Table {
    let mut titles = vec!["model".to_owned(), "windows".to_owned(), report.programs[0].clone()];
    for peer in &report.programs[1..] {
        titles.extend([peer.clone(), "apart".to_owned()]);
    }
    let mut table = Table::new(titles);
    for row in &report.rows {
        let ours = row.perplexities[0];
        let mut cells = vec![row.model.clone(), row.windows.to_string(), format!("{ours:.4}")];
        for theirs in &row.perplexities[1..] {
            cells.extend([format!("{theirs:.4}"), format!("{:+.2} %", (ours / theirs - 1.0) * 100.0)]);
        }
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn the_last_estimate_of_llama_perplexity_is_found() {
        let text = "[1]88.5804,[2]55.5596,\n3.07 I Final estimate: PPL = 55.5596 +/- 5.80454\n";
        assert_eq!(estimate(text), Some(55.5596));
        assert_eq!(estimate("no figure"), None);
    }
}
