//! Simulated runs: deterministic, exact in their energy, and answering to what a scenario has happen.

use std::sync::Arc;
use std::time::Duration;

use nanomind_actors::StoredModels;
use nanomind_actors::governor::Mode;
use nanomind_actors::simulation::{
    BatteryChoice, ChangedWhat, Charging, Failing, Fault, ModeHold, Moving, Question, Scenario, Simulation,
    SimulationReport,
};
use nanomind_bricks::store::{Store, StoreSettings};
use nanomind_graphs::{Drawing, NoFiles, Overrides, PowerPolicy, Source};
use nanomind_hal::profile::DeviceProfile;

/// A person asks about what a camera sees.
const ASSISTANT: &str = r#"Graph(
    name: "assistant",
    nodes: {
        "question":  Prompt(),
        "camera":    Camera(),
        "eye":       VisionEncoder(model: "shape:smolvlm-256m/vision"),
        "projector": Projector(model: "shape:smolvlm-256m/vision"),
        "mind":      Llm(model: "shape:smolvlm-256m"),
        "reply":     Stdout(),
    },
    edges: [
        ("question.text",    "camera.question"),
        ("camera.image",     "eye.image"),
        ("eye.patches",      "projector.patches"),
        ("projector.tokens", "mind.embeddings"),
        ("question.text",    "mind.prompt"),
        ("mind.text",        "reply.text"),
    ],
    power: Adaptive(high: 0.50, low: 0.20),
)"#;

/// A camera is watched by the second.
const WATCH: &str = r#"Graph(
    name: "watch",
    nodes: {
        "question":  Prompt(text: "What moves?"),
        "camera":    Camera(every: "1s"),
        "eye":       VisionEncoder(model: "shape:smolvlm-256m/vision", cache: "0B"),
        "projector": Projector(model: "shape:smolvlm-256m/vision", cache: "0B"),
        "mind":      Llm(model: "shape:smolvlm-256m", history: false, max_tokens: 8),
        "reply":     Stdout(),
    },
    edges: [
        ("camera.image",     "eye.image", Latest),
        ("eye.patches",      "projector.patches"),
        ("projector.tokens", "mind.embeddings", Trigger),
        ("question.text",    "mind.prompt", Latched),
        ("mind.text",        "reply.text"),
    ],
    power: Performance,
)"#;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn on(device: &str, scenario: Scenario) -> Simulation {
    let device = Arc::new(DeviceProfile::find(device).unwrap());
    Simulation { scenario, seed: 7, ..Simulation::of(device) }
}

/// An hour in which a person asks every ten minutes.
fn hour() -> Scenario {
    let mut hour = Scenario { name: "an hour".to_owned(), lasts: minutes(60), ..Scenario::default() };
    hour.prompts.at = (1..6).map(|n| Question { time: minutes(10 * n), tokens: 12, answer: 20 }).collect();
    hour
}

fn simulate(simulation: &Simulation, graph: &str) -> SimulationReport {
    let folder = tempfile::tempdir().unwrap();
    let home = |name: &str| (name == "NANOMIND_HOME").then(|| folder.path().as_os_str().to_owned());
    let models = StoredModels::new(Store::open(StoreSettings::from_variables(home).unwrap())).with_shapes();
    let source = Source::new("test.ron", graph);
    let plan = simulation.check(source, &Overrides::none(), &NoFiles, &models).unwrap();
    let plan = plan.unwrap_or_else(|report| panic!("{}", report.draw(Drawing::default())));
    simulation.run(&plan).unwrap()
}

fn text(report: &SimulationReport) -> String {
    serde_json::to_string_pretty(report).unwrap()
}

#[test]
fn the_same_simulation_has_the_same_report_to_the_byte_and_another_seed_another_one() {
    let simulation = on("rk3566", Scenario { lasts: minutes(120), ..Scenario::day() });
    let first = simulate(&simulation, ASSISTANT);
    assert!(first.requests.answered > 0, "{first}");
    assert_eq!(text(&first), text(&simulate(&simulation, ASSISTANT)));
    let other = Simulation { seed: 8, ..simulation };
    assert_ne!(text(&first), text(&simulate(&other, ASSISTANT)));
}

