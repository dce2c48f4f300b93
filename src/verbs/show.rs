//! `nanomind show MODEL`: what a model file is, and the memory that it needs.
use nanomind::bricks::{
    Gguf,
    store::{LanguageShape, ModelCard},
};

use crate::{
    exit::Exit,
    globals::Globals,
    models,
    output::{self, Format, FormatArgs, Table, bytes},
};

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A catalogue name, a GGUF file, or any other reference that `pull` takes
    model: String,

    /// List every tensor with its type, shape and size
    #[arg(long)]
    tensors: bool,

    /// Tell the memory needed for this many positions of context; may be repeated
    #[arg(long, value_name = "POSITIONS", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    context: Vec<u32>,

    #[command(flatten)]
    format: FormatArgs,
}

/// Prints the card of a model.
///
/// # Errors
/// Exit 1 where the model is not on this machine, 65 for a broken file; what can be read of it is printed all the same.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let reference = models::parse_reference(&args.model)?;
    let path = models::resolve(&reference, globals)?;
    let gguf = Gguf::open(&path).map_err(Exit::invalid)?;
    let contexts: Vec<usize> = args.context.iter().map(|context| *context as usize).collect();
    let (mut card, problem) = ModelCard::of(&gguf, &contexts).map_err(Exit::invalid)?;
    match args.format.format {
        Format::Table => output::text(text(&card, args.tensors))?,
        Format::Json => {
            if !args.tensors {
                card.tensors.clear();
            }
            output::json(&card)?;
        }
    }
    problem.map_or(Ok(()), |problem| Err(Exit::invalid(problem)))
}

fn text(card: &ModelCard, with_tensors: bool) -> String {
    let mut facts = Table::new(["", ""]);
    let mut fact = |name: &str, value: String| facts.row([name.into(), value]);
    fact("file", card.file.clone());
    fact("size", format!("{} (GGUF version {})", bytes(card.bytes), card.gguf_version));
    if let Some(name) = &card.name {
        fact("name", name.clone());
    }
    if let Some(licence) = &card.licence {
        fact("licence", licence.clone());
    }
    fact("architecture", card.architecture.clone());
    fact("parameters", output::count(card.parameters));
    match &card.language {
        Some(shape) => shape_facts(shape, &mut fact),
        None => fact("language model", "none that runs here".into()),
    }
    if let Some(tokenizer) = &card.tokenizer {
        let pre = tokenizer.pre_tokenizer.as_ref().map(|name| format!(", words cut as {name}")).unwrap_or_default();
        fact("tokenizer", format!("{}{pre}", tokenizer.model));
    }
    fact("chat template", if card.chat_template { "in the file" } else { "none" }.into());

    let mut text = format!("{facts}\n{}", quantisation(card));
    if !card.memory.is_empty() {
        text.push_str(&format!("\n{}", memory(card)));
    }
    if with_tensors {
        text.push_str(&format!("\n{}", tensors(card)));
    }
    text
}

fn shape_facts(shape: &LanguageShape, fact: &mut impl FnMut(&str, String)) {
    fact("context", format!("{} positions", shape.context_length));
    fact("layers", shape.layers.to_string());
    let (heads, kv_heads, head_dim) = (shape.heads, shape.kv_heads, shape.head_dim);
    fact("heads", format!("{heads} of {head_dim} elements, {kv_heads} for keys and values"));
    fact("width", shape.width.to_string());
    fact("feed-forward", shape.feed_forward.to_string());
    fact("vocabulary", format!("{} tokens", shape.vocabulary));
}

fn quantisation(card: &ModelCard) -> Table {
    let mut table = Table::new(["TYPE", ">TENSORS", ">PARAMETERS", ">BYTES", ">BITS/PARAMETER"]);
    for share in &card.quantisation {
        let bits = share.bytes as f64 * 8.0 / share.parameters.max(1) as f64;
        table.row([
            share.tensor_type.into(),
            share.tensors.to_string(),
            output::count(share.parameters),
            bytes(share.bytes),
            format!("{bits:.2}"),
        ]);
    }
    table
}

fn memory(card: &ModelCard) -> Table {
    let mut table = Table::new([">CONTEXT", ">WEIGHTS", ">KV CACHE", ">WORKSPACE", ">MEMORY NEEDED"]);
    for need in &card.memory {
        let sizes = [need.weights_bytes, need.cache_bytes, need.workspace_bytes, need.total_bytes].map(bytes);
        let [weights, cache, workspace, total] = sizes;
        table.row([need.context.to_string(), weights, cache, workspace, total]);
    }
    table
}

fn tensors(card: &ModelCard) -> Table {
    let mut table = Table::new(["TENSOR", "TYPE", "SHAPE", ">BYTES"]);
    for tensor in &card.tensors {
        let dims: Vec<String> = tensor.dims.iter().map(u64::to_string).collect();
        table.row([tensor.name.clone(), tensor.tensor_type.into(), dims.join(" × "), bytes(tensor.bytes)]);
    }
    table
}
