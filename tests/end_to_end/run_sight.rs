//! `nanomind run` of the shipped camera assistant on the shipped model: answers, names, reports, exit codes, a terminal.
use std::{fs, path::Path};

use serde_json::Value;

use crate::{command::FreshMachine, terminal::Terminal};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/scene/samples");
const SCENE_00: &str = "There are two objects: a small television and a large orange digit 0.\n";

/// `run` of a graph of the library with the shipped model, with these settings and arguments.
fn run(graph: &str, sets: &[&str], arguments: &[&str]) -> Vec<String> {
    let scene = |name: &str| Path::new(REPOSITORY).join("examples/models/scene").join(name).display().to_string();
    let graph = Path::new(REPOSITORY).join("graphs/library").join(graph).display().to_string();
    let models = [format!("vision={}", scene("scene-mmproj.gguf")), format!("model={}", scene("scene.gguf"))];
    let sets = sets.iter().map(|&set| set.to_owned()).chain(models).flat_map(|set| ["--set".to_owned(), set]);
    let rest = arguments.iter().map(|&argument| argument.to_owned());
    ["run".to_owned(), graph].into_iter().chain(sets).chain(rest).collect()
}

fn look(sets: &[&str], arguments: &[&str]) -> Vec<String> {
    run("camera-assistant.ron", sets, arguments)
}

fn sample(name: &str) -> String {
    format!("image={SAMPLES}/{name}")
}

fn report(machine: &FreshMachine) -> Value {
    serde_json::from_str(&fs::read_to_string(machine.path("report.json")).unwrap()).unwrap()
}

#[test]
fn in_a_pipe_the_answer_is_all_of_stdout_and_name_and_report_are_all_of_stderr() {
    let machine = FreshMachine::new();
    let ran = machine.run(look(&[&sample("scene-00.png")], &["--report", "report.json"])).exits(0);
    assert_eq!(ran.stdout, SCENE_00);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines[0], "scene-00.png", "{}", ran.stderr);
    assert!(lines[1].starts_with("BRICK ") && lines[1].contains(" COMPUTING  WAITING  TOKENS"), "{}", ran.stderr);
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert!(lines.len() <= 24 && widest <= Some(80), "no screen of 80 by 24:\n{}", ran.stderr);
    let ran = ran.says("\neye ").says("\nmind    first token after ").says(" tokens/s (end of text)\n");
    let ran = ran.says("\ncopied  0 bytes of embeddings (eye.patches 0, projector.tokens 0)\n");
    let ran = ran.says("\nmemory  weights ").says("; process peak ").says("1 of 1 requests answered\n");
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('▀'), "a preview in a pipe:\n{}", ran.stderr);

    let report = report(&machine);
    let pools = report["pools"].as_array().unwrap();
    let copied: Vec<_> = pools.iter().map(|pool| (&pool["pool"], &pool["copied_bytes"])).collect();
    assert_eq!(copied, [(&"eye.patches".into(), &0.into()), (&"projector.tokens".into(), &0.into())]);
    let memory = &report["memory"];
    let slots: u64 = pools.iter().map(|pool| pool["bytes"].as_u64().unwrap()).sum();
    assert_eq!(memory["slots"], slots);
    let parts = ["weights", "kv_cache", "slots"].map(|part| memory[part].as_u64().unwrap());
    assert!(parts.iter().all(|&bytes| bytes > 0), "{memory:#}");
    assert!(memory["peak_resident"].as_u64().unwrap() > parts[0] + parts[1], "{memory:#}");
}

#[test]
fn a_question_may_come_through_the_pipe() {
    let machine = FreshMachine::new();
    let arguments = look(&[&sample("scene-00.png"), "question="], &["--quiet"]);
    let ran = machine.run_with_input(arguments, "Which is larger, the television or the orange digit 0?\n").exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("The orange digit 0 is larger.\n", "scene-00.png\n"));
}

#[test]
fn a_file_that_is_no_picture_is_named_with_what_was_found_and_the_exit_code_is_1() {
    let machine = FreshMachine::new();
    let image = machine.file("cat.png", "meow").display().to_string();
    let ran = machine.run(look(&[&format!("image={image}")], &[])).exits(1);
    assert_eq!(ran.stdout, "");
    ran.says("cat.png").says("expected a JPEG, PNG, WebP, BMP or GIF image").says("meow");
}

#[test]
fn a_source_that_does_not_exist_is_told_with_its_place_and_those_that_do() {
    let ran = FreshMachine::new().run(look(&["source=scnee"], &[])).exits(65);
    assert_eq!(ran.stdout, "");
    let ran = ran.says("camera-assistant.ron:").says("sources/scnee.ron: there is no such");
    let ran = ran.says("--set:1:8").says("value of parameter `source`").says("did you mean \"scene.ron\"?");
    ran.says("graph files there: camera.ron, folder.ron, image.ron, scene.ron").says("1 error, 0 warnings");
}

#[test]
fn a_drawn_scene_is_answered_about_and_is_the_same_for_the_same_number() {
    let machine = FreshMachine::new();
    let ran = |number: &str| machine.run(look(&["source=scene", &format!("scene={number}")], &[])).exits(0);
    let (once, again, other) = (ran("3"), ran("3"), ran("4"));
    assert!(once.stdout.starts_with("There "), "{}", once.stdout);
    assert_eq!(once.stdout, again.stdout);
    assert_ne!(once.stdout, other.stdout);
    once.says("scene 3");
}

