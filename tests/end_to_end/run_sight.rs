//! `nanomind run` of the shipped camera assistant on the shipped model: answers, exit codes, copied bytes.
use std::path::Path;

use serde_json::Value;

use crate::command::FreshMachine;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// `run` of the graph about the picture at `image`, and these arguments.
fn look(image: &str, arguments: &[&str]) -> Vec<String> {
    let scene = |name: &str| Path::new(REPOSITORY).join("examples/models/scene").join(name).display().to_string();
    let graph = Path::new(REPOSITORY).join("graphs/library/camera-assistant.ron").display().to_string();
    let sets = [
        format!("image={image}"),
        format!("vision={}", scene("scene-mmproj.gguf")),
        format!("model={}", scene("scene.gguf")),
    ];
    let sets = sets.into_iter().flat_map(|set| ["--set".to_owned(), set]);
    let rest = arguments.iter().map(|&argument| argument.to_owned());
    ["run".to_owned(), graph].into_iter().chain(sets).chain(rest).collect()
}

#[test]
fn the_camera_assistant_answers_about_a_picture_and_copies_no_embedding() {
    let machine = FreshMachine::new();
    let image = format!("{REPOSITORY}/examples/models/scene/samples/scene-00.png");
    let ran = machine.run(look(&image, &["--report", "report.json"])).exits(0);
    assert_eq!(ran.stdout, "There are two objects: a small television and a large orange digit 0.\n");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(machine.path("report.json")).unwrap()).unwrap();
    let pools = report["pools"].as_array().unwrap();
    let copied: Vec<_> = pools.iter().map(|pool| (&pool["pool"], &pool["copied_bytes"])).collect();
    assert_eq!(copied, [(&"eye.patches".into(), &0.into()), (&"projector.tokens".into(), &0.into())]);
}

#[test]
fn a_file_that_is_no_picture_is_named_with_what_was_found_and_the_exit_code_is_1() {
    let machine = FreshMachine::new();
    let image = machine.file("cat.png", "meow").display().to_string();
    let ran = machine.run(look(&image, &[])).exits(1);
    assert_eq!(ran.stdout, "");
    ran.says("cat.png").says("expected a JPEG, PNG, WebP, BMP or GIF image").says("meow");
}
