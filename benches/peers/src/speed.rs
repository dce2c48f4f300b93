//! Tokens a second of prefill and decode, of all programs in turn, against the machine's ceilings.

use std::path::PathBuf;

use nanomind_hal::Clock;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::machine::{Ceilings, Machine};
use crate::model::Model;
use crate::program::{Peer, Program, order, parse_peer};
use crate::report::{self, Table, median, ratio};

/// Arguments of `speed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A GGUF file that all programs read; may be given more than once
    #[arg(short, long, required = true)]
    model: Vec<PathBuf>,

    /// Another runtime's llama-bench, as NAME=PATH; may be given more than once. One that packs weights only when told
    /// to (`-rtr 1`) is told to
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_peer)]
    peer: Vec<Peer>,

    /// Path of nanomind [default: beside this program]
    #[arg(long)]
    nanomind: Option<PathBuf>,

    /// Tokens of the prompt; 0 leaves prefill out
    #[arg(short = 'p', default_value_t = 512)]
    prompt: usize,

    /// Tokens to generate; 0 leaves decode out
    #[arg(short = 'n', default_value_t = 128)]
    generate: usize,

    /// Numbers of threads
    #[arg(short, long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,

    /// How often every program runs
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Runs of each workload within one run of a program
    #[arg(short, default_value_t = 1)]
    repetitions: usize,

    /// Also write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What programs print of one workload, in the field names of llama-bench.
#[derive(Debug, Deserialize)]
struct Line {
    n_prompt: usize,
    n_gen: usize,
    samples_ts: Option<Vec<f64>>,
    avg_ts: f64,
}

/// A phase of a model's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Prefill,
    Decode,
}

/// All speeds of one model, phase and number of threads.
#[derive(Debug, Serialize)]
struct Cell {
    model: String,
    phase: Phase,
    threads: usize,
    programs: Vec<Speeds>,
    ceilings: Ceilings,
    /// Part of the ceiling that ours reaches: of the bandwidth in decode, of the dot products in prefill.
    share_of_ceiling: Option<f64>,
}

/// Tokens a second of one program.
#[derive(Debug, Serialize)]
struct Speeds {
    program: String,
    median: Option<f64>,
    samples: Vec<f64>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    prompt: usize,
    generate: usize,
    rounds: usize,
    cells: Vec<Cell>,
}

/// Measures all models and prints a table.
///
/// # Errors
/// A program cannot be run, or prints no figures; a model cannot be read.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let clock = Clock::system();
    let machine = Machine::detect(&clock);
    let mut programs = vec![Program::ours(args.nanomind.as_deref(), &["bench", "--format", "json"])?];
    for peer in &args.peer {
        let mut program = Program::peer(peer, &[&["-rtr", "1"]])?;
        program.add(&["-o", "json"]);
        programs.push(program);
    }
    let models = args.model.iter().map(|path| Model::open(path)).collect::<Result<Vec<_>, _>>()?;
    let mut cells = Vec::new();
    for model in &models {
        cells.extend(measure(args, model, &programs, &clock)?);
    }
    let names: Vec<String> = programs.into_iter().map(|program| program.name).collect();
    let report = Report { machine, prompt: args.prompt, generate: args.generate, rounds: args.rounds, cells };
    let heading = [
        report.machine.line(),
        format!(
            "Tokens/s, medians of {} rounds; prefill of {}, decode of {}; share of what the machine was measured to read (decode) or \
             to multiply (prefill) at most",
            args.rounds, args.prompt, args.generate
        ),
    ];
    report::print(&heading, &table(&names, &report.cells), &report, args.json.as_deref())
}

/// Runs all programs on `model`, round after round, and the ceilings between.
fn measure(args: &Args, model: &Model, programs: &[Program], clock: &Clock) -> Result<Vec<Cell>, Failure> {
    let mut cells = empty(args, model, programs);
    for round in 0..args.rounds {
        for &threads in &args.threads {
            let ceilings = Ceilings::measure(model, threads, clock)?;
            for cell in cells.iter_mut().filter(|cell| cell.threads == threads) {
                cell.ceilings = cell.ceilings.or_better(ceilings);
            }
            for at in order(programs.len(), round) {
                let lines = lines(args, model, &programs[at], threads)?;
                for cell in cells.iter_mut().filter(|cell| cell.threads == threads) {
                    let found = lines.iter().filter(|line| line.is_of(cell.phase));
                    let samples = found.flat_map(|line| line.samples_ts.clone().unwrap_or_else(|| vec![line.avg_ts]));
                    cell.programs[at].samples.extend(samples);
                }
            }
        }
        eprintln!("{}: round {} of {} done", model.name(), round + 1, args.rounds);
    }
    for cell in &mut cells {
        cell.conclude(args, model);
    }
    Ok(cells)
}

