//! `nanomind list`: the models that nanomind knows by name, and those on this machine.
use nanomind::bricks::store::CATALOGUE;

use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, FormatArgs, Table},
};

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

/// Prints the list.
///
/// # Errors
/// Fails when stdout cannot be written.
pub fn run(args: Args, _globals: &Globals) -> Result<(), Exit> {
    if args.format.format == output::Format::Json {
        return output::json(&CATALOGUE);
    }
    let mut table = Table::new(["MODEL", ">SIZE", "LICENCE"]);
    for entry in CATALOGUE {
        table.row([entry.name.into(), output::bytes(entry.bytes), entry.licence.into()]);
    }
    output::text(table)
}
