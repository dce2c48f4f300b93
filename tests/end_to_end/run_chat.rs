//! `nanomind run` on a small random model, as a person or a script uses it: answers, reports, moves, exit codes, Ctrl-C.
use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::command::FreshMachine;

pub fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// `run` of the chat graph with a model of the repository, greedy, and these arguments.
pub fn chat(arguments: &[&str]) -> Vec<String> {
    let model = format!("model={}", repository("tests/fixtures/language_llama_gqa_f32.gguf"));
    let mut all = vec!["run".to_owned(), repository("graphs/library/chat.ron")];
    for set in [model.as_str(), "context=256", "temperature=0", "max_tokens=24", "seed=1"] {
        all.extend(["--set".to_owned(), set.to_owned()]);
    }
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all
}

pub fn report(machine: &FreshMachine) -> Value {
    serde_json::from_str(&std::fs::read_to_string(machine.path("report.json")).unwrap()).unwrap()
}

fn answer(report: &Value) -> &Value {
    let mind = report["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "mind").unwrap();
    &mind["answers"][0]
}

#[test]
fn a_prompt_from_an_argument_and_the_same_from_a_pipe_get_the_same_answer_on_stdout_alone() {
    let machine = FreshMachine::new();
    let asked = machine.run(chat(&["--set", "prompt=hello there"])).exits(0).says("first token after");
    let piped = machine.run_with_input(chat(&[]), "hello there\n").exits(0).says("tokens/s");
    assert!(!asked.stdout.is_empty() && asked.stdout.ends_with('\n'), "{:?}", asked.stdout);
    assert_eq!(asked.stdout, piped.stdout);
}

#[test]
fn the_report_holds_times_counts_and_places_and_quiet_keeps_stderr_empty() {
    let machine = FreshMachine::new();
    let ran = machine.run(chat(&["--set", "prompt=hello", "--quiet", "--report", "report.json"])).exits(0);
    assert_eq!(ran.stderr, "");
    let report = report(&machine);
    let answer = answer(&report);
    assert_eq!((&report["end"], &report["requests"]["answered"]), (&"finished".into(), &1.into()), "{report:#}");
    assert_eq!(report["energy"]["bricks"], "unmeasured", "no device was named: {report:#}");
    assert_eq!(report["edges"][1]["edge"], "mind.text → reply.text");
    let generated = answer["generated_tokens"].as_u64().unwrap();
    assert!((1..=24).contains(&generated), "{answer:#}");
    assert_eq!(answer["token_ids"].as_array().unwrap().len() as u64, generated);
}

#[test]
fn forced_migrations_leave_every_token_as_it_was() {
    let machine = FreshMachine::new();
    let still = machine.run(chat(&["--set", "prompt=hello", "--report", "report.json"])).exits(0);
    let still_report = report(&machine);
    let arguments = ["--set", "prompt=hello", "--migrate-every", "2", "--report", "report.json"];
    let moved = machine.run(chat(&arguments)).exits(0);
    let moved_report = report(&machine);
    assert_eq!(still.stdout, moved.stdout);
    assert_eq!(answer(&still_report)["token_ids"], answer(&moved_report)["token_ids"]);
    let moves = answer(&moved_report)["moves"].as_u64().unwrap();
    assert!(moves > 0, "{moved_report:#}");
}

#[test]
fn a_trace_of_a_run_can_be_summed_up() {
    let machine = FreshMachine::new();
    machine.run(chat(&["--set", "prompt=hello", "--trace", "trace.json"])).exits(0);
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(machine.path("trace.json")).unwrap()).unwrap();
    assert!(trace.as_array().is_some_and(|events| events.len() > 20), "{trace:#}");
    let summed = machine.run(["trace", "summary", "trace.json"]).exits(0);
    summed.prints("mind.text → reply.text").prints("decode").prints("PREDICTED");
}

