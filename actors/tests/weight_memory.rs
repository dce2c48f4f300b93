//! Weights that are released are gone from memory, as the operating system counts it, however often they come and go.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nanomind_actors::governor::{GovernorConfig, Mode, TemperatureSource};
use nanomind_actors::{
    GraphFiles, LoadedModel, Machine, NodeContext, NodeError, NodeLibrary, Packet, Residence, RunOptions, Runtime,
    StoredModels, WeightSource,
};
use nanomind_bricks::store::{Store, StoreSettings};
use nanomind_bricks::vision::VisionEncoder;
use nanomind_graphs::{Drawing, NodeSpec, Overrides, PortSpec, PortType, Source, Surroundings, check};
use nanomind_hal::{AcceleratorKind, BatterySource, ProcessMemory};

const ROUNDS: usize = 6;

/// What was in memory at one moment, in bytes.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// By the store of weights.
    weights: u64,
    /// By the kernel: all of this process.
    process: u64,
}

impl Moment {
    fn now(context: &NodeContext) -> Moment {
        let process = ProcessMemory::read(Path::new("/")).unwrap().resident;
        Moment { weights: context.weights().bytes(), process }
    }
}

fn scene(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "examples", "models", "scene", name].iter().collect()
}

/// Each round: before, with both models, and after.
async fn come_and_go(context: NodeContext, rounds: Arc<Mutex<Vec<[Moment; 3]>>>) -> Result<(), NodeError> {
    let eye: Residence<VisionEncoder> = Residence::new(WeightSource::encoder(&scene("scene-mmproj.gguf")));
    let mind: Residence<LoadedModel> = Residence::new(WeightSource::language(&scene("scene.gguf")));
    for _ in 0..ROUNDS {
        let before = Moment::now(&context);
        let seeing = eye.enter(&context).await?;
        let thinking = mind.enter(&context).await?;
        let during = Moment::now(&context);
        drop((seeing, thinking));
        rounds.lock().unwrap().push([before, during, Moment::now(&context)]);
    }
    context.send("text", Packet::text(context.requests().mint(), "done", 1).ending()).await
}

/// Without the test harness, whose other tests would take memory in the same process.
fn main() {
    let rounds = Arc::new(Mutex::new(Vec::new()));
    let mut library = NodeLibrary::standard().unwrap();
    let written = rounds.clone();
    let text = PortSpec::new("text", PortType::Text, "Text.");
    let spec = NodeSpec::sensor("ComesAndGoes", "Holds weights.").output(text).runs_on(&[AcceleratorKind::Cpu]);
    let body = move |context: NodeContext| come_and_go(context, written.clone());
    library.register(spec, move |_| Ok(body.clone())).unwrap();
    run(&library);

    let rounds = rounds.lock().unwrap();
    assert_eq!(rounds.len(), ROUNDS, "the node did not come to its end");
    // What comes once and stays, such as threads and the sprites of a first round, is no matter of weights.
    let [first, .., last] = &rounds[1..] else { panic!("too few rounds") };
    for [before, during, after] in &rounds[1..] {
        assert_eq!((before.weights, after.weights), (0, 0), "{rounds:?}");
        let weights = during.weights;
        assert!(weights > 5_000_000, "{rounds:?}");
        // Small parts may lie in what the heap had kept before, and the heap may keep some of what came.
        let [came, went] = [before, after].map(|other| during.process.saturating_sub(other.process));
        assert!(came > weights * 7 / 10, "they are in memory: {rounds:#?}");
        assert!(went > weights * 7 / 10, "they are gone: {rounds:#?}");
    }
    let grown = last[2].process.saturating_sub(first[0].process);
    assert!(grown < first[1].weights / 4, "{grown} bytes more after {ROUNDS} rounds: {rounds:#?}");
}

fn run(library: &NodeLibrary) {
    let graph = r#"Graph(
        name: "weights",
        nodes: { "node": ComesAndGoes(), "end": TextSink(path: "/dev/null") },
        edges: [("node.text", "end.text")],
    )"#;
    let nowhere = |name: &str| (name == "NANOMIND_HOME").then(|| "/nonexistent".into());
    let models = StoredModels::new(Store::open(StoreSettings::from_variables(nowhere).unwrap()));
    let machine = Machine::detect(None, None).unwrap();
    let offered = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    let plan = check(Source::new("weights.ron", graph), &Overrides::none(), surroundings)
        .unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let (battery, temperature) = (BatterySource::None, TemperatureSource::None);
    let governor = GovernorConfig { battery, temperature, ..GovernorConfig::default() };
    let options = RunOptions { governor, mode: Some(Mode::PowerSaver), ..RunOptions::default() };
    Runtime::start(&plan, &machine, library, options).unwrap().wait();
}
