//! From the start of a program to its first token, and the most memory that it takes on the way and a few tokens on.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nanomind_hal::{Clock, ProcessMemory};
use serde::Serialize;

use crate::failure::Failure;
use crate::machine::Machine;
use crate::model::Model;
use crate::program::{Peer, Program, order, parse_peer};
use crate::report::{self, Table, median, ratio};

/// What peers are told if they know it: no conversation, no rehearsal, no echo, and weights packed as they load.
const OPTIONS: &[&[&str]] = &[&["-no-cnv"], &["--no-warmup"], &["--no-display-prompt"], &["-rtr"]];

/// Tokens that are generated: the first is timed, the rest show what memory settles at.
const TOKENS: usize = 8;

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every run is a process of its own that reads the model from the system's cache of files. nanomind puts the \
    prompt into the model's chat template, which makes its prompt longer than that of peers; they get it as it is."
)]
pub(crate) struct Args {
    /// A GGUF file that all programs read; may be given more than once
    #[arg(short, long, required = true)]
    model: Vec<PathBuf>,

    /// Another runtime's llama-completion or llama-cli, as NAME=PATH; may be given more than once
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_peer)]
    peer: Vec<Peer>,

    /// Path of nanomind [default: beside this program]
    #[arg(long)]
    nanomind: Option<PathBuf>,

    /// The graph that nanomind runs
    #[arg(long, default_value = "graphs/library/chat.ron")]
    graph: PathBuf,

    /// The prompt
    #[arg(long, default_value = "What is the capital of France?")]
    prompt: String,

    /// Positions that all have room for
    #[arg(short, long, default_value_t = 2048)]
    context: usize,

    /// Threads of peers; nanomind takes one for each core
    #[arg(short, long, default_value_t = 2)]
    threads: usize,

    /// How often every program runs
    #[arg(long, default_value_t = 7)]
    rounds: usize,

    /// Also write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What one program took on one model.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    program: String,
    first_token_ms: Vec<f64>,
    peak_resident_bytes: Vec<f64>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: Vec<Row>,
}

/// Measures all models and prints a table.
///
/// # Errors
/// A program cannot be run or says nothing; a model cannot be read.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let clock = Clock::system();
    let machine = Machine::detect(&clock);
    let mut programs = vec![Program::ours(args.nanomind.as_deref(), &["run"])?];
    for peer in &args.peer {
        programs.push(Program::peer(peer, OPTIONS)?);
    }
    let mut rows = Vec::new();
    for path in &args.model {
        let model = Model::open(path)?;
        let first = rows.len();
        rows.extend(programs.iter().map(|program| Row {
            model: model.name(),
            program: program.name.clone(),
            first_token_ms: Vec::new(),
            peak_resident_bytes: Vec::new(),
        }));
        for round in 0..args.rounds {
            for at in order(programs.len(), round) {
                let arguments = if at == 0 { ours(args, &model) } else { theirs(args, &model) };
                let (milliseconds, bytes) = first_token(&programs[at], &arguments, &clock)?;
                rows[first + at].first_token_ms.push(milliseconds);
                rows[first + at].peak_resident_bytes.push(bytes);
            }
        }
    }
    let report = Report { machine, rows };
    let heading = [
        report.machine.line(),
        format!(
            "From start to first token, and peak resident memory; medians of {} runs, context {}",
            args.rounds, args.context
        ),
    ];
    report::print(&heading, &table(&report.rows, programs.len()), &report, args.json.as_deref())
}

fn ours(args: &Args, model: &Model) -> Vec<String> {
    let set = |name: &str, value: &str| ["--set".to_owned(), format!("{name}={value}")];
    let settings = [
        set("model", &model.path().display().to_string()),
        set("prompt", &args.prompt),
        set("context", &args.context.to_string()),
        set("max_tokens", &TOKENS.to_string()),
        set("temperature", "0"),
    ];
    [args.graph.display().to_string()].into_iter().chain(settings.into_iter().flatten()).collect()
}

fn theirs(args: &Args, model: &Model) -> Vec<String> {
    let (context, threads, tokens) = (args.context.to_string(), args.threads.to_string(), TOKENS.to_string());
    let path = model.path().display().to_string();
    let words = ["-m", &path, "-p", &args.prompt, "-c", &context, "-t", &threads, "-n", &tokens, "--temp", "0"];
    words.map(str::to_owned).to_vec()
}

/// Milliseconds until `program` said something, and the bytes of memory that it took at most until it last did.
fn first_token(program: &Program, arguments: &[String], clock: &Clock) -> Result<(f64, f64), Failure> {
    let mut command = program.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let begun = clock.now();
    let mut child = command.spawn().map_err(|error| program.failed(arguments, error))?;
    let heard = hear(&mut child, clock);
    let ended = child.wait().map_err(|error| program.failed(arguments, error))?;
    match heard {
        Some((at, peak)) if ended.success() => Ok((at.since(begun).as_secs_f64() * 1e3, peak as f64)),
        Some(_) => Err(program.failed(arguments, ended)),
        None => Err(program.failed(arguments, format!("{ended}, and not a word"))),
    }
}

/// When the first visible text came, and the peak of memory when the last did; nothing if none came.
fn hear(child: &mut Child, clock: &Clock) -> Option<(nanomind_hal::Timestamp, u64)> {
    let mut out = child.stdout.take()?;
    let (mut first, mut peak) = (None, 0);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = out.read(&mut buffer) {
        let visible = buffer[..count].iter().any(|byte| !byte.is_ascii_whitespace());
        if visible && first.is_none() {
            first = Some(clock.now());
        }
        // The kernel remembers the most; a process that has ended has none to tell.
        peak = peak.max(ProcessMemory::of(Path::new("/"), child.id()).map_or(0, |memory| memory.peak_resident));
    }
    Some((first?, peak))
}

fn table(rows: &[Row], programs: usize) -> Table {
    let titles = ["model", "program", "first token, ms", "theirs/ours", "peak memory, MB", "theirs/ours"];
    let mut table = Table::new(titles.map(str::to_owned).to_vec());
    for rows in rows.chunks(programs.max(1)) {
        let of = |row: &Row| (median(&row.first_token_ms), median(&row.peak_resident_bytes));
        let ours = of(&rows[0]);
        for row in rows {
            let (time, memory) = of(row);
            table.row(vec![
                row.model.clone(),
                row.program.clone(),
                time.map_or_else(String::new, |time| format!("{time:.0}")),
                ratio(time, ours.0),
                memory.map_or_else(String::new, |memory| format!("{:.1}", memory / 1e6)),
                ratio(memory, ours.1),
            ]);
        }
    }
    table
}