#[test]
fn what_bricks_and_nobody_took_is_what_the_battery_gave() {
    let report = simulate(&on("rk3566", hour()), ASSISTANT);
    assert_eq!((report.requests.minted, report.requests.answered), (5, 5), "{report}");
    let amount = |energy: nanomind_hal::Energy| energy.amount().unwrap().get();
    let bricks: u64 = report.bricks.iter().map(|brick| amount(brick.energy)).sum();
    assert_eq!(bricks + amount(report.energy_unattributed), amount(report.energy));
    let battery = report.battery.unwrap();
    let given = battery.usable_wh * (battery.level_at_start - battery.level_at_end);
    let taken = report.energy.amount().unwrap().wh();
    assert!((given - taken).abs() < 1e-6, "given {given} Wh, taken {taken} Wh");
    let mind = report.bricks.iter().find(|brick| brick.node == "mind").unwrap();
    assert!(amount(mind.energy) > 0, "{report}");
}

#[test]
fn an_empty_battery_ends_it_and_twice_the_battery_lasts_longer() {
    let small = Simulation { battery: BatteryChoice::WattHours(0.2), ..on("rk3566", hour()) };
    let report = simulate(&small, ASSISTANT);
    let empty = report.battery.unwrap().empty_after_hours.unwrap();
    assert!((report.hours - empty).abs() < 1e-9 && report.hours < 1.0, "{report}");
    assert_eq!(report.battery.unwrap().level_at_end, 0.0);
    let usable = report.battery.unwrap().usable_wh;
    let taken = report.energy.amount().unwrap().wh();
    assert!((taken - usable).abs() < usable * 1e-3, "{taken} of {usable} Wh: it ends when it is empty");
    let twice = Simulation { battery: BatteryChoice::WattHours(0.4), ..small };
    assert!(simulate(&twice, ASSISTANT).hours > 1.9 * empty, "{report}");
}

#[test]
fn a_policy_that_stands_by_lasts_longer_than_one_that_does_not() {
    let with = |policy| simulate(&Simulation { policy: Some(policy), ..on("rk3566", hour()) }, ASSISTANT);
    let (saver, performance) = (with(PowerPolicy::PowerSaver), with(PowerPolicy::Performance));
    assert_eq!(saver.requests, performance.requests, "both answer all");
    assert!(saver.mean_watts.unwrap() < 0.6 * performance.mean_watts.unwrap(), "{saver}\n{performance}");
    assert!(saver.standby.is_some_and(|standby| standby.seconds > 3000.0), "{saver}");
    assert_eq!(saver.weights.in_standby_bytes, Some(0), "{saver}");
    assert!(performance.standby.is_none(), "{performance}");
    let first = |report: &SimulationReport| report.first_output.unwrap().p50_ms;
    assert!(first(&saver) > first(&performance), "what is not kept is loaded again");
}

#[test]
fn only_what_moves_is_looked_at_in_power_saver_and_every_frame_in_performance() {
    let mut scenario = Scenario { lasts: minutes(10), ..Scenario::default() };
    scenario.motion.at = vec![Moving { time: minutes(5), lasts: Duration::from_secs(5) }];
    let watch = |policy| {
        let report = simulate(&Simulation { policy: Some(policy), ..on("rk3588", scenario.clone()) }, WATCH);
        let count = |what: &str| report.counters.iter().find(|one| one.node == "camera" && one.what == what);
        let [shown, unmoved] = ["frames", "unmoved"].map(|what| count(what).map_or(0, |counted| counted.count));
        (shown, unmoved, report)
    };
    let (shown, unmoved, report) = watch(PowerPolicy::PowerSaver);
    assert!((4..=8).contains(&shown) && unmoved > 580, "{shown} shown, {unmoved} passed over\n{report}");
    let (shown, unmoved, report) = watch(PowerPolicy::Performance);
    assert!(shown >= 600 && unmoved == 0, "{shown} shown, {unmoved} passed over\n{report}");
}

