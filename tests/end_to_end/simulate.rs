//! `nanomind simulate` as a person uses it: the same report to the byte, a plot, mistakes with their place.
use std::{fs, path::Path};

use crate::command::FreshMachine;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// `simulate` of the camera assistant on the smallest device, with the shape of a published model.
fn simulate(arguments: &[&str]) -> Vec<String> {
    let graph = Path::new(REPOSITORY).join("graphs/library/camera-assistant.ron").display().to_string();
    let sets = ["source=camera", "model=shape:smolvlm-256m", "vision=shape:smolvlm-256m/vision"];
    let sets = sets.iter().flat_map(|set| ["--set", set]).map(str::to_owned);
    let device = ["--device", "rk3566"].map(str::to_owned);
    let rest = arguments.iter().map(|&argument| argument.to_owned());
    ["simulate".to_owned(), graph].into_iter().chain(sets).chain(device).chain(rest).collect()
}

/// An hour with two questions.
const HOUR: &str = "Scenario(name: \"an hour\", lasts: \"1h\", begins: \"08:00\",\n    prompts: (at: [\n        \
                    (time: \"10min\", tokens: 12, answer: 30),\n        (time: \"40min\", tokens: 12, answer: 30),\n    ]),\n)\n";

#[test]
fn two_processes_print_the_same_to_the_byte_and_how_long_it_took_is_on_stderr() {
    let machine = FreshMachine::new();
    fs::write(machine.path("hour.ron"), HOUR).unwrap();
    let arguments = simulate(&["--scenario", "hour.ron", "--seed", "7", "--format", "json", "--plot", "day.svg"]);
    let (first, second) = (machine.run(&arguments).exits(0), machine.run(&arguments).exits(0));
    assert_eq!(first.stdout, second.stdout);
    assert!(first.stderr.starts_with("simulated 1.00 h in "), "{}", first.stderr);
    let report: serde_json::Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!((&report["requests"]["minted"], &report["requests"]["answered"]), (&2.into(), &2.into()), "{report:#}");
    let plot = fs::read_to_string(machine.path("day.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.ends_with("</svg>\n") && plot.contains(">mode<"), "{plot}");
}

#[test]
fn a_person_reads_hours_energy_by_brick_latency_and_modes() {
    let machine = FreshMachine::new();
    fs::write(machine.path("hour.ron"), HOUR).unwrap();
    let ran = machine.run(simulate(&["--scenario", "hour.ron", "--battery", "0.1Wh"])).exits(0);
    for told in ["battery   empty after ", "W in the mean", "BRICK ", "(no brick)", "LATENCY ", "modes     "] {
        assert!(ran.stdout.contains(told), "{told:?} is missing:\n{}", ran.stdout);
    }
}

#[test]
fn mistakes_are_told_with_what_was_expected() {
    let machine = FreshMachine::new();
    fs::write(machine.path("day.ron"), "Scenario(name: \"a\",\n    lasts: \"soon\")").unwrap();
    let ran = machine.run(simulate(&["--scenario", "day.ron"])).exits(65);
    ran.says("error: day.ron:2:").says("expected a time such as \"90s\", \"5min\" or \"1.5h\", found \"soon\"");
    let graph = Path::new(REPOSITORY).join("graphs/library/chat.ron").display().to_string();
    let ran = machine.run(["simulate", &graph, "--device", "rk3567"]).exits(2);
    ran.says("expected a device such as rk3566, ").says("found \"rk3567\"");
    machine.run(simulate(&["--battery", "2000"])).exits(2).says("expected a capacity such as 2000mAh or 50Wh");
}
