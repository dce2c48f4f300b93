//! `nanomind bench pipeline`: frames a second of eye, projector and language model together. Each variant runs in a process of
//! its own, in turn with the others, so that all meet the same noise and no memory is counted twice.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use nanomind::bricks::{Gguf, Special, Tokenizer};

use self::{
    figures::{Figures, Outcome},
    frames::Frames,
    variant::Variant,
};
use super::bar;
use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Format, FormatArgs},
};

mod figures;
pub(super) mod frames;
mod here;
mod peer;
mod stopwatch;
mod variant;

/// Frames before the measurement, for every variant.
const WARM_UP: usize = 2;

/// Arguments of `bench pipeline`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Every variant answers the same question about the same frames, greedily, with two threads in all. It \
    first answers about all frames as they come (frames per second), then about a few, one at a time (time to first token, \
    tokens per second). Loading is not measured. Figures are medians over the rounds."
)]
pub struct Args {
    /// The mmproj GGUF file of encoder and projector
    #[arg(long, default_value = "examples/models/scene/scene-mmproj.gguf", value_name = "FILE.gguf")]
    vision: PathBuf,

    /// The GGUF file of the language model
    #[arg(short, long, default_value = "examples/models/scene/scene.gguf", value_name = "FILE.gguf")]
    model: PathBuf,

    /// A folder of pictures to take frames from, in the order of their names [default: scenes, drawn for this]
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,

    /// Frames that are answered as they come
    #[arg(short = 'f', long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: u32,

    /// Frames that are answered one at a time
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    single: u32,

    /// How often each variant runs
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// What is asked about every frame
    #[arg(short, long, default_value = "What do you see?")]
    question: String,

    /// Longest answer, in tokens
    #[arg(short = 'n', long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_tokens: u32,

    /// llama.cpp's llama-mtmd-cli, to be measured on the same two files
    #[arg(long, env = "NANOMIND_LLAMA_MTMD_CLI", value_name = "PATH")]
    llama_mtmd_cli: Option<PathBuf>,

    /// Write a trace of one more run, pipelined, that Perfetto and chrome://tracing open
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,

    #[command(flatten)]
    format: FormatArgs,

    /// Run one variant and print what it did: how the rounds are run
    #[arg(long, value_enum, hide = true)]
    only: Option<Variant>,
}

impl Args {
    /// Where the trace is to be written, for whoever sets up logging: the process that runs the variant writes it.
    pub fn trace_path(&self) -> Option<&Path> {
        self.trace.as_deref().filter(|_| self.only.is_some())
    }
}

/// Runs every variant in turn and prints the figures.
///
/// # Errors
/// Exit 2 for too few pictures; fails when a variant does not run to its end.
pub fn run(args: &Args, globals: &Globals) -> Result<(), Exit> {
    let wanted = WARM_UP + args.frames as usize + args.single as usize;
    let frames = match &args.pictures {
        Some(folder) => Frames::of_folder(folder, wanted)?,
        None => Frames::draw(wanted)?,
    };
    if let Some(variant) = args.only {
        return output::json(&here::run(args, variant, &frames, globals)?);
    }
    let mut variants = vec![Variant::Monolithic, Variant::Pipelined];
    if args.llama_mtmd_cli.is_some() {
        variants.push(Variant::LlamaCpp);
    }
    let progress = bar(u64::from(args.rounds) * variants.len() as u64, "{wide_bar} {pos}/{len} runs");
    let mut outcomes: Vec<(Variant, Outcome)> = Vec::new();
    for round in 0..args.rounds as usize {
        // Who begins changes with every round.
        for turn in 0..variants.len() {
            let variant = variants[(round + turn) % variants.len()];
            outcomes.push((variant, variant.run(args, &frames, None)?));
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    if let Some(trace) = &args.trace {
        Variant::Pipelined.run(args, &frames, Some(trace))?;
    }
    let gguf = Arc::new(Gguf::open(&args.model).map_err(Exit::invalid)?);
    let tokenizer = Tokenizer::from_gguf(&gguf).map_err(Exit::invalid)?;
    let figures = Figures::of(&variants, &outcomes, |text| tokenizer.encode(text, Special::Plain).len());
    match args.format.format {
        Format::Json => output::json(&figures),
        Format::Table => output::text(&figures),
    }
}

/// A path as it is, for whoever runs in another folder or writes it into a graph.
fn absolute(path: &Path) -> Result<PathBuf, Exit> {
    fs::canonicalize(path).map_err(|error| Exit::invalid(format!("cannot read {}: {error}", path.display())))
}
