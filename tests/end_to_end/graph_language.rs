//! The graph language as a person meets it: broken graphs with what is said about each, and sound ones with their plans.
use std::{fs, path::Path, time::Duration};

use nanomind::{
    graphs::{
        ElementType, FieldSpec, FieldType, LoadError, Loader, Machine, MemoryNeed, ModelCatalogue, ModelFacts,
        ModelProblem, ModelWidth, NodeSpec, Overrides, Plan, PortSpec, PortType, Registry, Report, Source, SpecError,
        Surroundings, Width, check,
    },
    hal::{AcceleratorId, AcceleratorKind::{Cpu, Gpu, Npu}},
};

const BROKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken_graphs");

/// Node kinds of a camera assistant with a voice, as an application would register them.
fn registry() -> Result<Registry, SpecError> {
    let image = || PortSpec::new("image", PortType::Image, "The picture.");
    let text = |name: &str| PortSpec::new(name, PortType::Text, "The text.");
    let sound = |name: &str| PortSpec::new(name, PortType::Audio, "The sound.");
    let rows = |which: ModelWidth| PortType::Embeddings {
        width: Width::OfModel { field: "model".into(), which },
        element: ElementType::F32,
    };
    let every = Duration::from_millis(10)..=Duration::from_secs(3600);
    let kinds = [
        NodeSpec::sensor("Camera", "Takes pictures.")
            .output(PortSpec::new("frame", PortType::Image, "One picture."))
            .field(FieldSpec::path("device", "The camera's device file."))
            .field(FieldSpec::duration("every", every, "Time between pictures.").default(Duration::from_secs(1)))
            .field(FieldSpec::integer("width", 16..=7680, "Width of a picture.").unit("pixels").default(640)),
        NodeSpec::sensor("Microphone", "Records sound.")
            .output(sound("audio"))
            .field(FieldSpec::text("device", "The sound device.").default("default"))
            .field(FieldSpec::choice("format", &["s16", "f32"], "Sample format.").default("s16"))
            .field(FieldSpec::integer("rate", 8000..=96_000, "Samples a second.").unit("Hz").default(16_000)),
        NodeSpec::sensor("Prompt", "Asks a person.")
            .output(text("text"))
            .field(FieldSpec::text("text", "Asked once instead of reading a terminal.").optional())
            .field(FieldSpec::bool("stdin", "Reads standard input.").default(false)),
        NodeSpec::brick("VisionEncoder", "Turns a picture into patches.")
            .input(image())
            .output(PortSpec::new("patches", rows(ModelWidth::Encoder), "One row a patch."))
            .field(FieldSpec::model("model", "The vision model."))
            .runs_on(&[Cpu, Gpu, Npu])
            .memory(MemoryNeed::Model { field: "model".into(), context: None }),
        NodeSpec::brick("Projector", "Turns patches into rows for the language model.")
            .input(PortSpec::new("patches", rows(ModelWidth::Encoder), "One row a patch."))
            .output(PortSpec::new("tokens", rows(ModelWidth::Projection), "One row a token."))
            .field(FieldSpec::model("model", "The projector."))
            .runs_on(&[Cpu, Gpu])
            .memory(MemoryNeed::Model { field: "model".into(), context: None }),
        NodeSpec::brick("Llm", "Answers.")
            .input(text("prompt"))
            .input(PortSpec::new("image", rows(ModelWidth::Embedding), "Rows of a picture.").latched().optional())
            .output(text("text"))
            .output(PortSpec::new("done", PortType::Event, "The answer is complete."))
            .field(FieldSpec::model("model", "The language model."))
            .field(
                FieldSpec::integer("context", 64..=131_072, "Tokens that prompt and answer may have.")
                    .unit("tokens")
                    .default(2048),
            )
            .field(FieldSpec::number("temperature", 0.0..=2.0, "Randomness of the choice; 0 is greedy.").default(0.7))
            .field(FieldSpec::integer("max_tokens", 1..=65_536, "Longest answer.").unit("tokens").default(512))
            .field(FieldSpec::integer("seed", 0..=i64::MAX, "Start of the random choice.").optional())
            .field(FieldSpec::text("system", "Instruction before the conversation.").default("You are a helpful assistant."))
            .field(FieldSpec::list("stop", FieldType::Text, "Texts that end the answer.").optional())
            .runs_on(&[Cpu, Gpu])
            .memory(MemoryNeed::Model { field: "model".into(), context: Some("context".into()) }),
        NodeSpec::brick("Whisper", "Writes down what is said.")
            .input(sound("audio"))
            .output(text("text"))
            .field(FieldSpec::bytes("buffer", 1024..=1 << 30, "Sound kept at most.").default("8MiB"))
            .runs_on(&[Npu]),
        NodeSpec::brick("Join", "Puts the texts of one request together.")
            .input(text("first").joined())
            .input(text("second").joined())
            .output(text("text")),
        NodeSpec::brick("Delay", "Gives its input one step later.").input(text("now")).output(text("before")).delays(),
        NodeSpec::sink("Stdout", "Prints.").input(text("text")),
        NodeSpec::sink("Screen", "Shows.").input(image()),
        NodeSpec::sink("Speaker", "Plays.").input(sound("audio")),
    ];
    let mut registry = Registry::new();
    for kind in kinds {
        registry.register(kind)?;
    }
    Ok(registry)
}

