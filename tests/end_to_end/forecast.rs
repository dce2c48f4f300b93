//! The forecast of a battery before anything runs, and the suite of the paper, as a person calls them.
use crate::command::FreshMachine;

/// The library's chat with a model of which only the shape is known.
fn chat() -> String {
    include_str!("../../graphs/library/chat.ron").replace("smollm2-135m", "shape:smolvlm-256m")
}

/// Hours of each policy, as JSON has them.
fn hours(machine: &FreshMachine, battery: &str) -> Vec<(String, f64)> {
    let ran = machine.run(["validate", "chat.ron", "--device", "rk3566", "--battery", battery, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let outlooks = answer["forecast"]["outlooks"].as_array().unwrap_or_else(|| panic!("{}", ran.stdout));
    outlooks.iter().map(|one| (one["policy"].as_str().unwrap().to_owned(), one["hours"].as_f64().unwrap())).collect()
}

#[test]
fn validate_tells_how_long_a_battery_lasts_in_each_mode() {
    let machine = FreshMachine::new();
    machine.file("chat.ron", chat());
    let ran = machine.run(["validate", "chat.ron", "--device", "rk3566"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for told in ["Expected on rk3566", "Performance", "Balanced", "PowerSaver", "Adaptive(high: 0.5, low: 0.2)"] {
        assert!(ran.stdout.contains(told), "{told} is missing:\n{}", ran.stdout);
    }
    let own = hours(&machine, "2000mAh");
    let order: Vec<f64> = own.iter().map(|(_, hours)| *hours).collect();
    assert!(order[2] > 1.5 * order[0], "standby saves: {own:?}");
    assert!(order[3] > 1.5 * order[0], "so does an adaptive policy: {own:?}");
    let twice = hours(&machine, "14.8Wh");
    for ((policy, once), (_, twice)) in own.iter().zip(&twice) {
        assert!((1.7..2.3).contains(&(twice / once)), "{policy}: {once} h with 7.4 Wh, {twice} h with 14.8 Wh");
    }
}

#[test]
fn a_battery_that_is_none_and_a_simulation_of_nothing_are_refused() {
    let machine = FreshMachine::new();
    machine.file("chat.ron", chat());
    let ran = machine.run(["validate", "chat.ron", "--device", "rk3566", "--battery", "50"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("expected a capacity such as 2000mAh or 50Wh"), "{}", ran.stderr);
    let unknown = machine.run(["validate", "chat.ron", "--device", "rk35"]);
    assert_eq!(unknown.code, Some(65), "{}", unknown.stderr);
    let nothing = machine.run(["simulate"]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.stderr);
    let both = machine.run(["simulate", "chat.ron", "--suite", "paper"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn the_suite_shows_paper_and_ours_side_by_side_and_lists_what_was_fitted() {
    let machine = FreshMachine::new();
    let ran = machine.run(["simulate", "--suite", "paper", "--days", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for told in ["parallel mode, h", "cascade, W", "energy against monolithic", "power.standby", "battery.usable"] {
        assert!(ran.stdout.contains(told), "{told} is missing:\n{}", ran.stdout);
    }
    let again = machine.run(["simulate", "--suite", "paper", "--days", "1"]);
    assert_eq!(again.stdout, ran.stdout, "the same to the byte");
}
