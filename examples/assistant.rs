//! Checks a graph and runs it through the library.
//!
//!     nanomind pull smollm2-135m
//!     cargo run --release --example assistant -- "Why is the sky blue?"
use std::{env, error::Error};

use nanomind::{
    actors::{GraphFiles, Machine, NodeLibrary, RunOptions, Runtime, StoredModels},
    bricks::store::{Store, StoreSettings},
    graphs::{Drawing, Overrides, Source, Surroundings, check},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut overrides = Overrides::none();
    for (param, value) in ["question", "model"].into_iter().zip(env::args().skip(1)) {
        overrides = overrides.set(param, value);
    }

    // What the graph may use: the kinds of nodes, the models on this machine, and its accelerators.
    let library = NodeLibrary::standard()?;
    let models = StoredModels::new(Store::open(StoreSettings::from_environment()?));
    let machine = Machine::detect(None, None)?;
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };

    // A plan is the proof that the graph is sound; only the check makes one.
    let source = Source::new("assistant.ron", include_str!("assistant.ron"));
    let plan = check(source, &overrides, surroundings).map_err(|mistakes| mistakes.draw(Drawing::PLAIN))?;

    let options = RunOptions { interrupts: true, ..RunOptions::default() };
    let report = Runtime::start(&plan, &machine, &library, options)?.wait();
    eprintln!("{report}");
    if report.failed() { Err("the run failed".into()) } else { Ok(()) }
}
