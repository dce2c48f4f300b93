//! A language model on a graphics processor: Mesa's on the processor, where there is no other.
use serde_json::Value;

use crate::{
    command::FreshMachine,
    run_chat::{chat, report, repository},
};

fn answer(report: &Value) -> &Value {
    let mind = report["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "mind").unwrap();
    &mind["answers"][0]
}

#[test]
fn an_answer_from_a_graphics_processor_is_that_of_the_cores() {
    let machine = FreshMachine::new();
    let on = |place: &str| {
        let place = format!("mind={place}");
        machine.run(chat(&["--set", "prompt=hello", "--place", &place, "--report", "report.json"])).exits(0);
        report(&machine)
    };
    let (cores, gpu) = (on("cpu"), on("gpu"));
    assert_eq!(answer(&gpu)["token_ids"], answer(&cores)["token_ids"]);
    let places = answer(&gpu)["generated_on"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(places, ["gpu"]);
}

/// The chat graph with a mind that may go to either.
fn wandering(machine: &FreshMachine, arguments: &[&str]) -> Vec<String> {
    let graph = std::fs::read_to_string(repository("graphs/library/chat.ron")).unwrap();
    let preferring = graph.replace("\"mind\": Auto", "\"mind\": Prefer([\"gpu\", \"cpu\"])");
    assert_ne!(graph, preferring);
    let path = machine.file("wandering.ron", preferring);
    let mut arguments = chat(arguments);
    arguments[1] = path.display().to_string();
    arguments
}

#[test]
fn an_answer_that_moves_between_cores_and_graphics_processor_has_the_tokens_of_one_that_stays() {
    let machine = FreshMachine::new();
    machine.run(chat(&["--set", "prompt=hello", "--place", "mind=cpu", "--report", "report.json"])).exits(0);
    let stayed = report(&machine);
    let arguments = ["--set", "prompt=hello", "--migrate-every", "5", "--report", "report.json"];
    machine.run(wandering(&machine, &arguments)).exits(0);
    let moved = report(&machine);
    assert_eq!(answer(&moved)["token_ids"], answer(&stayed)["token_ids"]);
    let places = answer(&moved)["generated_on"].as_object().unwrap();
    assert!(places.len() >= 2 && places.contains_key("gpu"), "{moved:#}");
}

#[test]
fn a_bench_names_the_graphics_processor_that_it_measures() {
    let model = repository("tests/fixtures/language_llama_gqa_q8_0.gguf");
    let ran = FreshMachine::new()
        .run(["bench", "-m", &model, "-p", "8", "-n", "4", "-r", "1", "--accelerator", "gpu", "--format", "json"])
        .exits(0);
    for record in ran.json().as_array().unwrap() {
        assert_ne!(record["backends"], "CPU", "{record}");
        assert!(!record["gpu_info"].as_str().unwrap().is_empty(), "{record}");
    }
}

#[test]
fn a_graphics_processor_that_is_not_there_is_missed_by_whoever_needs_it() {
    let mut machine = FreshMachine::new();
    machine.set("VK_DRIVER_FILES", "/nowhere/driver.json");
    machine.set("VK_ICD_FILENAMES", "/nowhere/driver.json");
    machine.run(chat(&["--set", "prompt=hello", "--place", "mind=gpu"])).exits(69).says("install");
    let model = repository("tests/fixtures/language_llama_gqa_q8_0.gguf");
    machine.run(["bench", "-m", &model, "--accelerator", "gpu"]).exits(69).says("install");
    machine.run(wandering(&machine, &["--set", "prompt=hello"])).exits(0);
}
