//! `nanomind convert DIR`: a Hugging Face model folder to GGUF files.
use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use indicatif::{ProgressBar, ProgressStyle};
use nanomind::{
    bricks::convert::{self, ConvertError, ConvertOptions, Converted, ConvertedFile},
    hal::{CpuTopology, Lane},
    kernels::Precision,
};

use crate::{
    exit::{Code, Exit},
    interrupt,
    output::{self, FormatArgs, Table},
};

/// Arguments of `convert`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Architectures: LlamaForCausalLM, Qwen2ForCausalLM, LlavaForConditionalGeneration (LLaVA 1.5), \
    LlavaOnevisionForConditionalGeneration, SmolVLMForConditionalGeneration, Idefics3ForConditionalGeneration. A \
    vision-language model becomes two files, OUT/NAME.gguf and OUT/mmproj-NAME.gguf.\n\n\
    Norms, biases and positions stay F32. With 4 bits the head, or an embedding table that is the head too, has 8. A \
    tensor whose rows are no whole number of blocks becomes F16, and the result says so.\n\n\
    Example:\n  nanomind convert ./SmolVLM-256M-Instruct --quant q4_0 -o models"
)]
pub struct Args {
    /// The folder, with config.json, safetensors and tokenizer.json
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Format of the language model's matrices
    #[arg(long, value_enum, default_value_t = Quant::Q4_0, env = "NANOMIND_QUANT")]
    quant: Quant,

    /// Format of the vision encoder's and the projector's matrices
    #[arg(long, value_enum, default_value_t = VisionQuant::F16, env = "NANOMIND_VISION_QUANT")]
    vision_quant: VisionQuant,

    /// Folder that the files go to
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Name of the files [default: that of DIR]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,

    /// Replace files that are there already
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    format: FormatArgs,
}

/// Formats of a language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Quant {
    /// 4 bits and a scale for 32 weights
    #[value(name = "q4_0")]
    Q4_0,
    /// 4 bits, a scale and a minimum for 32 weights
    #[value(name = "q4_1")]
    Q4_1,
    /// 8 bits and a scale for 32 weights
    #[value(name = "q8_0")]
    Q8_0,
    /// Half precision
    F16,
    /// Half precision with the range of single precision
    Bf16,
    /// Single precision
    F32,
}

/// Formats of a vision half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum VisionQuant {
    /// 4 bits and a scale for 32 weights
    #[value(name = "q4_0")]
    Q4_0,
    /// 8 bits and a scale for 32 weights
    #[value(name = "q8_0")]
    Q8_0,
    /// Half precision
    F16,
    /// Single precision
    F32,
}

impl From<Quant> for Precision {
    fn from(quant: Quant) -> Precision {
        match quant {
            Quant::Q4_0 => Precision::Q4_0,
            Quant::Q4_1 => Precision::Q4_1,
            Quant::Q8_0 => Precision::Q8_0,
            Quant::F16 => Precision::F16,
            Quant::Bf16 => Precision::Bf16,
            Quant::F32 => Precision::F32,
        }
    }
}

impl From<VisionQuant> for Precision {
    fn from(quant: VisionQuant) -> Precision {
        match quant {
            VisionQuant::Q4_0 => Precision::Q4_0,
            VisionQuant::Q8_0 => Precision::Q8_0,
            VisionQuant::F16 => Precision::F16,
            VisionQuant::F32 => Precision::F32,
        }
    }
}

/// Converts the folder and prints what was made.
///
/// # Errors
/// Exit 65 for a folder that holds no model known here or a broken one, 130 where Ctrl-C broke off, 1 for all else.
pub fn run(args: Args) -> Result<(), Exit> {
    let interrupted = interrupt::flag().map_err(|error| Exit::failed(format!("cannot prepare for Ctrl-C: {error}")))?;
    let lane = Lane::spawn(CpuTopology::detect().cores().len(), None).map_err(Exit::failed)?;
    let options = ConvertOptions {
        language: args.quant.into(),
        vision: args.vision_quant.into(),
        out: args.output,
        name: args.name,
        overwrite: args.force,
    };
    let bar = progress_bar();
    let converted = convert::convert(&args.folder, &options, &lane, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        go_on(interrupted)
    });
    bar.finish_and_clear();
    let converted = converted.map_err(exit)?;
    for file in &converted.files {
        say_fallbacks(file);
    }
    match args.format.format {
        output::Format::Table => output::text(table(&converted)),
        output::Format::Json => output::json(&converted),
    }
}

fn go_on(interrupted: &AtomicBool) -> ControlFlow<()> {
    if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn exit(error: ConvertError) -> Exit {
    match error {
        ConvertError::Input(_) => Exit::invalid(error),
        ConvertError::Interrupted => Exit::new(Code::Interrupted, error),
        ConvertError::Exists { .. } => {
            Exit::failed(error).help("--force replaces it, --name gives the files another name")
        }
        ConvertError::NoFolder { .. } | ConvertError::Write { .. } | ConvertError::ReadBack { .. } => {
            Exit::failed(error)
        }
    }
}

/// A name and no path.
fn parse_name(name: &str) -> Result<String, String> {
    match name.is_empty() || name.contains(['/', '\\', '\0']) {
        true => Err("expected the name of a file, without a path and an ending".to_owned()),
        false => Ok(name.to_owned()),
    }
}

/// A bar on stderr; nothing where that is no terminal.
fn progress_bar() -> ProgressBar {
    let template = "converting {wide_bar} {decimal_bytes}/{decimal_total_bytes} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

/// Tensors that have another format than was asked for are few or of a kind: the first tells.
fn say_fallbacks(file: &ConvertedFile) {
    let Some(first) = file.fallbacks.first() else { return };
    let count = file.fallbacks.len();
    let tensors = if count == 1 { "1 tensor is".to_owned() } else { format!("{count} tensors are") };
    eprintln!(
        "note: {}: {tensors} {} instead of {}, their rows are no whole number of blocks ({} has {} columns)",
        file.path.display(),
        first.written,
        first.wanted,
        first.tensor,
        first.width
    );
}

fn table(converted: &Converted) -> Table {
    let mut table =
        Table::new(["FILE", "ARCHITECTURE", ">PARAMETERS", ">SIZE", ">BITS/WEIGHT", "FORMATS", ">FALLBACKS"]);
    for file in &converted.files {
        let formats = file.formats.iter().map(|share| format!("{}×{}", share.tensors, share.format));
        table.row([
            file.path.display().to_string(),
            file.architecture.clone(),
            output::count(file.parameters),
            output::bytes(file.bytes),
            format!("{:.2}", file.bits_per_weight),
            formats.collect::<Vec<_>>().join(" "),
            file.fallbacks.len().to_string(),
        ]);
    }
    table
}
