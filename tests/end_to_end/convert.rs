//! `nanomind convert` makes files that nanomind runs, says what it made, and keeps its exit codes.
use std::process::{Command, Stdio};

use serde_json::json;

use crate::command::{FreshMachine, names_in};

// Of this folder's many ways to be spoilt, a command needs few.
#[allow(dead_code)]
#[path = "../../bricks/tests/convert/folder.rs"]
mod folder;

use folder::ModelFolder;

#[test]
fn a_vision_language_model_becomes_two_files_and_a_table() {
    let machine = FreshMachine::new();
    ModelFolder::new("smolvlm").write(&machine.path("SmolVLM"));
    let ran = machine.run(["convert", "SmolVLM", "--quant", "q4_0", "-o", "models"]).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("FILE") && lines[0].contains("BITS/WEIGHT"), "{lines:?}");
    assert!(lines[1].starts_with("models/SmolVLM.gguf") && lines[1].contains("llama"), "{lines:?}");
    assert!(lines[2].starts_with("models/mmproj-SmolVLM.gguf") && lines[2].contains("clip (idefics3)"), "{lines:?}");
    let shown = machine.run(["show", "models/SmolVLM.gguf", "--format", "json"]).exits(0);
    assert_eq!(shown.json()["architecture"], "llama");
}

#[test]
fn a_converted_model_is_measured_like_any_other() {
    let machine = FreshMachine::new();
    ModelFolder::new("qwen2").write(&machine.path("in"));
    let ran =
        machine.run(["convert", "in", "--quant", "q8_0", "-o", ".", "--name", "small", "--format", "json"]).exits(0);
    let file = &ran.json()["files"][0];
    assert_eq!((&file["path"], &file["architecture"]), (&json!("./small.gguf"), &json!("qwen2")));
    let fallback = json!({ "tensor": "blk.0.ffn_down.weight", "width": 72, "wanted": "Q8_0", "written": "F16" });
    assert_eq!(file["fallbacks"][0], fallback);
    let bench = ["bench", "-m", "small.gguf", "-p", "4", "-n", "4", "-r", "1", "--format", "json"];
    assert_eq!(machine.run(bench).exits(0).json().as_array().map(Vec::len), Some(2));
}

#[test]
fn mistakes_have_their_exit_codes_and_say_what_to_do() {
    let machine = FreshMachine::new();
    ModelFolder::new("llama").write(&machine.path("in"));
    machine.run(["convert", "in", "-o", "out"]).exits(0);
    machine.run(["convert", "in", "-o", "out"]).exits(1).says("out/in.gguf is there already").says("--force");
    machine.run(["convert", "in", "-o", "out", "--force"]).exits(0);
    let none = "expected a folder with a Hugging Face model, found none at nowhere";
    machine.run(["convert", "nowhere", "-o", "out"]).exits(1).says(none);
    machine.run(["convert", "in", "--quant", "q3_k", "-o", "out"]).exits(2);
    machine.run(["convert", "in", "-o", "out", "--name", "../escaped"]).exits(2);
    let mut unknown = ModelFolder::new("llama");
    unknown.config["architectures"] = json!(["GPT2LMHeadModel"]);
    unknown.write(&machine.path("unknown"));
    machine.run(["convert", "unknown", "-o", "out"]).exits(65).says("LlavaOnevisionForConditionalGeneration");
    assert_eq!(names_in(&machine.path("out")), ["in.gguf"], "a refusal leaves nothing");
}

#[test]
fn ctrl_c_leaves_nothing_half_made() {
    let machine = FreshMachine::new();
    let mut folder = ModelFolder::new("llama");
    // Large enough to be caught in the middle.
    folder.config["intermediate_size"] = json!(20_000);
    for (name, shape) in &mut folder.shapes {
        if name.contains("mlp.") {
            shape.iter_mut().filter(|dim| **dim == 96).for_each(|dim| *dim = 20_000);
        }
    }
    folder.write(&machine.path("in"));
    let mut command = machine.command(["convert", "in", "--quant", "q4_0", "-o", "out"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The file beside its place is the sign that it is at work.
    while names_in(&machine.path("out")).is_empty() {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("ended before it wrote anything: {status}");
        }
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "kill: {sent}");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // It may just have been done.
    if output.status.code() != Some(0) {
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(stderr.contains("interrupted; nothing was written"), "{stderr}");
        assert_eq!(names_in(&machine.path("out")), [""; 0], "{stderr}");
    }
}