#[test]
fn a_charger_fills_the_battery_while_it_is_there() {
    let mut scenario = hour();
    scenario.level = 0.4;
    scenario.charging = vec![Charging { from: minutes(20), to: minutes(40), watts: 5.0 }];
    let report = simulate(&on("rk3566", scenario), ASSISTANT);
    let level = |at: f64| report.samples.iter().find(|sample| sample.hours >= at).unwrap().level.unwrap();
    assert!(level(0.33) < 0.4 && level(0.66) > level(0.34) + 0.1 && level(0.99) < level(0.67), "{report}");
    let charged = report.changes.iter().find(|change| change.why.contains("charging")).unwrap();
    assert!((0.33..0.36).contains(&charged.hours), "{charged:?}");
}

#[test]
fn a_brick_on_a_lost_accelerator_goes_elsewhere_and_questions_are_answered_all_the_same() {
    let mut scenario = hour();
    let fault = |from, to, what| Fault { from: minutes(from), to: minutes(to), what };
    let calm = simulate(&on("rk3566", scenario.clone()), ASSISTANT);
    let eye = calm.bricks.iter().find(|brick| brick.node == "eye").unwrap();
    let place = eye.ran_on.iter().max_by(|one, other| one.run_ms.total_cmp(&other.run_ms)).unwrap();
    let lost = place.accelerator.parse().unwrap();
    scenario.faults = vec![fault(25, 45, Failing::Accelerator(lost))];
    let report = simulate(&on("rk3566", scenario), ASSISTANT);
    assert_eq!(report.requests.answered, 5, "{report}");
    let moved = report.changes.iter().find(|change| {
        matches!(&change.what, ChangedWhat::Place { node, from, to } if node == "eye" && *from == lost && *to != lost)
    });
    let moved = moved.unwrap_or_else(|| panic!("the eye stays on {lost}\n{report}"));
    assert!(moved.hours >= 25.0 / 60.0, "{moved:?}");
}

#[test]
fn a_sensor_that_is_gone_hears_nothing_and_a_meter_that_fails_is_no_battery_at_all() {
    let mut scenario = hour();
    scenario.faults = vec![
        Fault { from: minutes(15), to: minutes(35), what: Failing::Sensor("question".to_owned()) },
        Fault { from: minutes(36), to: minutes(44), what: Failing::Meter },
    ];
    let report = simulate(&Simulation { battery: BatteryChoice::WattHours(50.0), ..on("rk3566", scenario) }, ASSISTANT);
    assert_eq!(report.requests.minted, 3, "{report}");
    assert!(report.counters.iter().any(|one| one.what == "not heard" && one.count == 2), "{report}");
    assert!(report.battery.unwrap().level_at_end < 1.0, "it goes on giving\n{report}");
}

#[test]
fn a_scenario_can_hold_a_mode() {
    let mut scenario = hour();
    let (owner, reason) = ("a person".to_owned(), "quiet, please".to_owned());
    scenario.holds = vec![ModeHold { from: minutes(5), to: minutes(30), mode: Mode::PowerSaver, owner, reason }];
    let report = simulate(&on("rk3566", scenario), ASSISTANT);
    let saved = report.modes.iter().find(|time| time.mode == Mode::PowerSaver).unwrap();
    assert!((saved.hours - 25.0 / 60.0).abs() < 0.01, "{report}");
    assert!(report.changes.iter().any(|change| change.why.contains("quiet, please")), "{report}");
}

#[test]
fn what_a_scenario_speaks_of_must_be_there() {
    let mut scenario = hour();
    let what = Failing::Sensor("camra".to_owned());
    scenario.faults = vec![Fault { from: minutes(1), to: minutes(2), what }];
    let simulation = on("rk3566", scenario);
    let folder = tempfile::tempdir().unwrap();
    let home = |name: &str| (name == "NANOMIND_HOME").then(|| folder.path().as_os_str().to_owned());
    let models = StoredModels::new(Store::open(StoreSettings::from_variables(home).unwrap())).with_shapes();
    let plan = simulation.check(Source::new("test.ron", ASSISTANT), &Overrides::none(), &NoFiles, &models).unwrap();
    let error = simulation.run(&plan.unwrap()).unwrap_err().to_string();
    let expected = "scenario \"an hour\": faults[0].node: expected a sensor that is there (question, camera), found \
                    \"camra\"; did you mean \"camera\"?";
    assert_eq!(error, expected);
}
