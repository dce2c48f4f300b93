//! Kinds of nodes that a program registers itself: the same checks and the same diagnostics as for ours.
use std::{path::Path, process::Command};

use nanomind::{
    actors::{GraphFiles, NodeContext, NodeError, NodeLibrary, StoredModels},
    bricks::store::{Store, StoreSettings},
    graphs::{Drawing, FieldSpec, Machine, NodeSpec, Overrides, PortSpec, PortType, Source, Surroundings, check},
};

use crate::command::FreshMachine;

async fn nothing(_: NodeContext) -> Result<(), NodeError> {
    Ok(())
}

fn mistakes(graph: &str) -> String {
    let mut library = NodeLibrary::standard().unwrap();
    let spec = NodeSpec::sink("Lamp", "Lights up.")
        .input(PortSpec::new("text", PortType::Text, "What to show."))
        .field(FieldSpec::integer("brightness", 0..=100, "How bright.").unit("%").default(50));
    library.register(spec, |_| Ok(nothing)).unwrap();
    let machine = FreshMachine::new();
    let home = machine.path("nanomind");
    let settings = StoreSettings::from_variables(|name| (name == "NANOMIND_HOME").then(|| home.clone().into()));
    let models = StoredModels::new(Store::open(settings.unwrap()));
    let offered = Machine::default();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &GraphFiles, models: &models, machine: &offered };
    match check(Source::new("lamp.ron", graph), &Overrides::none(), surroundings) {
        Ok(_) => String::new(),
        Err(report) => report.draw(Drawing::PLAIN),
    }
}

const LAMP: &str = r#"Graph(
    name: "lamp",
    nodes: { "words": Prompt(text: "hi"), "lamp": Lamp(brightness: 70) },
    edges: [("words.text", "lamp.text")],
)"#;

#[test]
fn a_registered_kind_is_checked_like_any_other() {
    assert_eq!(mistakes(LAMP), "");
    let field = mistakes(&LAMP.replace("brightness:", "brightnes:"));
    assert!(field.contains("lamp.ron:3:") && field.contains("brightness"), "{field}");
    let bounds = mistakes(&LAMP.replace("70", "101"));
    assert!(bounds.contains("100"), "{bounds}");
    let kind = mistakes(&LAMP.replace("Lamp(", "Lump("));
    assert!(kind.contains("Lamp"), "{kind}");
    let port = mistakes(&LAMP.replace("lamp.text", "lamp.test"));
    assert!(port.contains("lamp.ron:4:") && port.contains("text"), "{port}");
}

/// The example's program. Cargo builds it beside the tests unless a single test binary was asked for.
fn example(name: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_nanomind")).with_file_name("examples").join(name);
    if !binary.is_file() {
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--profile", profile, "--example", name]);
        assert!(cargo.status().unwrap().success(), "the example {name} cannot be built");
    }
    Command::new(binary)
}

#[test]
fn the_example_with_a_node_of_its_own_runs_and_explains_mistakes() {
    let machine = FreshMachine::new();
    let output = example("own_node").arg("times=2").env("NANOMIND_HOME", machine.path("home")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello hello\n", "{output:?}");
    let output = example("own_node").arg("times=11").env("NANOMIND_HOME", machine.path("home")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("times") && told.contains("10"), "{told}");
}

#[test]
fn the_example_assistant_answers_with_a_model_file() {
    let machine = FreshMachine::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/language_llama_gqa_f32.gguf");
    let output =
        example("assistant").args(["hello", model]).env("NANOMIND_HOME", machine.path("home")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}