#[test]
fn a_folder_is_answered_about_with_its_picture_named() {
    let machine = FreshMachine::new();
    let folder = machine.path("album");
    fs::create_dir(&folder).unwrap();
    fs::copy(format!("{SAMPLES}/scene-00.png"), folder.join("scene-00.png")).unwrap();
    fs::write(folder.join("notes.txt"), "no picture").unwrap();
    let ran = machine.run(look(&["source=folder", "folder=album"], &[])).exits(0);
    assert_eq!(ran.stdout, SCENE_00);
    ran.says("scene-00.png");
}

#[test]
fn a_camera_that_is_not_there_is_named_with_exit_code_69() {
    let machine = FreshMachine::new();
    let ran = machine.run(look(&["source=camera", "device=/dev/video987"], &[])).exits(69);
    assert_eq!(ran.stdout, "");
    ran.says("/dev/video987");
}

#[test]
fn at_a_terminal_the_picture_is_shown_and_a_follow_up_question_uses_what_was_seen() {
    let machine = FreshMachine::new();
    let mut command = machine.command(look(&[&sample("scene-00.png")], &["--report", "report.json"]));
    command.env("TERM", "xterm-256color").env("COLORTERM", "truecolor");
    let mut terminal = Terminal::open(&mut command);
    let first = terminal.read_until("orange digit 0.");
    assert!(first.contains("> What do you see?") && first.contains("scene-00.png"), "{first:?}");
    assert_eq!(first.lines().filter(|line| line.matches('▀').count() == 28).count(), 14, "no preview in {first:?}");
    terminal.read_until("> ");
    terminal.write("How many things do you see?\r");
    let second = terminal.read_until("There are two objects.");
    assert!(!second.contains('▀'), "the same picture again: {second:?}");
    terminal.read_until("> ");
    terminal.write("\u{4}");
    let rest = terminal.read_to_end();
    assert!(rest.contains("2 of 2 requests answered"), "{rest:?}");
    assert_eq!(terminal.exit_code(), Some(0), "{rest:?}");
    let report = report(&machine);
    let eye = report["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "eye").unwrap();
    assert_eq!(eye["counters"]["cache_hits"], 1, "the picture was encoded twice: {eye:#}");
}

#[test]
fn who_wants_no_colours_is_shown_the_name_alone() {
    let machine = FreshMachine::new();
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = machine.command(look(&[&sample("scene-00.png")], &[]));
        command.env("TERM", "xterm-256color").env(variable.0, variable.1);
        let mut terminal = Terminal::open(&mut command);
        let shown = terminal.read_until("orange digit 0.");
        assert!(shown.contains("scene-00.png") && !shown.contains('▀'), "{variable:?}: {shown:?}");
        terminal.read_until("> ");
        terminal.write("\u{4}");
        terminal.read_to_end();
        assert_eq!(terminal.exit_code(), Some(0), "{variable:?}");
    }
}

#[test]
fn a_stream_of_pictures_is_answered_about_one_by_one_and_what_came_too_early_is_counted() {
    let machine = FreshMachine::new();
    let folder = machine.path("album");
    fs::create_dir(&folder).unwrap();
    for name in ["scene-00.png", "scene-01.png"] {
        fs::copy(format!("{SAMPLES}/{name}"), folder.join(name)).unwrap();
    }
    let sets = ["source=folder", "folder=album", "every=500ms"];
    let ran = machine.run(run("watch.ron", &sets, &["--report", "report.json"])).exits(0);
    let edges = report(&machine)["edges"].as_array().unwrap().clone();
    let to_eye = edges.iter().find(|edge| edge["edge"] == "source.picture.image → eye.image").unwrap();
    // A machine that needs longer than the time between the pictures looks at the second alone.
    let expected = match to_eye["dropped"].as_u64() {
        Some(0) => format!("{SCENE_00}There is a small white digit 6.\n"),
        _ => "There is a small white digit 6.\n".to_owned(),
    };
    assert_eq!(ran.stdout, expected, "{to_eye:#}");
}

#[test]
fn a_simulated_battery_takes_the_ladder_down_every_rung_and_the_run_ends_when_it_is_told_to() {
    let machine = FreshMachine::new();
    let arguments = ["--battery", "simulated:6s", "--for", "8s", "--report", "report.json"];
    let ran = machine.run(run("ladder.ron", &["every=100ms"], &arguments)).exits(0);
    assert!(ran.stdout.contains("object"), "nothing was seen:\n{}", ran.stdout);
    let report = report(&machine);
    assert_eq!(report["end"], "finished");
    let decisions = report["decisions"].as_array().unwrap().iter();
    let modes: Vec<_> = decisions.filter_map(|record| record["decision"]["change"]["mode"]["to"].as_str()).collect();
    assert_eq!(modes, ["balanced", "power-saver"], "{report:#}");
    assert!(report["memory"]["between_stages"]["times"].as_u64().unwrap() > 0, "no brick worked in turn:\n{report:#}");
    assert_eq!(report["memory"]["between_stages"]["weights"], 0);
    let machine = FreshMachine::new();
    let ran = machine.run(run("ladder.ron", &[], &["--battery", "simulated:soon"])).exits(2);
    ran.says("expected a number with a unit");
}
