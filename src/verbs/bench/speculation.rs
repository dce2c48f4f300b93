//! `nanomind bench speculation`: what guesses by prompt lookup are worth on a text that repeats itself, or on one of yours.
use std::{fs, num::NonZeroUsize, path::PathBuf, sync::Arc};

use nanomind::{
    bricks::{
        Gguf, Special, Tokenizer,
        language::{LanguageModel, bench},
    },
    hal::{Clock, CpuTopology},
    kernels::Isa,
};
use serde::Serialize;

use super::bar;
use crate::{
    exit::Exit,
    globals::Globals,
    models,
    output::{self, Format, FormatArgs, Table},
};

/// A list that is to be written again: the answer copies most of its prompt, as edits and extracts do.
const PROMPT: &str = r#"Here is a list of measurements:

{"sensor": "kitchen-window", "temperature": 21.5, "humidity": 40, "battery": "full"}
{"sensor": "cellar-door", "temperature": 14.0, "humidity": 71, "battery": "low"}
{"sensor": "garden-shed", "temperature": 9.25, "humidity": 83, "battery": "full"}
{"sensor": "attic-hatch", "temperature": 26.75, "humidity": 35, "battery": "half"}

Here is the same list of measurements again, without any change:

{"sensor": "kitchen-window","#;

/// Arguments of `bench speculation`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The model: a name from `nanomind list`, or a GGUF file
    #[arg(short, long, default_value = "smollm2-135m", env = "NANOMIND_MODEL")]
    model: String,

    /// A text that the model continues [default: a list that it begins to copy]
    #[arg(short, long, value_name = "TEXT")]
    file: Option<PathBuf>,

    /// Tokens to generate
    #[arg(short = 'n', long, default_value = "128", value_name = "TOKENS")]
    n_gen: NonZeroUsize,

    /// Tokens that a step may guess; each is measured
    #[arg(long, value_delimiter = ',', default_value = "0,2,4,8,16", value_name = "TOKENS")]
    speculate: Vec<usize>,

    /// Threads [default: one for each core]
    #[arg(short, long)]
    threads: Option<NonZeroUsize>,

    /// Runs of each
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,

    #[command(flatten)]
    format: FormatArgs,
}

/// What one number of guesses came to.
#[derive(Serialize)]
struct Row {
    speculate: usize,
    n_threads: usize,
    n_prompt: usize,
    n_gen: usize,
    steps: usize,
    guessed: usize,
    right: usize,
    best_ts: f64,
    samples_ns: Vec<u64>,
}

/// Measures and prints the results.
///
/// # Errors
/// Exit 65 for an unusable model; fails where text and answer do not fit it, and where guesses change a token.
pub fn run(args: &Args, globals: &Globals) -> Result<(), Exit> {
    let path = models::resolve(&models::parse_reference(&args.model)?, globals)?;
    let gguf = Arc::new(Gguf::open(&path).map_err(Exit::invalid)?);
    let threads = args.threads.map_or(CpuTopology::detect().cores().len(), NonZeroUsize::get);
    let lane = super::lane(threads)?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf).map_err(Exit::invalid)?);
    let loaded = LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {});
    let model = Arc::new(loaded.map_err(Exit::invalid)?);
    let text = match &args.file {
        Some(file) => fs::read_to_string(file).map_err(|error| Exit::usage(format!("{}: {error}", file.display())))?,
        None => PROMPT.to_owned(),
    };
    let prompt = tokenizer.encode_first(&text, Special::Plain);
    let (clock, repetitions) = (Clock::system(), args.repetitions as usize);
    let progress = bar((args.speculate.len() * repetitions) as u64, "{wide_bar} {pos}/{len} runs");
    let found = bench::measure_guessing(
        &model,
        &tokenizer,
        &lane,
        &clock,
        &prompt,
        args.n_gen.get(),
        &args.speculate,
        repetitions,
        &mut || progress.inc(1),
    );
    progress.finish_and_clear();
    let found = found.map_err(super::refused)?;
    if let Some(other) = found.iter().find(|one| one.tokens != found[0].tokens) {
        return Err(Exit::failed(format!("{} guesses a step have changed the text", other.speculate)));
    }
    let row = |one: &bench::Guessing| Row {
        speculate: one.speculate,
        n_threads: lane.threads(),
        n_prompt: prompt.len(),
        n_gen: one.counters.generated,
        steps: one.steps,
        guessed: one.counters.guessed,
        right: one.counters.right,
        best_ts: one.best_tokens_per_second(),
        samples_ns: one.samples_ns.clone(),
    };
    let rows: Vec<Row> = found.iter().map(row).collect();
    match args.format.format {
        Format::Json => output::json(&rows),
        Format::Table => output::text(table(&model, &rows)),
    }
}

fn table(model: &LanguageModel, rows: &[Row]) -> Table {
    let mut table =
        Table::new(["MODEL", ">THREADS", ">GUESSES A STEP", ">STEPS", ">GUESSED", ">RIGHT", ">TOKENS/S", ">GAIN"]);
    for row in rows {
        table.row([
            model.summary(),
            row.n_threads.to_string(),
            row.speculate.to_string(),
            row.steps.to_string(),
            row.guessed.to_string(),
            row.right.to_string(),
            format!("{:.1}", row.best_ts),
            format!("{:.2}×", row.best_ts / rows[0].best_ts),
        ]);
    }
    table
}
