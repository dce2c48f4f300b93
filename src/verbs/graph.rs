//! `nanomind graph GRAPH`: a picture of a graph.
use std::{fs, path::PathBuf};

use nanomind::{
    actors::{GraphFiles, NodeLibrary, StoredModels},
    graphs::{Surroundings, outline, picture},
};

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    graph_file::{self, GraphArgs, MachineArgs},
    models, output,
};

/// How the picture is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Picture {
    /// A flowchart for Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A picture for a browser.
    Svg,
}

/// Arguments of `graph`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind graph graphs/library/chat.ron\n  \
    nanomind graph graphs/library/chat.ron --format svg -o chat.svg")]
pub struct Args {
    #[command(flatten)]
    graph: GraphArgs,

    #[command(flatten)]
    machine: MachineArgs,

    /// How to write it
    #[arg(long, value_enum, default_value_t = Picture::Mermaid)]
    format: Picture,

    /// Write to a file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Draws the graph. Models and accelerators may be missing; the graph itself must be right.
///
/// # Errors
/// Exit 65 for mistakes, 1 when the file cannot be written.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let source = graph_file::read(&args.graph.graph)?;
    let library = NodeLibrary::standard().map_err(Exit::failed)?;
    let stored = StoredModels::new(models::open_store(globals)?).with_shapes();
    let machine = args.machine.machine(&args.graph)?;
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &stored, machine: &machine };
    let outline = outline(source, &args.graph.overrides(), surroundings).map_err(|report| {
        graph_file::tell(&report);
        Exit::silent(Code::Invalid)
    })?;
    let drawn = match args.format {
        Picture::Mermaid => picture::mermaid(&outline),
        Picture::Dot => picture::dot(&outline),
        Picture::Svg => picture::svg(&outline),
    };
    match args.output {
        None => output::text(drawn),
        Some(path) => fs::write(&path, drawn)
            .map_err(|error| Exit::failed(format!("cannot write the picture {}: {error}", path.display()))),
    }
}
