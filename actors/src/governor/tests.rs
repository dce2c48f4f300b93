//! What the governor decides, told this and that.

use std::time::Duration;

use nanomind_graphs::PowerPolicy;
use nanomind_hal::{AcceleratorId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::duty::{Duty, Frames, Keep};

const ADAPTIVE: PowerPolicy = PowerPolicy::Adaptive { high: 0.5, low: 0.2 };
const RULE: PowerPolicy = PowerPolicy::AlphaRule { high: 0.5, low: 0.2 };
const GROUPS: [&str; 2] = ["cpu:0", "cpu:1"];

fn id(name: &str) -> AcceleratorId {
    name.parse().unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

/// A place that takes 10 ms on one core, and less on more.
fn place(name: &str) -> PlaceObservation {
    let ms = if name == "cpu" { 10.0 / 1.74 } else { 10.0 };
    let basis = Basis::Learnt { jobs: 30 };
    let (load_ms, load_mj) = (0.0, None);
    PlaceObservation { accelerator: id(name), ms, mj: None, basis, load_ms, load_mj, move_ms: 20.0, moves_measured: 1 }
}

fn node(name: &str, on: &str, allowed: &[&str]) -> NodeObservation {
    NodeObservation {
        node: name.into(),
        on: id(on),
        busy: true,
        weight_bytes: 0,
        work: Vec::new(),
        places: allowed.iter().map(|name| place(name)).collect(),
    }
}

fn seen(ms: u64, level: f64, on: &str, allowed: &[&str]) -> Observation {
    let accelerator = |name: &str, cores: &[usize]| AcceleratorObservation {
        id: id(name),
        cores: cores.to_vec(),
        queue_depth: 1,
        backlog_ms: 0.0,
        memory: None,
        load: if name == on { vec![NodeLoad { node: "mind".into(), share: 0.4 }] } else { Vec::new() },
    };
    Observation {
        at: at(ms),
        battery: Some(BatteryObservation { level, charging: false, watts: None }),
        temperature_c: None,
        floor: None,
        demand: DemandObservation::default(),
        accelerators: vec![accelerator("cpu", &[0, 1]), accelerator("cpu:0", &[0]), accelerator("cpu:1", &[1])],
        nodes: vec![node("mind", on, allowed)],
    }
}

fn crowd(mut seen: Observation, on: &str) -> Observation {
    let place = seen.accelerators.iter_mut().find(|place| place.id == id(on)).unwrap();
    place.queue_depth = 2;
    place.load.push(NodeLoad { node: "crowd".into(), share: 0.6 });
    seen.nodes.push(node("crowd", on, &[on]));
    seen
}

fn look(policy: PowerPolicy, memory: &mut Memory, seen: Observation) -> Vec<Decision> {
    let (next, decisions) = step(policy, memory, &Input::Observed(seen));
    *memory = next;
    decisions
}

fn changes(decisions: &[Decision]) -> Vec<String> {
    let told = decisions.iter().filter(|decision| !matches!(decision.change, Change::Duty { .. }));
    told.map(|decision| decision.change.to_string()).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_low_battery_moves_the_node_to_the_frugal_group_at_once() {
    let mut memory = Memory::default();
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, seen(0, 0.8, "cpu:0", &GROUPS))), NOTHING);
    let low = look(ADAPTIVE, &mut memory, seen(250, 0.19, "cpu:0", &GROUPS));
    assert_eq!(changes(&low), ["mode performance → power-saver", "mind: cpu:0 → cpu:1"]);
    let reason = low.last().unwrap().reason.to_string();
    assert!(reason.contains("power-saver") && reason.contains("19.0 %"), "{reason}");
}

#[test]
fn a_run_that_begins_on_an_empty_battery_begins_in_power_saver() {
    let mut memory = Memory::default();
    let begun = look(RULE, &mut memory, seen(0, 0.05, "cpu:0", &GROUPS));
    assert_eq!(changes(&begun)[0], "mode performance → power-saver");
    assert!(memory.duty.in_turn && memory.duty.standby, "{}", memory.duty);
}

