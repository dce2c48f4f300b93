//! `nanomind list`: the models that nanomind knows by name, and those on this machine.
use nanomind::bricks::store::{ListedModel, ModelState};

use crate::{
    exit::Exit,
    globals::Globals,
    models,
    output::{self, Format, FormatArgs, Table},
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
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let models = models::open_store(globals)?.list();
    if args.format.format == Format::Json {
        return output::json(&models);
    }
    let mut table = Table::new(["MODEL", ">SIZE", "STATE", "LICENCE"]);
    for model in &models {
        let size = model.bytes.map(output::bytes).unwrap_or_default();
        table.row([model.reference.clone(), size, state(model), model.licence.unwrap_or_default().into()]);
    }
    output::text(table)
}

fn state(model: &ListedModel) -> String {
    match model.state {
        ModelState::Ready => "ready".into(),
        ModelState::InHubCache => "ready, in the Hugging Face cache".into(),
        ModelState::Partial { bytes } => format!("{} fetched; pull goes on", output::bytes(bytes)),
        ModelState::Absent => format!("not here; nanomind pull {}", model.reference),
        ModelState::Damaged { bytes } => format!("damaged ({} here); pull fetches it again", output::bytes(bytes)),
    }
}
