//! `nanomind nodes [KIND]`: the reference of the node kinds, from the specifications that `validate` uses.
use nanomind::{actors::NodeLibrary, graphs::reference};

use crate::{
    exit::Exit,
    output::{self, Format, FormatArgs},
};

/// Arguments of `nodes`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One kind, with its ports, fields and an example; without it the list of all
    kind: Option<String>,

    #[command(flatten)]
    format: FormatArgs,
}

/// Prints the reference.
///
/// # Errors
/// Exit 2 for a kind that does not exist.
pub fn run(args: Args) -> Result<(), Exit> {
    let library = NodeLibrary::standard().map_err(Exit::failed)?;
    let registry = library.registry();
    let text = reference(registry, args.kind.as_deref())
        .map_err(|error| Exit::usage(error).help("nanomind nodes lists all kinds"))?;
    match (args.format.format, &args.kind) {
        (Format::Table, _) => output::text(text),
        (Format::Json, Some(kind)) => output::json(&registry.iter().find(|spec| spec.kind.eq_ignore_ascii_case(kind))),
        (Format::Json, None) => output::json(&registry.iter().collect::<Vec<_>>()),
    }
}
