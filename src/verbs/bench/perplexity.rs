//! `nanomind bench perplexity`: how surprised a model is by a text, as `llama-perplexity` measures it.
use std::{fs, num::NonZeroUsize, path::PathBuf};

use nanomind::{
    bricks::{
        Gguf, Tokenizer,
        language::{
            Sequence, SequenceOptions,
            bench::{Passage, Perplexity},
        },
    },
    hal::{Clock, CpuTopology},
    kernels::{Isa, KvFormat},
};
use serde::Serialize;

use super::{bar, lane, load, parse_isa, parse_kv_format, refused};
use crate::{
    exit::Exit,
    globals::Globals,
    models,
    output::{self, Format, FormatArgs, Table},
};

/// Arguments of `bench perplexity`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "The text is cut into windows of --ctx tokens, each read from an empty context; the tokens of their second \
    halves are scored. llama-perplexity -m MODEL -f FILE -c TOKENS scores the same tokens, so that the figures compare."
)]
pub struct Args {
    /// The model: a name from `nanomind list`, or a GGUF file
    #[arg(short, long, default_value = "smollm2-135m", env = "NANOMIND_MODEL")]
    model: String,

    /// The text, in UTF-8
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,

    /// Tokens of a window
    #[arg(short, long, visible_alias = "ctx-size", default_value_t = 512, value_name = "TOKENS")]
    ctx: usize,

    /// Windows to read [default: all that the text fills]
    #[arg(long, value_name = "WINDOWS")]
    chunks: Option<NonZeroUsize>,

    /// Threads [default: one for each core]
    #[arg(short, long)]
    threads: Option<NonZeroUsize>,

    /// How keys and values are kept: f16 or q8_0
    #[arg(long, default_value = "f16", value_name = "FORMAT", value_parser = parse_kv_format)]
    kv_cache: KvFormat,

    /// Instruction set of the kernels, such as `portable` or `avx2` [default: the fastest of this machine]
    #[arg(long, env = "NANOMIND_ISA", value_parser = parse_isa)]
    isa: Option<Isa>,

    #[command(flatten)]
    format: FormatArgs,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    model_filename: String,
    model_type: String,
    isa: String,
    kv_cache: &'static str,
    text: String,
    n_ctx: usize,
    windows: usize,
    tokens_scored: usize,
    perplexity: f64,
    standard_error: f64,
    mean_nats: f64,
    seconds: f64,
}

/// Measures and prints the perplexity.
///
/// # Errors
/// Exit 65 for an unusable model; fails when the text cannot be read or fills no window.
pub fn run(args: &Args, globals: &Globals) -> Result<(), Exit> {
    let text_name = args.file.display().to_string();
    let text = fs::read_to_string(&args.file).map_err(|error| Exit::failed(format!("{text_name}: {error}")))?;
    let path = models::resolve(&models::parse_reference(&args.model)?, globals)?;
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&path).map_err(Exit::invalid)?).map_err(Exit::invalid)?;
    // As llama-perplexity reads files: a line end at the end is none of the text.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let passage = Passage::new(&tokenizer, text, args.ctx).map_err(refused)?;

    let lane = lane(args.threads.map_or_else(|| CpuTopology::detect().cores().len(), NonZeroUsize::get))?;
    let model = load(&args.model, args.isa.unwrap_or_else(Isa::detect).into(), Some(&lane), globals)?;
    let options = SequenceOptions { kv_cache: args.kv_cache, ..SequenceOptions::new(args.ctx) };
    let mut sequence = Sequence::with_options(&model, options).map_err(Exit::usage)?;
    let windows = args.chunks.map_or(passage.windows(), |chunks| chunks.get().min(passage.windows()));
    let progress = bar(windows as u64, "{wide_bar} {pos}/{len} windows  {eta} left  perplexity {msg}");
    let clock = Clock::system();
    let begun = clock.now();
    let found = passage.measure(&model, &lane, &mut sequence, windows, &mut |so_far| {
        progress.set_message(format!("{:.4}", so_far.value()));
        progress.inc(1);
    });
    let seconds = clock.now().since(begun).as_secs_f64();
    progress.finish_and_clear();
    let found: Perplexity = found.map_err(refused)?;
    print(
        args.format.format,
        &Report {
            model_filename: model.file().to_owned(),
            model_type: model.summary(),
            isa: model.target().to_string(),
            kv_cache: args.kv_cache.name(),
            text: text_name,
            n_ctx: args.ctx,
            windows: found.windows,
            tokens_scored: found.tokens,
            perplexity: found.value(),
            standard_error: found.standard_error(),
            mean_nats: found.mean_nats(),
            seconds,
        },
    )
}

fn print(format: Format, report: &Report) -> Result<(), Exit> {
    match format {
        Format::Json => output::json(report),
        Format::Table => {
            let mut table = Table::new(["MODEL", "ISA", "KV CACHE", ">WINDOWS", ">TOKENS SCORED", ">PERPLEXITY", ">±"]);
            table.row([
                report.model_type.clone(),
                report.isa.clone(),
                report.kv_cache.into(),
                format!("{} of {}", report.windows, report.n_ctx),
                report.tokens_scored.to_string(),
                format!("{:.4}", report.perplexity),
                format!("{:.4}", report.standard_error),
            ]);
            output::text(table)
        }
    }
}