/// A catalogue with a few models, none of which is opened.
struct Models;

impl ModelCatalogue for Models {
    fn facts(&self, model: &str) -> Result<ModelFacts, ModelProblem> {
        let facts = |architecture: &str| ModelFacts {
            reference: model.to_owned(),
            path: format!("/models/{model}").into(),
            architecture: architecture.to_owned(),
            ..ModelFacts::default()
        };
        match model {
            "smollm2-135m" => Ok(ModelFacts {
                embedding_width: Some(576),
                context_length: Some(8192),
                weight_bytes: 98_362_432,
                kv_bytes_per_token: 23_040,
                ..facts("llama")
            }),
            "scene.gguf" => Ok(ModelFacts {
                embedding_width: Some(896),
                context_length: Some(32_768),
                weight_bytes: 352_000_000,
                kv_bytes_per_token: 12_288,
                ..facts("qwen2")
            }),
            "scene-mmproj.gguf" | "llava-mmproj.gguf" => Ok(ModelFacts {
                encoder_width: Some(if model.starts_with("scene") { 768 } else { 1024 }),
                projection_width: Some(if model.starts_with("scene") { 896 } else { 4096 }),
                weight_bytes: 190_000_000,
                ..facts("clip")
            }),
            "qwen2.5-0.5b" => Err(ModelProblem::NotPresent {
                how_to_get: "nanomind pull qwen2.5-0.5b".into(),
                bytes: Some(397_807_936),
            }),
            "cut.gguf" => Err(ModelProblem::Unreadable {
                path: "cut.gguf".into(),
                reason: "tensor_data: expected 98362432 bytes, found 1048576".into(),
            }),
            _ => Err(ModelProblem::Unknown {
                known: ["smollm2-135m", "qwen2.5-0.5b", "scene.gguf", "scene-mmproj.gguf"].map(str::to_owned).to_vec(),
            }),
        }
    }
}

/// Reads includes from the folder of the broken graphs.
struct Folder;

impl Loader for Folder {
    fn read(&self, path: &str, _limit: usize) -> Result<String, LoadError> {
        let file = Path::new(BROKEN).join(path);
        fs::read_to_string(&file).map_err(|_| {
            let folder = file.parent().and_then(|folder| fs::read_dir(folder).ok());
            let mut beside: Vec<String> = folder
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter(|name| name.ends_with(".ron") && path.starts_with("parts/"))
                .collect();
            beside.sort();
            LoadError::NotFound { beside }
        })
    }
}

fn machine() -> Machine {
    let accelerators = ["cpu", "cpu:0", "cpu:1"].map(|id| id.parse::<AcceleratorId>().unwrap()).to_vec();
    Machine { accelerators, memory: Some(2 << 30) }
}

fn check_text(name: &str, text: &str, overrides: &Overrides) -> Result<Plan, Report> {
    let registry = registry().unwrap();
    let machine = machine();
    let surroundings =
        Surroundings { registry: &registry, loader: &Folder, models: &Models, machine: &machine };
    check(Source::new(name, text), overrides, surroundings)
}

/// The command line in the first line of a graph: `// nanomind validate x.ron --set a=b`.
fn overrides_in(text: &str) -> Overrides {
    let mut overrides = Overrides::none();
    let mut words = text.lines().next().filter(|line| line.starts_with("// nanomind")).unwrap_or("").split(' ');
    while let Some(word) = words.next() {
        let setting = |setting: Option<&str>| {
            let (name, value) = setting.and_then(|setting| setting.split_once('=')).unwrap();
            (name.to_owned(), value.to_owned())
        };
        match word {
            "--set" => overrides.params.push(setting(words.next())),
            "--place" => overrides.placements.push(setting(words.next())),
            _ => {}
        }
    }
    overrides
}

fn broken_graphs() -> Vec<(String, String)> {
    let mut graphs: Vec<(String, String)> = fs::read_dir(BROKEN)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    graphs.sort();
    graphs
}

#[test]
fn every_broken_graph_gets_its_mistakes_told_in_one_go() {
    let graphs = broken_graphs();
    assert!(graphs.len() >= 40, "only {} broken graphs", graphs.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../broken_graphs/told");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, text) in graphs {
            let report = match check_text(&format!("{name}.ron"), &text, &overrides_in(&text)) {
                Err(report) => report,
                Ok(plan) => plan.warnings().clone(),
            };
            assert!(!report.is_empty(), "{name}.ron is not broken");
            for diagnostic in report.diagnostics() {
                assert!(!diagnostic.labels.is_empty(), "{name}.ron: {} points nowhere", diagnostic.message);
            }
            insta::assert_snapshot!(name, report);
        }
    });
}