#[test]
fn all_cores_in_performance_and_one_in_power_saver() {
    let all = ["cpu", "cpu:0", "cpu:1"];
    let mut memory = Memory::default();
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, seen(0, 0.8, "cpu", &all))), NOTHING);
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, seen(250, 0.1, "cpu", &all)))[1..], ["mind: cpu → cpu:1"]);
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, seen(500, 0.9, "cpu:1", &all))), NOTHING, "not that soon");
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, seen(6_000, 0.9, "cpu:1", &all)))[1..], ["mind: cpu:1 → cpu"]);
}

#[test]
fn a_crowded_queue_moves_the_node_once_the_crowd_has_lasted() {
    let crowded = |ms| crowd(seen(ms, 0.8, "cpu:0", &GROUPS), "cpu:0");
    let mut memory = Memory::default();
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, crowded(2000))), NOTHING, "one look may be chance");
    let second = look(ADAPTIVE, &mut memory, crowded(2250));
    assert_eq!(changes(&second), ["mind: cpu:0 → cpu:1"]);
    let Reason::Crowded { queue_depth: 2, others, payback, .. } = second[0].reason else { panic!("{}", second[0]) };
    assert!(others > 0.5 && payback.saves_ms > payback.costs_ms, "{}", second[0]);
}

#[test]
fn a_move_that_costs_more_than_it_saves_is_not_made() {
    let dear = |ms| {
        let mut seen = crowd(seen(ms, 0.8, "cpu:0", &GROUPS), "cpu:0");
        seen.nodes[0].places[1].move_ms = 90_000.0;
        seen
    };
    let mut memory = Memory::default();
    for tick in 0..40 {
        assert_eq!(changes(&look(ADAPTIVE, &mut memory, dear(2000 + tick * 250))), NOTHING);
    }
}

#[test]
fn a_pinned_node_never_moves() {
    let pinned = crowd(seen(0, 0.05, "cpu:0", &["cpu:0"]), "cpu:0");
    let mut memory = Memory::default();
    assert_eq!(changes(&look(ADAPTIVE, &mut memory, pinned.clone())), ["mode performance → power-saver"]);
    let (_, forced) = step(ADAPTIVE, &memory, &Input::Due { node: "mind".into(), every: 25, seen: pinned });
    assert_eq!(forced, []);
}

#[test]
fn forced_moves_go_round_the_allowed_accelerators() {
    let due = Input::Due { node: "mind".into(), every: 25, seen: seen(0, 1.0, "cpu:1", &GROUPS) };
    let (_, forced) = step(ADAPTIVE, &Memory::default(), &due);
    assert_eq!(changes(&forced), ["mind: cpu:1 → cpu:0"]);
    assert_eq!(forced[0].reason, Reason::Forced { every: 25 });
}

#[test]
fn a_node_whose_accelerator_has_failed_goes_elsewhere_at_once() {
    let mut memory = Memory::default();
    look(ADAPTIVE, &mut memory, seen(0, 0.8, "cpu:0", &GROUPS));
    let mut failed = seen(250, 0.8, "cpu:0", &GROUPS);
    failed.accelerators.retain(|place| place.id != id("cpu:0"));
    failed.nodes[0].places.remove(0);
    let decisions = look(ADAPTIVE, &mut memory, failed);
    assert_eq!(changes(&decisions), ["mind: cpu:0 → cpu:1"]);
    assert_eq!(decisions[0].reason, Reason::Lost { accelerator: id("cpu:0") });
}