fn empty(args: &Args, model: &Model, programs: &[Program]) -> Vec<Cell> {
    let phases = [(Phase::Prefill, args.prompt), (Phase::Decode, args.generate)];
    let phases = phases.into_iter().filter(|(_, tokens)| *tokens > 0);
    let cell = |phase, threads| Cell {
        model: model.name(),
        phase,
        threads,
        programs: programs.iter().map(|program| Speeds::of(&program.name)).collect(),
        ceilings: Ceilings { threads, bytes_per_second: 0.0, operations_per_second: 0.0 },
        share_of_ceiling: None,
    };
    phases.flat_map(|(phase, _)| args.threads.iter().map(move |&threads| cell(phase, threads))).collect()
}

/// What `program` measures of `model`.
fn lines(args: &Args, model: &Model, program: &Program, threads: usize) -> Result<Vec<Line>, Failure> {
    let (prompt, generate) = (args.prompt.to_string(), args.generate.to_string());
    let (threads, repetitions) = (threads.to_string(), args.repetitions.to_string());
    let path = model.path().display().to_string();
    let arguments =
        ["-m", &path, "-p", &prompt, "-n", &generate, "-t", &threads, "-r", &repetitions].map(str::to_owned);
    let (out, _) = program.output(&arguments)?;
    // Some peers tell things before the figures.
    let figures = &out[out.find('[').unwrap_or(0)..];
    serde_json::from_str(figures).map_err(|error| program.failed(&arguments, format!("{error} in {figures:?}")))
}

impl Line {
    fn is_of(&self, phase: Phase) -> bool {
        match phase {
            Phase::Prefill => self.n_prompt > 0 && self.n_gen == 0,
            Phase::Decode => self.n_prompt == 0 && self.n_gen > 0,
        }
    }
}

impl Speeds {
    fn of(program: &str) -> Speeds {
        Speeds { program: program.to_owned(), median: None, samples: Vec::new() }
    }
}

impl Cell {
    /// Takes the medians, and holds ours against the ceiling.
    fn conclude(&mut self, args: &Args, model: &Model) {
        for speeds in &mut self.programs {
            speeds.median = median(&speeds.samples);
        }
        let (work, ceiling) = match self.phase {
            Phase::Prefill => (model.operations_of_a_read_token(args.prompt), self.ceilings.operations_per_second),
            Phase::Decode => (model.bytes_of_a_decoded_token(args.generate), self.ceilings.bytes_per_second),
        };
        self.share_of_ceiling = self.ours().map(|speed| speed * work / ceiling);
    }

    fn ours(&self) -> Option<f64> {
        self.programs.first().and_then(|speeds| speeds.median)
    }
}

fn table(programs: &[String], cells: &[Cell]) -> Table {
    let mut titles = vec!["model".to_owned(), "phase".to_owned(), "threads".to_owned(), programs[0].clone()];
    for peer in &programs[1..] {
        titles.extend([peer.clone(), "ratio".to_owned()]);
    }
    titles.extend(["share".to_owned(), "of".to_owned()]);
    let mut table = Table::new(titles);
    let speed = |median: Option<f64>| median.map_or_else(|| "–".to_owned(), |median| format!("{median:.1}"));
    for cell in cells {
        let (phase, ceiling) = match cell.phase {
            Phase::Prefill => ("prefill", format!("{:.0} GOP/s", cell.ceilings.operations_per_second / 1e9)),
            Phase::Decode => ("decode", format!("{:.1} GB/s", cell.ceilings.bytes_per_second / 1e9)),
        };
        let mut row = vec![cell.model.clone(), phase.to_owned(), cell.threads.to_string(), speed(cell.ours())];
        for peer in &cell.programs[1..] {
            row.extend([speed(peer.median), ratio(cell.ours(), peer.median)]);
        }
        let share = cell.share_of_ceiling.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0));
        row.extend([share, ceiling]);
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_llama_bench_is_of_one_phase() {
        let text = r#"[{"n_prompt": 512, "n_gen": 0, "n_threads": 2, "avg_ts": 3.5, "samples_ts": [3.0, 4.0], "model_type": "x"},
            {"n_prompt": 0, "n_gen": 128, "n_threads": 2, "avg_ts": 1.0}]"#;
        let lines: Vec<Line> = serde_json::from_str(text).expect("lines");
        assert!(lines[0].is_of(Phase::Prefill) && !lines[0].is_of(Phase::Decode));
        assert!(lines[1].is_of(Phase::Decode) && !lines[1].is_of(Phase::Prefill));
        assert!(lines[1].samples_ts.is_none());
    }
}
