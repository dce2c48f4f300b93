//! What is read of scenarios, and what is said about broken ones.

use std::path::Path;
use std::time::Duration;

use super::{Ambient, Charging, Failing, Fault, ModeHold, Moving, Question, Rate, Scenario};
use crate::governor::Mode;

fn hours(hours: f64) -> Duration {
    Duration::from_secs_f64(hours * 3600.0)
}

fn parse(fields: &str) -> Result<Scenario, String> {
    let text = format!("Scenario(\n    name: \"test\",\n{fields})\n");
    Scenario::parse(Path::new("day.ron"), &text).map_err(|error| error.to_string())
}

#[test]
fn every_field_is_read() {
    let scenario = parse(
        r#"    begins: "17:30", lasts: "6h", level: 0.8,
    ambient: [(from: "0h", celsius: 18), (from: "2h", celsius: -5.5)],
    prompts: (
        at: [(time: "10min", tokens: 12, answer: 40)],
        by_hour: [(from: "22:00", to: "07:00", rate: 0.5)],
        tokens: (8, 24), answers: (20, 20),
    ),
    motion: (at: [(time: "90s", lasts: "2min")], by_hour: [(from: "00:00", to: "24:00", rate: 3)], lasts: ("5s", "1min")),
    picture: (320, 240),
    charging: [(from: "3h", to: "4h", watts: 5)],
    faults: [
        Accelerator(name: "npu", from: "1h", to: "2h"),
        Sensor(node: "source.picture", from: "5h", to: "5.5h"),
        Meter(from: "1h", to: "3h"),
    ],
    holds: [(mode: "power-saver", from: "4h", to: "5h", owner: "a person", reason: "dinner")],
"#,
    )
    .unwrap();
    assert_eq!((scenario.begins, scenario.lasts, scenario.level), (hours(17.5), hours(6.0), 0.8));
    let ambient = [(0.0, 18.0), (2.0, -5.5)].map(|(from, celsius)| Ambient { from: hours(from), celsius });
    assert_eq!(scenario.ambient, ambient);
    assert_eq!(scenario.prompts.at, [Question { time: Duration::from_secs(600), tokens: 12, answer: 40 }]);
    assert_eq!(scenario.prompts.by_hour, [Rate { from: hours(22.0), to: hours(7.0), per_hour: 0.5 }]);
    assert_eq!((scenario.prompts.tokens, scenario.prompts.answers), (8..=24, 20..=20));
    assert_eq!(scenario.motion.at, [Moving { time: Duration::from_secs(90), lasts: Duration::from_secs(120) }]);
    assert_eq!(scenario.motion.lasts, Duration::from_secs(5)..=Duration::from_secs(60));
    assert_eq!(scenario.picture, (320, 240));
    assert_eq!(scenario.charging, [Charging { from: hours(3.0), to: hours(4.0), watts: 5.0 }]);
    let fault = |from, to, what| Fault { from: hours(from), to: hours(to), what };
    let faults = [
        fault(1.0, 2.0, Failing::Accelerator("npu".parse().unwrap())),
        fault(5.0, 5.5, Failing::Sensor("source.picture".to_owned())),
        fault(1.0, 3.0, Failing::Meter),
    ];
    assert_eq!(scenario.faults, faults);
    let (owner, reason) = ("a person".to_owned(), "dinner".to_owned());
    assert_eq!(scenario.holds, [ModeHold { from: hours(4.0), to: hours(5.0), mode: Mode::PowerSaver, owner, reason }]);
}

#[test]
fn a_scenario_of_a_name_alone_is_a_day_in_which_nothing_happens() {
    let nothing = Scenario { name: "test".to_owned(), ..Scenario::default() };
    assert_eq!(parse(""), Ok(nothing));
}

/// Fields of a scenario, from its third line on, and what is said about them.
const BROKEN: [(&str, &str); 14] = [
    ("    lasts: \"soon\",", "expected a time such as \"90s\", \"5min\" or \"1.5h\", found \"soon\""),
    ("    lasts: \"24 hours\",", "expected a time such as \"90s\", \"5min\" or \"1.5h\", found \"24 hours\""),
    ("    lasts: \"9000h\",", "expected at most a year, found \"9000h\""),
    ("    begins: \"7:30\",", "expected a time of day from \"00:00\" to \"24:00\", found \"7:30\""),
    ("    begins: \"24:01\",", "expected a time of day from \"00:00\" to \"24:00\", found \"24:01\""),
    ("    level: 80,", "expected a level from 0 to 1, found 80"),
    ("    levle: 0.8,", "found the unknown field `levle`; did you mean \"level\"?"),
    ("    level: \"full\",", "expected float, found"),
    ("    prompts: (tokens: (24, 8)),", "expected the least and the most, the most, after 24, found 8"),
    ("    charging: [(from: \"3h\", to: \"2h\", watts: 5)],", "expected `to`, after 3h, found 2h"),
    ("    charging: [(from: \"3h\", to: \"4h\")],", "expected a field `watts`, found none"),
    (
        "    faults: [Accelerater(name: \"npu\", from: \"1h\", to: \"2h\")],",
        "found `Accelerater`; did you mean \"Accelerator\"?",
    ),
    (
        "    faults: [Accelerator(name: \"tpu\", from: \"1h\", to: \"2h\")],",
        "expected an accelerator such as cpu, cpu:0, gpu or npu",
    ),
    (
        "    holds: [(mode: \"eco\", from: \"1h\", to: \"2h\", owner: \"a\", reason: \"b\")],",
        "expected \"performance\", \"balanced\" or \"power-saver\", found \"eco\"",
    ),
];

#[test]
fn each_mistake_is_told_with_its_line_what_was_expected_and_what_was_found() {
    for (fields, told) in BROKEN {
        let error = parse(&format!("{fields}\n")).expect_err(fields);
        assert!(error.starts_with("day.ron:3:"), "{fields}\n{error}");
        assert!(error.contains(told), "{fields}\nexpected: {told}\nfound:    {error}");
    }
}

#[test]
fn a_text_that_is_no_scenario_is_an_error_and_never_a_panic() {
    for text in
        ["", "Scenario", "Scenario(", "Graph(name: \"x\")", "Scenario(name: 3)", "\u{0}", "Scenario(name: \"a\",,)"]
    {
        let error = Scenario::parse(Path::new("day.ron"), text).expect_err(text).to_string();
        assert!(error.starts_with("day.ron:"), "{text:?}: {error}");
    }
}

#[test]
fn the_day_that_is_shipped_as_a_file_is_the_day_that_is_taken_without_one() {
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../graphs/scenarios").join(name);
    assert_eq!(Scenario::open(file("day.ron")).unwrap(), Scenario::day());
    assert!(Scenario::open(file("troubles.ron")).is_ok());
}