#[test]
fn holds_override_the_battery_and_the_most_frugal_one_counts() {
    let hold = |number, owner: &str, mode| Input::Held {
        at: at(number * 10),
        hold: Hold { id: HoldId(number), owner: owner.into(), reason: "a test".into(), mode },
    };
    let mut memory = Memory::default();
    let mut after = |inputs: &[Input], ms| {
        for input in inputs {
            memory = step(ADAPTIVE, &memory, input).0;
        }
        look(ADAPTIVE, &mut memory, seen(ms, 0.1, "cpu:0", &["cpu:0"]));
        memory.clone()
    };
    assert_eq!(after(&[], 0).mode, Mode::PowerSaver);
    let held = after(&[hold(1, "call", Mode::Performance)], 100);
    assert_eq!((held.mode, held.duty), (Mode::Performance, Duty::default()), "at once, and in full");
    assert_eq!(after(&[hold(2, "fan", Mode::Balanced)], 200).mode, Mode::Balanced);
    assert_eq!(after(&[Input::Released { at: at(300), id: HoldId(2) }], 300).mode, Mode::Performance);
    assert_eq!(after(&[Input::Chosen { at: at(400), mode: Some(Mode::Balanced) }], 400).mode, Mode::Balanced);
    let given_back = [Input::Chosen { at: at(500), mode: None }, Input::Released { at: at(500), id: HoldId(1) }];
    assert_eq!(after(&given_back, 500).mode, Mode::PowerSaver);
}

#[test]
fn heat_takes_one_step_off_a_mode_until_it_is_cool() {
    let mut memory = Memory::default();
    let mut mode_at = |ms, celsius| {
        let warm = Observation { temperature_c: Some(celsius), ..seen(ms, 0.9, "cpu:0", &["cpu:0"]) };
        look(PowerPolicy::Performance, &mut memory, warm);
        (memory.mode, memory.duty.working_share)
    };
    assert_eq!(mode_at(0, 60.0), (Mode::Performance, 1.0));
    assert_eq!(mode_at(10_000, 80.0), (Mode::Balanced, 0.5));
    assert_eq!(mode_at(20_000, 72.0), (Mode::Balanced, 0.5), "not cool yet");
    assert_eq!(mode_at(30_000, 60.0), (Mode::Performance, 1.0));
}

#[test]
fn alpha_is_posted_in_steps_and_its_trembling_is_not() {
    let mut memory = Memory::default();
    let mut decided = 0;
    let mut rates = Vec::new();
    for tick in 0..4000u64 {
        // From 50 % to 20 % in 1,000 seconds, trembling by a thousandth.
        let level = 0.5 - 0.3 * tick as f64 / 4000.0 + if tick % 2 == 0 { 0.0005 } else { -0.0005 };
        decided += look(RULE, &mut memory, seen(tick * 250, level, "cpu:0", &["cpu:0"])).len();
        rates.push(memory.duty.frame_rate);
    }
    assert!(decided <= 110, "{decided} decisions");
    assert!((rates[2000] - 0.5).abs() < 0.02, "{}", rates[2000]);
    assert!(rates.windows(2).skip(400).all(|pair| pair[1] <= pair[0] + 1e-9 || pair[1] == 1.0), "α only falls");
}

#[test]
fn an_adaptive_run_keeps_weights_by_what_the_device_draws_and_by_the_gaps() {
    let quiet = |ms, gap: Option<u64>| {
        let mut seen = seen(ms, 0.9, "cpu:0", &["cpu:0"]);
        seen.floor = Some(FloorObservation { awake_w: 1.2, standby_w: 0.2 });
        seen.nodes[0].places[0] =
            PlaceObservation { mj: Some(10.0), load_ms: 1000.0, load_mj: Some(1000.0), ..place("cpu:0") };
        for _ in 0..5 {
            gap.into_iter().for_each(|gap| seen.demand.gaps.add(Duration::from_secs(gap)));
        }
        seen
    };
    let mut memory = Memory::default();
    look(ADAPTIVE, &mut memory, quiet(0, None));
    assert_eq!(memory.duty.frames, Frames::Moving);
    assert_eq!(memory.duty.weights, Keep::For(Duration::from_secs(2)), "1 J of loading and 1 s awake for it, at 1 W");
    let rare = look(ADAPTIVE, &mut memory, quiet(250, Some(600)));
    assert_eq!(memory.duty.weights, Keep::For(Duration::ZERO));
    assert!(matches!(rare[0].reason, Reason::BreakEven { gap_ms: Some(_), .. }), "{}", rare[0]);
    look(ADAPTIVE, &mut memory, quiet(500, Some(1)));
    assert!(matches!(memory.duty.weights, Keep::For(time) if time > Duration::from_secs(1)), "{}", memory.duty);
}

