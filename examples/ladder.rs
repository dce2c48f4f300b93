//! Goes down the whole ladder of power modes, from a full battery to an empty one, and says at each step what changes and
//! why, between the answers. Run it from the repository's folder, where the model is.
//!
//!     cargo run --release --example ladder            # in a minute
//!     cargo run --release --example ladder -- 5min
//!
//! What is simulated: the battery, which is empty after the time given, whatever is taken from it; and the camera, whose
//! scenes are drawn. Seeing and answering are computed by the shipped models, and weights come and go for real.
use std::{env, error::Error};

use nanomind::{
    actors::{
        GraphFiles, Machine, NodeLibrary, RunOptions, RunReport, Runtime, StoredModels,
        governor::{GovernorConfig, Record, Recorder},
    },
    bricks::store::{Store, StoreSettings},
    graphs::{Drawing, Overrides, Source, Surroundings, check, parse_time},
    hal::{BatterySource, BatteryTrace},
};

const GRAPH: &str = "graphs/library/ladder.ron";

fn main() -> Result<(), Box<dyn Error>> {
    let time = env::args().nth(1).unwrap_or_else(|| "60s".to_owned());
    let time = parse_time(&time).ok_or("expected a time such as 60s or 5min")?;

    let library = NodeLibrary::standard()?;
    let models = StoredModels::new(Store::open(StoreSettings::from_environment()?));
    let machine = Machine::detect(None, None)?;
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    let source = Source::new(GRAPH, std::fs::read_to_string(GRAPH)?);
    let plan = check(source, &Overrides::none(), surroundings).map_err(|mistakes| mistakes.draw(Drawing::PLAIN))?;

    let battery = BatterySource::Trace(BatteryTrace::emptying(time));
    let governor = GovernorConfig { battery, recorder: Some(Recorder::new(tell)), ..GovernorConfig::default() };
    let options = RunOptions { governor, lasts: Some(time), interrupts: true, ..RunOptions::default() };
    eprintln!("simulated: a battery that is empty after {time:?}, and the camera's scenes; all else is real");
    let report = Runtime::start(&plan, &machine, &library, options)?.wait();
    eprintln!("{report}");
    tell_memory(&report);
    if report.failed() { Err("the run failed".into()) } else { Ok(()) }
}

/// What was decided, as it happens.
fn tell(record: &Record) {
    for decision in &record.decisions {
        eprintln!("[{:5.1} s] {}: {}", decision.at.as_secs_f64(), decision.change, decision.reason);
    }
}

/// What the last rung saves.
fn tell_memory(report: &RunReport) {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    eprintln!("weights in memory: at most {:.1} MB", megabytes(report.memory.weights));
    if let Some(between) = report.memory.between_stages {
        let (times, weights) = (between.times, megabytes(between.weights));
        eprintln!("after each of {times} stages of a brick in turn: at most {weights:.1} MB");
    }
    if let (Some(standby), Some(memory)) = (report.standby, report.memory.in_standby) {
        let (entries, seconds, weights) = (standby.entries, standby.seconds, megabytes(memory.weights));
        eprintln!("stood by {entries} times, {seconds:.1} s in all, with {weights:.1} MB of weights in memory");
    }
}
