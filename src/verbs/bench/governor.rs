//! `nanomind bench governor`: what its decisions take. The largest placement that is exact, eight bricks on four accelerators;
//! and a look at a device with three bricks at which nothing has changed, with the step that finds so.
use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, SystemTime},
};

use nanomind::{
    actors::{
        Machine, NodeBoard, NodeEntry, Requests,
        governor::{
            AcceleratorObservation, Basis, BatteryObservation, Input, Memory, NodeLoad, NodeObservation, Observation,
            Observer, PhaseWork, PlaceObservation, step,
        },
    },
    graphs::PowerPolicy,
    hal::{AcceleratorId, AcceleratorKind, Clock, Phase, Timestamp, profile::DeviceProfile},
};
use serde::Serialize;

use crate::{
    exit::Exit,
    output::{self, Format, FormatArgs, Table},
};

/// Bricks of the placement.
const BRICKS: usize = 8;
/// Power modes go by this.
const POLICY: PowerPolicy = PowerPolicy::Adaptive { high: 0.5, low: 0.2 };

/// Arguments of `bench governor`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Decisions of each kind
    #[arg(short, long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repetitions: u32,

    #[command(flatten)]
    format: FormatArgs,
}

/// What one kind of decision took.
#[derive(Serialize)]
struct Row {
    decision: &'static str,
    median_us: f64,
    longest_us: f64,
}

/// Measures and prints what decisions take.
///
/// # Errors
/// Fails where the results cannot be printed.
pub fn run(args: &Args) -> Result<(), Exit> {
    let place = |seed, level| move |_: &Memory| (Memory::default(), observation(seed, level, true));
    let rows = [
        measure(args, "placement of 8 bricks on 4 accelerators, energy first", place(1, 0.1)),
        measure(args, "placement of 8 bricks on 4 accelerators, balanced", place(2, 0.35)),
        measure(args, "placement of 8 like bricks on 4 accelerators, balanced", |_| {
            (Memory::default(), observation(3, 0.35, false))
        }),
        measure(args, "a step that changes nothing, 8 bricks at work", |memory| {
            (memory.clone(), observation(1, 0.9, true))
        }),
        look(args)?,
    ];
    match args.format.format {
        Format::Json => output::json(&rows),
        Format::Table => {
            let mut table = Table::new(["DECISION", ">MEDIAN µs", ">LONGEST µs"]);
            for row in &rows {
                table.row([row.decision.to_owned(), format!("{:.1}", row.median_us), format!("{:.1}", row.longest_us)]);
            }
            output::text(table)
        }
    }
}

/// Decides again and again, each time on what `given` makes of the memory before.
fn measure(args: &Args, decision: &'static str, given: impl Fn(&Memory) -> (Memory, Observation)) -> Row {
    let clock = Clock::system();
    let mut memory = Memory::default();
    let times = (0..args.repetitions)
        .map(|_| {
            let (before, seen) = given(&memory);
            let input = Input::Observed(seen);
            let begun = clock.now();
            let (after, decisions) = black_box(step(POLICY, black_box(&before), black_box(&input)));
            let took = clock.now().since(begun);
            memory = after;
            drop(decisions);
            took
        })
        .collect();
    row(decision, times)
}

/// Looks at an idle device of three bricks again and again, and steps.
fn look(args: &Args) -> Result<Row, Exit> {
    let profile = DeviceProfile::find("rk3588").map_err(Exit::failed)?;
    let (machine, _runtime) = Machine::simulated(Arc::new(profile), SystemTime::UNIX_EPOCH).map_err(Exit::failed)?;
    let places: Vec<AcceleratorId> = machine.accelerators().map(|(accelerator, _)| accelerator.id()).collect();
    let brick = |(name, phase): (&str, Phase)| {
        let work = vec![PhaseWork { phase, jobs: 8.0, flops: 1e9, bytes: 1e8 }];
        NodeEntry::new(name.into(), places.clone()).map(|entry| Arc::new(entry.expecting(100 << 20, work)))
    };
    let bricks = [("eye", Phase::Encode), ("projector", Phase::Project), ("mind", Phase::Decode)];
    let board = NodeBoard::new(bricks.into_iter().filter_map(brick).collect());
    let mut observer = Observer::new(&machine, board, Requests::new(machine.clock().clone()));
    let (clock, mut memory) = (Clock::system(), Memory::default());
    let battery = Some(BatteryObservation { level: 0.9, charging: false, watts: None });
    let times = (0..args.repetitions)
        .map(|_| {
            let begun = clock.now();
            let input = Input::Observed(observer.look(battery, None));
            let (after, decisions) = step(POLICY, &memory, &input);
            let unchanged = after == memory && decisions.is_empty();
            let took = clock.now().since(begun);
            memory = after;
            black_box(unchanged);
            took
        })
        .collect();
    Ok(row("a look that finds nothing changed, 3 idle bricks, and its step", times))
}

fn row(decision: &'static str, mut times: Vec<Duration>) -> Row {
    times.sort_unstable();
    let micros = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e6);
    Row { decision, median_us: micros(times.get(times.len() / 2)), longest_us: micros(times.last()) }
}

/// Eight bricks that may all go to four accelerators; either no two alike, or all.
fn observation(seed: u64, level: f64, differ: bool) -> Observation {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // A number from 0 to 1; a linear congruence will do to make bricks differ.
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if differ { (state >> 40) as f64 / (1u64 << 24) as f64 } else { 0.5 }
    };
    let cpu = AcceleratorKind::Cpu;
    let ids = [
        (AcceleratorId::whole(cpu), vec![0, 1, 2, 3], 0.4),
        (AcceleratorId::part(cpu, 0), vec![0, 1], 0.7),
        (AcceleratorId::part(cpu, 1), vec![2, 3], 0.8),
        (AcceleratorId::whole(AcceleratorKind::Npu), vec![], 0.5),
    ];
    let nodes: Vec<NodeObservation> = (0..BRICKS)
        .map(|brick| {
            let ms = 5.0 + 50.0 * random();
            let place = |(accelerator, _, factor): &(AcceleratorId, Vec<usize>, f64)| {
                let ms = ms * factor * (1.0 + 0.2 * random());
                let mj = Some(ms * (0.5 + 2.0 * random()));
                let basis = Basis::Learnt { jobs: 100 };
                let (load_ms, load_mj) = (0.0, Some(0.0));
                let accelerator = *accelerator;
                PlaceObservation { accelerator, ms, mj, basis, load_ms, load_mj, move_ms: 20.0, moves_measured: 3 }
            };
            NodeObservation {
                node: format!("brick {brick}"),
                on: ids[0].0,
                busy: true,
                weight_bytes: 100 << 20,
                work: Vec::new(),
                places: ids.iter().map(place).collect(),
            }
        })
        .collect();
    let accelerators = ids.iter().map(|(id, cores, _)| AcceleratorObservation {
        id: *id,
        cores: cores.clone(),
        queue_depth: 1,
        backlog_ms: 5.0,
        memory: None,
        load: if *id == ids[0].0 {
            nodes.iter().map(|node| NodeLoad { node: node.node.clone(), share: 0.1 }).collect()
        } else {
            Vec::new()
        },
    });
    Observation {
        at: Timestamp::default(),
        battery: Some(BatteryObservation { level, charging: false, watts: None }),
        temperature_c: None,
        floor: None,
        demand: Default::default(),
        accelerators: accelerators.collect(),
        nodes,
    }
}
