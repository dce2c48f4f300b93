//! Looks at a picture and answers questions about it, through the library: the graph of the command line's camera
//! assistant, run from a program. Run it from the repository's folder, where the model is.
//!
//!     cargo run --release --example camera_assistant
//!     cargo run --release --example camera_assistant -- image=photo.jpg question="What colour is the cup?"
//!     cargo run --release --example camera_assistant -- source=scene scene=7
use std::{env, error::Error};

use nanomind::{
    actors::{GraphFiles, Machine, NodeLibrary, RunOptions, Runtime, StoredModels},
    bricks::store::{Store, StoreSettings},
    graphs::{Drawing, Overrides, Source, Surroundings, check},
};

/// Its sources are files beside it, which the check reads.
const GRAPH: &str = "graphs/library/camera-assistant.ron";

fn main() -> Result<(), Box<dyn Error>> {
    // Every argument sets a parameter of the graph; one that the graph does not have is told like any other mistake.
    let set = |set: String| set.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let params =
        env::args().skip(1).map(|argument| set(argument).ok_or("expected NAME=VALUE")).collect::<Result<_, _>>()?;
    let overrides = Overrides { params, ..Overrides::none() };

    let library = NodeLibrary::standard()?;
    let models = StoredModels::new(Store::open(StoreSettings::from_environment()?));
    let machine = Machine::detect(None, None)?;
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    let source = Source::new(GRAPH, std::fs::read_to_string(GRAPH)?);
    let plan = check(source, &overrides, surroundings).map_err(|mistakes| mistakes.draw(Drawing::PLAIN))?;

    // Eye and mind are bricks of their own: what each of them did stands in the report.
    let options = RunOptions { interrupts: true, ..RunOptions::default() };
    let report = Runtime::start(&plan, &machine, &library, options)?.wait();
    eprintln!("{report}");
    match report.requests.answered {
        0 => Err("no question was answered".into()),
        _ => Ok(()),
    }
}
