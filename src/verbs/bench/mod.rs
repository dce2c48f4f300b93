//! `nanomind bench`: speed of prefill and decode, with the workloads and field names of `llama-bench`; of a whole pipeline
//! with `bench pipeline`. How good the answers are is `bench perplexity`'s.
use std::{num::NonZeroUsize, path::Path, sync::Arc};

use indicatif::{ProgressBar, ProgressStyle};
use nanomind::{
    bricks::{
        Gguf,
        language::{
            DEFAULT_CHUNK, LanguageModel, Target,
            bench::{self, BenchError, Conditions, Record, Workload},
        },
    },
    hal::{AcceleratorId, AcceleratorKind, Clock, CpuTopology, Lane},
    kernels::{Isa, KvFormat},
};

#[cfg(feature = "gpu")]
use nanomind::hal::gpu::GpuChoice;

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    models,
    output::{self, FormatArgs, Table},
};

mod cost;
mod governor;
mod perplexity;
mod pipeline;
mod speculation;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    topic: Option<Topic>,

    /// The model: a name from `nanomind list`, or a GGUF file
    #[arg(short, long, default_value = "smollm2-135m", env = "NANOMIND_MODEL")]
    model: String,

    /// Tokens of the prompt; 0 leaves prefill out
    #[arg(short = 'p', long, value_delimiter = ',', default_value = "512", value_name = "TOKENS")]
    n_prompt: Vec<usize>,

    /// Tokens to generate; 0 leaves decode out
    #[arg(short = 'n', long, value_delimiter = ',', default_value = "128", value_name = "TOKENS")]
    n_gen: Vec<usize>,

    /// Sequences that generate at once, in steps of all of them
    #[arg(long, value_delimiter = ',', default_value = "1")]
    sequences: Vec<NonZeroUsize>,

    /// Threads [default: one for each core]
    #[arg(short, long, value_delimiter = ',')]
    threads: Vec<NonZeroUsize>,

    /// Runs of each workload, after one to warm up
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,

    /// Positions that are computed at once
    #[arg(short = 'u', long, visible_alias = "ubatch-size", default_value_t = DEFAULT_CHUNK, value_name = "TOKENS")]
    chunk: usize,

    /// Positions that were read before each run
    #[arg(short = 'd', long, value_delimiter = ',', default_value = "0", value_name = "TOKENS")]
    n_depth: Vec<usize>,

    /// How keys and values are kept: f16 or q8_0
    #[arg(long, default_value = "f16", value_name = "FORMAT", value_parser = parse_kv_format)]
    kv_cache: KvFormat,

    /// Instruction set of the kernels, such as `portable` or `avx2` [default: the fastest of this machine]
    #[arg(long, env = "NANOMIND_ISA", value_parser = parse_isa)]
    isa: Option<Isa>,

    /// What computes: `cpu`, `gpu`, or `gpu:1`, the second that `doctor` lists
    #[arg(long, default_value = "cpu", value_name = "ACCELERATOR")]
    accelerator: AcceleratorId,

    #[command(flatten)]
    format: FormatArgs,
}

/// What is measured besides a language model.
#[derive(Debug, clap::Subcommand)]
enum Topic {
    /// Measure a stream of pictures with a standing question: all bricks on one accelerator, on two, and in llama.cpp
    Pipeline(pipeline::Args),
    /// Measure how good predictions of run times are: real runs of every brick on every accelerator
    Cost(cost::Args),
    /// Measure what guesses by prompt lookup are worth: one text, with and without them
    Speculation(speculation::Args),
    /// Measure what the governor's decisions take: the largest exact placement, and a look that changes nothing
    Governor(governor::Args),
    /// Measure the perplexity of a model on a text, over the tokens that llama-perplexity scores
    Perplexity(perplexity::Args),
}

impl Args {
    /// Where the trace is to be written, for whoever sets up logging.
    pub fn trace_path(&self) -> Option<&Path> {
        match &self.topic {
            Some(Topic::Pipeline(args)) => args.trace_path(),
            Some(Topic::Cost(_) | Topic::Governor(_) | Topic::Perplexity(_) | Topic::Speculation(_)) | None => None,
        }
    }
}