#[test]
fn a_look_at_which_nothing_changed_leaves_no_trace_in_memory() {
    let mut memory = Memory::default();
    look(ADAPTIVE, &mut memory, seen(0, 0.4, "cpu:0", &GROUPS));
    for tick in 1..100 {
        let before = memory.clone();
        assert_eq!(look(ADAPTIVE, &mut memory, seen(tick * 250, 0.4, "cpu:0", &GROUPS)), []);
        assert_eq!(memory, before);
    }
}

proptest! {
    /// At each look the adversary says which group is crowded and how much, how slow both are, and how battery and charger
    /// are; or crowds just where the node is.
    #[test]
    fn no_node_moves_more_than_once_a_minute_whatever_an_adversary_does(
        tricks in proptest::collection::vec(
            (0usize..2, 0.0f64..1.0, [0.1f64..100.0, 0.1f64..100.0], 0.0f64..1.0, any::<bool>()), 100..400,
        ),
        follow in any::<bool>(),
    ) {
        let mut memory = Memory::default();
        let mut on = 0;
        let mut moved: Vec<Timestamp> = Vec::new();
        for (tick, (crowded, share, ms, level, charging)) in tricks.into_iter().enumerate() {
            let now = tick as u64 * 500;
            let crowded = if follow { on } else { crowded };
            let mut seen = crowd(seen(now, level, GROUPS[on], &GROUPS), GROUPS[crowded]);
            let loads = seen.accelerators.iter_mut().flat_map(|place| &mut place.load);
            loads.filter(|load| load.node == "crowd").for_each(|load| load.share = share);
            seen.nodes[0].places.iter_mut().zip(ms).for_each(|(place, ms)| place.ms = ms);
            seen.battery = Some(BatteryObservation { level, charging, watts: None });
            for decision in look(ADAPTIVE, &mut memory, seen) {
                let Change::Placement(placing) = &decision.change else { continue };
                on = GROUPS.iter().position(|group| id(group) == placing.moves[0].to).unwrap();
                if matches!(decision.reason, Reason::ModeChanged { .. }) {
                    continue;
                }
                if let Some(last) = moved.last() {
                    prop_assert!(decision.at.since(*last) >= Duration::from_secs(60), "{decision} after {last:?}");
                }
                moved.push(decision.at);
            }
        }
    }

    #[test]
    fn inputs_that_were_written_down_give_the_same_decisions_to_the_bit(
        levels in proptest::collection::vec((0.0f64..1.0, 0.0f64..1.0, 0.1f64..100.0), 1..60),
    ) {
        let (mut memory, mut replayed) = (Memory::default(), Memory::default());
        for (tick, (level, share, ms)) in levels.into_iter().enumerate() {
            let mut seen = crowd(seen(tick as u64 * 250, level, "cpu:0", &GROUPS), "cpu:0");
            seen.accelerators[1].load[1].share = share;
            seen.nodes[0].places[1].ms = ms;
            let input = Input::Observed(seen);
            let (next, decisions) = step(ADAPTIVE, &memory, &input);
            let unchanged = next == memory && decisions.is_empty();
            memory = next;
            // As a log has it: what changed nothing is not written down.
            if unchanged {
                continue;
            }
            let written = ron::to_string(&(&input, &decisions)).unwrap();
            let (read, expected): (Input, Vec<Decision>) = ron::from_str(&written).unwrap();
            prop_assert_eq!(&read, &input);
            let (next, again) = step(ADAPTIVE, &replayed, &read);
            replayed = next;
            prop_assert_eq!(&again, &decisions);
            prop_assert_eq!(again, expected);
        }
    }
}