#[test]
fn a_placement_from_the_command_line_is_kept_to() {
    let machine = FreshMachine::new();
    let arguments = ["--set", "prompt=hello", "--place", "mind=cpu:1", "--report", "report.json"];
    machine.run(chat(&arguments)).exits(0);
    let report = report(&machine);
    let places = answer(&report)["generated_on"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(places, ["cpu:1"]);
    machine.run(chat(&["--set", "prompt=hello", "--place", "mind=cpu:77"])).exits(69).says("cpu:77");
}

#[test]
fn what_is_wrong_with_the_graph_or_the_command_line_is_said_before_anything_runs() {
    let machine = FreshMachine::new();
    machine.run(["run", "nothing.ron"]).exits(65).says("nothing.ron");
    machine.run(chat(&["--set", "temprature=0"])).exits(65).says("temperature");
    machine.run(chat(&["--set", "max_tokens=-1"])).exits(65).says("max_tokens");
    machine.run(chat(&["--set", "nonsense"])).exits(2).says("NAME=VALUE");
    machine.run(chat(&["--cpu-groups", "0-99999"])).exits(2);
    machine.file("broken.gguf", "GGUF\u{3}\0\0\0");
    machine.run(chat(&["--set", "model=broken.gguf"])).exits(65).says("broken.gguf");
}

#[test]
fn a_model_that_is_not_here_is_named_with_the_way_to_get_it() {
    let machine = FreshMachine::new();
    let graph = repository("graphs/library/chat.ron");
    machine.run(["run", &graph, "--set", "prompt=hello"]).exits(1).says("nanomind pull smollm2-135m");
    machine.run(["run", &graph, "--set", "prompt=hello", "--offline", "--yes"]).exits(1).says("--offline");
}

#[test]
fn an_empty_pipe_is_an_error_that_says_so() {
    FreshMachine::new().run_with_input(chat(&[]), "\n").exits(1).says("standard input is empty");
}

/// A graph that answers so many questions that nobody waits for its end.
pub fn endless(machine: &FreshMachine) -> Vec<String> {
    let model = repository("tests/fixtures/language_llama_gqa_f32.gguf");
    let graph = format!(
        r#"Graph(
            name: "endless",
            nodes: {{
                "questions": Timer(every: "1ms", text: "hello"),
                "mind":      Llm(model: "{model}", context: 256, temperature: 0, max_tokens: 100, history: false),
                "reply":     Stdout(),
            }},
            edges: [("questions.text", "mind.prompt"), ("mind.text", "reply.text")],
        )"#
    );
    machine.file("endless.ron", graph);
    ["run", "endless.ron", "--report", "report.json"].map(str::to_owned).into()
}

#[test]
fn a_reader_that_goes_away_ends_the_run_without_an_error() {
    let machine = FreshMachine::new();
    let mut child = start(&machine, &endless(&machine));
    child.stdout.take().unwrap().read_exact(&mut [0; 8]).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn one_interrupt_lets_what_was_asked_flow_out_and_reports() {
    let machine = FreshMachine::new();
    let mut child = start(&machine, &endless(&machine));
    let mut out = child.stdout.take().unwrap();
    let mut text = vec![0; 8];
    out.read_exact(&mut text).unwrap();
    interrupt(&child);
    out.read_to_end(&mut text).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(text.ends_with(b"\n"), "the last answer is complete");
    let report = report(&machine);
    let requests = &report["requests"];
    assert_eq!((&report["end"], &requests["answered"]), (&"drained".into(), &requests["minted"]), "{requests:#}");
}

#[test]
fn a_second_interrupt_stops_at_once_and_keeps_what_was_said() {
    let machine = FreshMachine::new();
    let mut child = start(&machine, &endless(&machine));
    let mut out = child.stdout.take().unwrap();
    let mut text = vec![0; 8];
    out.read_exact(&mut text).unwrap();
    interrupt(&child);
    interrupt(&child);
    out.read_to_end(&mut text).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(text.ends_with(b"\n"), "the last line is ended: {:?}", String::from_utf8_lossy(&text));
}

pub fn start(machine: &FreshMachine, arguments: &[String]) -> Child {
    machine.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill: {sent}");
}

#[test]
fn questions_from_a_file_get_their_answers_in_a_file() {
    let machine = FreshMachine::new();
    let mut questions = std::fs::File::create(machine.path("questions.txt")).unwrap();
    writeln!(questions, "hello\n\nhow are you?").unwrap();
    let model = repository("tests/fixtures/language_llama_gqa_f32.gguf");
    let graph = format!(
        r#"Graph(
            name: "batch",
            nodes: {{
                "questions": TextFile(path: "questions.txt"),
                "mind":      Llm(model: "{model}", context: 128, temperature: 0, max_tokens: 8, history: false),
                "answers":   TextSink(path: "answers.txt"),
            }},
            edges: [("questions.text", "mind.prompt"), ("mind.text", "answers.text")],
        )"#
    );
    machine.file("batch.ron", graph);
    machine.run(["run", "batch.ron", "--report", "report.json"]).exits(0);
    assert!(!std::fs::read_to_string(machine.path("answers.txt")).unwrap().is_empty());
    assert_eq!(report(&machine)["requests"]["answered"], 2);
}