/// Measures and prints the results.
///
/// # Errors
/// Exit 65 for an unusable model; fails when a workload does not fit it.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    match args.topic {
        Some(Topic::Pipeline(args)) => return pipeline::run(&args, globals),
        Some(Topic::Cost(args)) => return cost::run(&args, globals),
        Some(Topic::Governor(args)) => return governor::run(&args),
        Some(Topic::Perplexity(args)) => return perplexity::run(&args, globals),
        Some(Topic::Speculation(args)) => return speculation::run(&args, globals),
        None => {}
    }
    let workloads = workloads(&args);
    if workloads.is_empty() {
        return Err(Exit::usage("nothing to measure: both -p and -n are 0"));
    }
    let topology = CpuTopology::detect();
    let threads = match &args.threads[..] {
        [] => vec![topology.cores().len()],
        threads => threads.iter().map(|threads| threads.get()).collect(),
    };
    let lanes = threads.iter().map(|threads| lane(*threads)).collect::<Result<Vec<Lane>, Exit>>()?;
    let target = target(args.accelerator, args.isa, globals)?;
    let model = load(&args.model, target, lanes.iter().max_by_key(|lane| lane.threads()), globals)?;
    let clock = Clock::system();
    let runs = lanes.len() * args.n_depth.len() * workloads.len() * (args.repetitions as usize + 1);
    let progress = bar(runs as u64, "{wide_bar} {pos}/{len} runs");
    let mut records = Vec::new();
    for lane in &lanes {
        for (depth, workload) in args.n_depth.iter().flat_map(|depth| workloads.iter().map(|work| (*depth, *work))) {
            let repetitions = args.repetitions as usize;
            let conditions = Conditions { chunk: args.chunk, depth, kv_cache: args.kv_cache };
            let measurement =
                bench::measure(&model, lane, &clock, workload, conditions, repetitions, &mut || progress.inc(1));
            let measurement = measurement.map_err(refused)?;
            records.push(Record::new(&model, &measurement, topology.model().unwrap_or_default(), clock.wall()));
        }
    }
    progress.finish_and_clear();
    match args.format.format {
        output::Format::Json => output::json(&records),
        output::Format::Table => output::text(table(&records)),
    }
}

/// Prefills, then decodes, in the order that was asked for.
fn workloads(args: &Args) -> Vec<Workload> {
    let prefill = args.n_prompt.iter().map(|tokens| Workload::Prefill(*tokens));
    let decode = args.n_gen.iter().flat_map(|&tokens| {
        args.sequences.iter().map(move |sequences| match sequences.get() {
            1 => Workload::Decode(tokens),
            sequences => Workload::DecodeBatch { tokens, sequences },
        })
    });
    prefill.chain(decode).filter(|workload| workload.tokens() > 0).collect()
}

fn lane(threads: usize) -> Result<Lane, Exit> {
    let lane = Lane::spawn(threads, None).map_err(Exit::failed)?;
    if lane.threads() < threads {
        eprintln!("note: {threads} threads were asked for, this process may use {}", lane.threads());
    }
    Ok(lane)
}

/// Where an accelerator computes; a graphics processor is opened.
fn target(accelerator: AcceleratorId, isa: Option<Isa>, globals: &Globals) -> Result<Target, Exit> {
    match accelerator.kind() {
        AcceleratorKind::Cpu => Ok(isa.unwrap_or_else(Isa::detect).into()),
        #[cfg(feature = "gpu")]
        AcceleratorKind::Gpu => {
            let choice = accelerator.number().map_or(GpuChoice::Best, |number| GpuChoice::Index(number.into()));
            let pipelines = models::pipelines_folder(globals)?;
            Target::open_gpu(&choice, Some(&pipelines)).map_err(|error| Exit::new(Code::DeviceMissing, error))
        }
        _ => Err(Exit::new(Code::DeviceMissing, format!("{accelerator}: no models are computed there"))),
    }
}

fn load(model: &str, target: Target, lane: Option<&Lane>, globals: &Globals) -> Result<LanguageModel, Exit> {
    let path = models::resolve(&models::parse_reference(model)?, globals)?;
    let gguf = Arc::new(Gguf::open(&path).map_err(Exit::invalid)?);
    let progress = bar(0, "loading {wide_bar} {bytes}/{total_bytes}");
    let single = Lane::single();
    let model = LanguageModel::load(&gguf, target, lane.unwrap_or(&single), &mut |load| {
        progress.set_length(load.total_bytes);
        progress.set_position(load.done_bytes);
    });
    progress.finish_and_clear();
    model.map_err(Exit::invalid)
}

/// A progress bar on stderr; nothing where that is no terminal.
fn bar(len: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}

fn refused(error: BenchError) -> Exit {
    match error {
        BenchError::Sequence(error) => Exit::usage(error),
        BenchError::Step(error) => Exit::failed(error),
        BenchError::WindowTooShort { .. } | BenchError::TextTooShort { .. } => Exit::usage(error),
    }
}

fn parse_isa(name: &str) -> Result<Isa, String> {
    Isa::from_name(name).filter(|isa| isa.is_available()).ok_or_else(|| {
        let names: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
        format!("expected one of this machine's: {}", names.join(", "))
    })
}

fn parse_kv_format(name: &str) -> Result<KvFormat, String> {
    KvFormat::from_name(name).ok_or_else(|| format!("expected one of {}", KvFormat::ALL.map(KvFormat::name).join(", ")))
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new(["MODEL", ">SIZE", "ISA", ">THREADS", "TEST", ">TOKENS/S", ">±"]);
    for record in records {
        table.row([
            record.model_type.clone(),
            output::bytes(record.model_size),
            record.isa.clone(),
            record.n_threads.to_string(),
            record.test(),
            format!("{:.2}", record.avg_ts),
            format!("{:.2}", record.stddev_ts),
        ]);
    }
    table
}
