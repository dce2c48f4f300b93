//! The graph language as a person meets it: broken graphs with what is said about each, and sound ones with their plans.
use std::{fs, path::Path, time::Duration};

use nanomind::{
    actors::NodeLibrary,
    graphs::{
        self, Demand, ElementType, FieldSpec, FieldType, Firing, LoadError, Loader, Machine, MemoryNeed,
        ModelCatalogue, ModelFacts, ModelProblem, ModelWidth, NodeSpec, Overrides, Placement, Plan, PortSpec, PortType,
        PowerPolicy, Queue, QueuePolicy, Registry, Report, RestartPolicy, Source, SpecError, Surroundings, Width,
        check,
        picture::{self, Outline},
        reference,
    },
    hal::{
        AcceleratorId,
        AcceleratorKind::{Cpu, Gpu, Npu},
        Phase,
    },
};

use crate::command::FreshMachine;

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
            .phases(&[Phase::Encode])
            .memory(MemoryNeed::Model { field: "model".into(), context: None, sequences: None, kv_format: None }),
        NodeSpec::brick("Projector", "Turns patches into rows for the language model.")
            .input(PortSpec::new("patches", rows(ModelWidth::Encoder), "One row a patch."))
            .output(PortSpec::new("tokens", rows(ModelWidth::Projection), "One row a token."))
            .field(FieldSpec::model("model", "The projector."))
            .runs_on(&[Cpu, Gpu])
            .memory(MemoryNeed::Model { field: "model".into(), context: None, sequences: None, kv_format: None }),
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
            .field(FieldSpec::choice("kv_cache", &["f16", "q8_0"], "How the KV cache is kept.").default("f16"))
            .field(FieldSpec::number("temperature", 0.0..=2.0, "Randomness of the choice; 0 is greedy.").default(0.7))
            .field(FieldSpec::integer("max_tokens", 1..=65_536, "Longest answer.").unit("tokens").default(512))
            .field(FieldSpec::integer("seed", 0..=i64::MAX, "Start of the random choice.").optional())
            .field(
                FieldSpec::text("system", "Instruction before the conversation.")
                    .default("You are a helpful assistant."),
            )
            .field(FieldSpec::list("stop", FieldType::Text, "Texts that end the answer.").optional())
            .runs_on(&[Cpu, Gpu])
            .phases(&[Phase::Prefill, Phase::Decode])
            .memory(MemoryNeed::Model {
                field: "model".into(),
                context: Some("context".into()),
                sequences: None,
                kv_format: Some("kv_cache".into()),
            }),
        panel(),
        NodeSpec::brick("Whisper", "Writes down what is said.")
            .input(sound("audio"))
            .output(text("text"))
            .field(FieldSpec::bytes("buffer", 1024..=1 << 30, "Sound kept at most.").default("8MiB"))
            .runs_on(&[Npu]),
        NodeSpec::brick("Listener", "Writes down what is said.")
            .input(sound("audio"))
            .output(text("text"))
            .runs_on(&[Cpu]),
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
        let formats = |of: &[(&str, u64)]| of.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
        // The shipped model under the path that a graph of the repository gives.
        let name = model.trim_start_matches("examples/models/scene/");
        match name {
            "smollm2-135m" => Ok(ModelFacts {
                embedding_width: Some(576),
                context_length: Some(8192),
                weight_bytes: 98_362_432,
                kv_bytes_per_token: 23_040,
                kv_bytes_by_format: formats(&[("f16", 23_040), ("q8_0", 12_240)]),
                ..facts("llama")
            }),
            // A person's own files, in an example.
            "scene.gguf" | "model.gguf" => Ok(ModelFacts {
                embedding_width: Some(896),
                context_length: Some(32_768),
                weight_bytes: 352_000_000,
                kv_bytes_per_token: 12_288,
                // As if its heads were no whole number of blocks.
                kv_bytes_by_format: formats(&[("f16", 12_288)]),
                ..facts("qwen2")
            }),
            "scene-mmproj.gguf" | "mmproj.gguf" | "llava-mmproj.gguf" => Ok(ModelFacts {
                encoder_width: Some(if name.starts_with("llava") { 1024 } else { 768 }),
                projection_width: Some(if name.starts_with("llava") { 4096 } else { 896 }),
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
    Machine { accelerators, memory: Some(2 << 30), ..Machine::default() }
}

fn check_text(name: &str, text: &str, overrides: &Overrides) -> Result<Plan, Report> {
    let registry = registry().unwrap();
    let machine = machine();
    let surroundings = Surroundings { registry: &registry, loader: &Folder, models: &Models, machine: &machine };
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

/// A kind that answers several requests at once, each with a KV cache of its own, if they see no history.
fn panel() -> NodeSpec {
    NodeSpec::brick("Panel", "Answers several at once.")
        .input(PortSpec::new("question", PortType::Text, "Text."))
        .output(PortSpec::new("answer", PortType::Text, "Text."))
        .field(FieldSpec::model("model", "The language model."))
        .field(FieldSpec::integer("tokens", 64..=131_072, "Tokens of each.").unit("tokens").default(2048))
        .field(FieldSpec::integer("voices", 1..=64, "Answers at once.").default(1))
        .field(FieldSpec::bool("history", "Whether they see the turns before.").default(true))
        .demand(Demand {
            field: "voices".into(),
            above: 1,
            other: "history".into(),
            value: false,
            reason: "answers that are given at once have no turns before them: set history: false".into(),
        })
        .runs_on(&[Cpu])
        .memory(MemoryNeed::Model {
            field: "model".into(),
            context: Some("tokens".into()),
            sequences: Some("voices".into()),
            kv_format: None,
        })
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

/// A camera assistant with every sort of edge and placement, an include, and a cycle through a delay.
const ASSISTANT: &str = r#"
Graph(
    name: "camera-assistant",
    include: [Include(file: "parts/ears.ron", as: "ears", params: { "rate": 48000 })],
    params: { "device": "/dev/video0", "who": "a helpful eye" },
    nodes: {
        "camera":    Camera(device: "$device", every: "250ms"),
        "eye":       VisionEncoder(model: "scene-mmproj.gguf"),
        "projector": Projector(model: "scene-mmproj.gguf"),
        "both":      Join(),
        "mind":      Llm(model: "scene.gguf", context: 4096, temperature: 0, stop: ["</s>", "\n\n"], seed: None, system: "You are ${who}."),
        "before":    Delay(),
        "reply":     Stdout(),
    },
    edges: [
        ("camera",           "eye",              Latest),
        ("eye.patches",      "projector.patches"),
        ("projector.tokens", "mind.image",       Queue(packets: 2, tokens: 1458)),
        ("ears.ear",         "both.first"),
        ("before",           "both.second",      Latched),
        ("both",             "mind.prompt",      Queue(policy: DropOldest, packets: 8)),
        ("mind.text",        "before"),
        ("mind.text",        "reply"),
    ],
    placement: { "eye": Prefer(["npu", "gpu", "cpu:1"]), "mind": Pin("cpu:0"), "*": Auto },
    restart: { "mind": Always(max: 5, within: "10s"), "*": Never },
    power: Adaptive(high: 0.50, low: 0.20),
)
"#;

fn assistant() -> Plan {
    check_text("assistant.ron", ASSISTANT, &Overrides::none()).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn a_sound_graph_becomes_a_plan_with_every_default_filled_in() {
    let plan = assistant();
    assert!(plan.warnings().is_empty(), "{}", plan.warnings());
    assert_eq!(plan.power(), PowerPolicy::Adaptive { high: 0.5, low: 0.2 });
    let mind = plan.node("mind").unwrap();
    assert_eq!(mind.integer("context"), Ok(4096));
    assert_eq!(mind.number("temperature"), Ok(0.0), "a whole number stands for a number");
    assert_eq!(mind.integer("max_tokens"), Ok(512), "the default");
    assert_eq!(mind.optional_integer("seed"), Ok(None));
    assert_eq!(mind.texts("stop"), Ok(vec!["</s>", "\n\n"]));
    assert_eq!(mind.model("model").unwrap().embedding_width, Some(896));
    assert_eq!(mind.placement, Placement::Pin("cpu:0".parse().unwrap()));
    assert_eq!(mind.restart, RestartPolicy::Always { max: 5, within: Duration::from_secs(10) });
    assert_eq!(
        mind.text("context").unwrap_err().to_string(),
        "node mind (Llm), field context: expected text, found integer"
    );
    let camera = plan.node("camera").unwrap();
    assert_eq!(camera.duration("every"), Ok(Duration::from_millis(250)));
    assert_eq!(camera.path("device"), Ok(Path::new("/dev/video0")), "the parameter's value");
    assert_eq!(camera.restart, RestartPolicy::Never, "what * says");
    assert_eq!(plan.node("ears.mic").unwrap().integer("rate"), Ok(48_000), "the include's parameter");
    assert_eq!(plan.node("ears.mic").unwrap().restart, RestartPolicy::Never, "* reaches into includes");
    let eye = plan.node("eye").unwrap();
    assert_eq!(eye.placement, Placement::Prefer(vec!["cpu:1".parse().unwrap()]), "npu and gpu are not here");

    let edge = |to: &str| plan.edges().iter().find(|edge| edge.to.to_string() == to).unwrap();
    let queue = |policy, packets, tokens| Queue { policy, packets, tokens };
    assert_eq!(edge("eye.image").queue, queue(QueuePolicy::Latest, 1, None));
    assert_eq!(edge("mind.image").queue, queue(QueuePolicy::Block, 2, Some(1458)));
    assert_eq!(edge("mind.image").firing, Firing::Latched, "the port's own");
    assert_eq!(
        edge("mind.image").ty,
        PortType::Embeddings { width: Width::Fixed(896), element: ElementType::F32 },
        "the width of the model's file"
    );
    assert_eq!(edge("mind.prompt").queue, queue(QueuePolicy::DropOldest, 8, None));
    assert_eq!(edge("both.first").firing, Firing::Joined);
    assert_eq!(edge("both.second").firing, Firing::Latched, "the edge's own");
    let owner = |share: &graphs::MemoryShare| format!("{}: {}", share.owner, share.what);
    let memory = plan.memory();
    assert_eq!(memory.total, memory.shares.iter().map(|share| share.bytes).sum::<u64>());
    let owners: Vec<String> = memory.shares.iter().map(owner).collect();
    assert_eq!(owners.iter().filter(|owner| owner.contains("weights of scene-mmproj")).count(), 1, "{owners:#?}");
    assert!(owners.contains(&"mind: KV cache of 4096 tokens".to_owned()), "{owners:#?}");
}

#[test]
fn a_cache_of_eight_bits_is_counted_as_what_it_takes() {
    let cache_bytes = |fields: &str| {
        let text = format!(
            r#"Graph(
                name: "chat",
                nodes: {{ "question": Prompt(stdin: true), "mind": Llm(model: "smollm2-135m"{fields}), "reply": Stdout() }},
                edges: [("question", "mind.prompt"), ("mind.text", "reply")],
            )"#
        );
        let plan = check_text("chat.ron", &text, &Overrides::none()).map_err(|report| report.to_string()).unwrap();
        let shares = plan.memory().shares.clone();
        shares.into_iter().find(|share| share.what == "KV cache of 2048 tokens").unwrap().bytes
    };
    assert_eq!(cache_bytes(""), 2048 * 23_040);
    assert_eq!(cache_bytes(r#", kv_cache: "q8_0""#), 2048 * 12_240);
}

/// A graph that sees, with this placement, checked for a machine whose GPU encodes and does nothing else.
fn check_with_encoding_gpu(placement: &str, accelerators: &[&str]) -> Result<Plan, String> {
    let text = format!(
        r#"Graph(
            name: "sight",
            nodes: {{
                "camera": Camera(device: "/dev/video0"),
                "eye": VisionEncoder(model: "scene-mmproj.gguf"),
                "projector": Projector(model: "scene-mmproj.gguf"),
                "question": Prompt(stdin: true),
                "mind": Llm(model: "scene.gguf"),
                "reply": Stdout(),
            }},
            edges: [
                ("camera", "eye"),
                ("eye", "projector"),
                ("projector", "mind.image"),
                ("question", "mind.prompt"),
                ("mind.text", "reply"),
            ],
            placement: {{ {placement} }},
        )"#
    );
    let id = |name: &&str| name.parse::<AcceleratorId>().unwrap();
    let phases = [(id(&"gpu"), vec![Phase::Encode])].into_iter().collect();
    let machine = Machine { accelerators: accelerators.iter().map(id).collect(), phases, memory: None };
    let registry = registry().unwrap();
    let surroundings = Surroundings { registry: &registry, loader: &Folder, models: &Models, machine: &machine };
    check(Source::new("sight.ron", text), &Overrides::none(), surroundings).map_err(|report| report.to_string())
}

#[test]
fn an_accelerator_that_cannot_decode_is_no_candidate_of_a_mind() {
    let plan = check_with_encoding_gpu(r#""*": Auto"#, &["cpu", "gpu"]).unwrap();
    let places =
        |name: &str| -> Vec<String> { plan.node(name).unwrap().candidates.iter().map(ToString::to_string).collect() };
    assert_eq!(places("mind"), ["cpu"]);
    assert_eq!(places("eye"), ["cpu", "gpu"]);

    let pinned = check_with_encoding_gpu(r#""mind": Pin("gpu")"#, &["cpu", "gpu"]).unwrap_err();
    for said in [
        r#"node "mind" (Llm) cannot run on the gpu of this machine"#,
        "gpu of this machine does not prefill or decode",
        "it can run on: cpu",
        "1 missing accelerator",
    ] {
        assert!(pinned.contains(said), "expected {said:?} in\n{pinned}");
    }
    let nowhere = check_with_encoding_gpu(r#""mind": Prefer(["gpu"])"#, &["cpu", "gpu"]).unwrap_err();
    assert!(nowhere.contains("gpu of this machine does not prefill or decode"), "{nowhere}");
    let alone = check_with_encoding_gpu(r#""*": Auto"#, &["gpu"]).unwrap_err();
    assert!(alone.contains(r#"no accelerator of this machine can run node "mind""#), "{alone}");
}

#[test]
fn settings_from_outside_win_over_the_graph() {
    let overrides = Overrides::none().set("device", "/dev/video2").set("who", "$device").place("mind", "cpu:1");
    let plan = check_text("assistant.ron", ASSISTANT, &overrides).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(plan.node("camera").unwrap().path("device"), Ok(Path::new("/dev/video2")));
    assert_eq!(plan.node("mind").unwrap().text("system"), Ok("You are $device."), "a value is taken as it is");
    assert_eq!(plan.node("mind").unwrap().placement, Placement::Pin("cpu:1".parse().unwrap()));
}

#[test]
fn a_parameter_without_a_default_takes_the_type_of_its_field() {
    let text = r#"
Graph(
    name: "chat",
    params: { "prompt": None, "seed": None },
    nodes: {
        "question": Prompt(text: "$prompt"),
        "mind":     Llm(model: "smollm2-135m", seed: "$seed", system: "It costs $$5, not $5."),
        "reply":    Stdout(),
    },
    edges: [("question", "mind.prompt"), ("mind.text", "reply")],
)"#;
    let plan = check_text("chat.ron", text, &Overrides::none()).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(plan.node("question").unwrap().optional_text("text"), Ok(None));
    assert_eq!(plan.node("mind").unwrap().text("system"), Ok("It costs $5, not $5."));
    let plan = check_text("chat.ron", text, &Overrides::none().set("prompt", "42").set("seed", "42")).unwrap();
    assert_eq!(plan.node("question").unwrap().text("text"), Ok("42"));
    assert_eq!(plan.node("mind").unwrap().integer("seed"), Ok(42));
    let report = check_text("chat.ron", text, &Overrides::none().set("seed", "many")).unwrap_err();
    assert!(report.to_string().contains("`seed` of node \"mind\" (Llm) is the text \"many\""), "{report}");
}

#[test]
fn a_list_from_the_command_line_has_its_place_there() {
    let text = ASSISTANT.replace("\"who\": \"a helpful eye\"", "\"who\": \"an eye\", \"stop\": []");
    let text = text.replace("stop: [\"</s>\", \"\\n\\n\"]", "stop: \"$stop\"");
    let plan = check_text("assistant.ron", &text, &Overrides::none().set("stop", "[\"a\", \"b\"]"));
    let plan = plan.unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(plan.node("mind").unwrap().texts("stop"), Ok(vec!["a", "b"]));
    let report = check_text("assistant.ron", &text, &Overrides::none().set("stop", "[\"a\", 5]")).unwrap_err();
    assert_eq!(report.diagnostics().len(), 1, "{report}");
    let told = report.to_string();
    assert!(told.contains("--set:1:12") && told.contains("is the number 5"), "{told}");
}

#[test]
fn pictures_show_every_node_port_policy_and_placement() {
    let outline = Outline::from(assistant());
    let (svg, mermaid, dot) = (picture::svg(&outline), picture::mermaid(&outline), picture::dot(&outline));
    for (name, picture) in [("svg", &svg), ("mermaid", &mermaid), ("dot", &dot)] {
        for word in
            ["projector", "VisionEncoder", "patches", "Image, Latest", "DropOldest 8", "pinned to cpu:0", "ears"]
        {
            assert!(picture.contains(word), "{name} lacks {word}:\n{picture}");
        }
    }
    let tags = |open: &str| svg.matches(open).count();
    assert_eq!(tags("<text"), tags("</text>"), "{svg}");
    assert_eq!(tags("<g "), tags("</g>"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("picture_mermaid", mermaid);
        insta::assert_snapshot!("picture_dot", dot);
        insta::assert_snapshot!("picture_svg", svg);
    });
}

#[test]
fn the_reference_of_a_kind_is_made_of_its_specification() {
    let registry = registry().unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        insta::assert_snapshot!("reference_of_a_kind", reference(&registry, Some("llm")).unwrap());
        insta::assert_snapshot!("reference_of_all_kinds", reference(&registry, None).unwrap());
    });
    let error = reference(&registry, Some("Lmm")).unwrap_err();
    assert_eq!(error.to_string(), "there is no node kind Lmm; did you mean Llm?");
}

#[test]
fn a_specification_that_contradicts_itself_is_refused() {
    let refused = |spec: NodeSpec| Registry::new().register(spec).unwrap_err().to_string();
    let field = FieldSpec::integer("rate", 1..=10, "Rate.").unit("Hz").default(11);
    assert_eq!(
        refused(NodeSpec::sensor("Ticker", "Ticks.").field(field)),
        "node kind Ticker, field rate: the default 11 is not a whole number from 1 to 10 Hz"
    );
    let twice = NodeSpec::sink("Ear", "Hears.")
        .input(PortSpec::new("in", PortType::Audio, "Left."))
        .input(PortSpec::new("in", PortType::Audio, "Right."));
    assert_eq!(refused(twice), "node kind Ear has two inputs named in");
    let widthless =
        NodeSpec::brick("Eye", "Sees.").output(PortSpec::new("rows", PortType::embeddings_of("model"), "Rows."));
    assert_eq!(refused(widthless), "node kind Eye refers to field model, which is no model field of it");
}

#[test]
fn a_machine_made_graph_with_thousands_of_mistakes_in_one_line_is_told_in_words() {
    let nodes: String = (0..1000).map(|node| format!("\"n{node}\": Promp(), ")).collect();
    let edges: String = (0..4000).map(|edge| format!("(\"a{edge}.x\", \"b{edge}.y\"), ")).collect();
    let text = format!("Graph(name: \"x\", nodes: {{{nodes}}}, edges: [{edges}])");
    let told = check_text("x.ron", &text, &Overrides::none()).unwrap_err().to_string();
    assert!(told.contains("x.ron:1:32: unknown kind"), "{}", &told[..2000]);
    assert!(told.ends_with("the first 100 of 9000\n9000 errors, 0 warnings"), "{}", &told[told.len() - 300..]);
    assert!(told.len() < 50_000, "{} bytes", told.len());
}

/// Texts near a graph: each with a few characters dropped, doubled, swapped or replaced.
#[test]
fn no_text_makes_a_check_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let texts: Vec<String> = broken_graphs().into_iter().map(|(_, text)| text).chain([ASSISTANT.to_owned()]).collect();
    for round in 0..4000 {
        let mut chars: Vec<char> = texts[random(texts.len())].chars().collect();
        for _ in 0..=random(4) {
            if chars.is_empty() {
                break;
            }
            let at = random(chars.len());
            match random(5) {
                0 => drop(chars.remove(at)),
                1 => chars.insert(at, chars[at]),
                2 => {
                    let other = random(chars.len());
                    chars.swap(at, other);
                }
                3 => {
                    chars[at] = ['(', ')', '[', '{', '"', ',', ':', '$', 'é', '\u{0}', '9', '-', '/', '\\'][random(14)]
                }
                _ => chars.truncate(at),
            }
        }
        let text: String = chars.into_iter().collect();
        let told = std::panic::catch_unwind(|| match check_text("x.ron", &text, &Overrides::none()) {
            Ok(plan) => picture::svg(&Outline::from(plan)),
            Err(report) => report.to_string(),
        });
        assert!(told.is_ok(), "round {round} panics:\n{text}");
    }
}

/// A camera's graph with a few slips, for the command line.
const SLIPS: &str = r#"
Graph(
    name: "chat",
    nodes: {
        "question": Prompt(),
        "mind":     Llm(modle: "smollm2-135m", temprature: 0),
        "reply":    Stdot(),
    },
    edges: [("question.txt", "mind.prompt"), ("mind.text", "reply.text")],
)
"#;

#[test]
fn validate_tells_every_mistake_and_exits_65() {
    let machine = FreshMachine::new();
    machine.file("slips.ron", SLIPS);
    let ran = machine.run(["validate", "slips.ron"]);
    assert_eq!(ran.code, Some(65), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    for told in [
        "slips.ron:6:25",
        "did you mean `model`?",
        "did you mean `temperature`?",
        "slips.ron:7:21",
        "did you mean `Stdout`?",
        "did you mean \"question.text\"?",
        "4 errors, 0 warnings",
    ] {
        assert!(ran.stderr.contains(told), "{told} is missing:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains('\u{1b}'), "colours in a pipe:\n{}", ran.stderr);
    let json = machine.run(["validate", "slips.ron", "--format", "json"]);
    assert_eq!(json.code, Some(65), "{}", json.stderr);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&answer["valid"], &answer["errors"]), (&false.into(), &4.into()), "{}", json.stdout);
    assert_eq!(answer["diagnostics"][0]["code"], "graph::unknown-field", "{}", json.stdout);
    assert_eq!(answer["diagnostics"][0]["labels"][0]["line"], 6, "{}", json.stdout);
}

#[test]
fn a_graph_whose_model_has_only_to_be_pulled_is_sound_and_can_be_drawn() {
    let machine = FreshMachine::new();
    machine.file("chat.ron", include_str!("../../graphs/library/chat.ron"));
    let ran = machine.run(["validate", "chat.ron", "--set", "temperature=0"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("nanomind pull smollm2-135m"), "{}", ran.stderr);
    for (format, start) in [("mermaid", "flowchart LR"), ("dot", "digraph \"chat\""), ("svg", "<svg ")] {
        let drawn = machine.run(["graph", "chat.ron", "--format", format]);
        assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
        assert!(drawn.stdout.starts_with(start), "{}", drawn.stdout);
    }
    let missing = machine.run(["validate", "chat.ron", "--accelerators", "npu"]);
    assert_eq!(missing.code, Some(69), "{}", missing.stderr);
    let unset = machine.run(["validate", "chat.ron", "--set", "temprature=0"]);
    assert_eq!(unset.code, Some(65), "{}", unset.stderr);
    assert!(unset.stderr.contains("did you mean `temperature`?"), "{}", unset.stderr);
    let absent = machine.run(["validate", "absent.ron"]);
    assert_eq!(absent.code, Some(65), "{}", absent.stderr);
    assert!(absent.stderr.contains("cannot read the graph absent.ron"), "{}", absent.stderr);
}

#[test]
fn a_shape_can_be_validated_and_a_run_says_that_it_has_no_weights() {
    let machine = FreshMachine::new();
    let chat = include_str!("../../graphs/library/chat.ron").replace("smollm2-135m", "shape:smolvlm-256m");
    machine.file("chat.ron", &chat);
    let checked = machine.run(["validate", "chat.ron"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let ran = machine.run(["run", "chat.ron"]);
    assert_eq!(ran.code, Some(65), "{}", ran.stderr);
    for told in ["\"shape:smolvlm-256m\" has no weights", "nanomind simulate"] {
        assert!(ran.stderr.contains(told), "{told} is missing:\n{}", ran.stderr);
    }
    machine.file("slip.ron", chat.replace("shape:smolvlm-256m", "shape:smolvlm"));
    let slip = machine.run(["validate", "slip.ron"]);
    assert_eq!(slip.code, Some(65), "{}", slip.stderr);
    assert!(slip.stderr.contains("did you mean \"shape:smolvlm-256m\"?"), "{}", slip.stderr);
}

#[test]
fn nodes_tells_ports_fields_and_an_example_of_each_kind() {
    let machine = FreshMachine::new();
    let all = machine.run(["nodes"]);
    assert_eq!(all.code, Some(0), "{}", all.stderr);
    for kind in ["Prompt", "Llm", "Stdout"] {
        assert!(all.stdout.contains(kind), "{}", all.stdout);
        let one = machine.run(["nodes", kind]);
        assert_eq!(one.code, Some(0), "{}", one.stderr);
        assert!(one.stdout.contains("Graph("), "no example:\n{}", one.stdout);
    }
    let unknown = machine.run(["nodes", "Lmm"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("did you mean Llm?"), "{}", unknown.stderr);
}

/// Checks against the node kinds that come with nanomind.
fn check_standard(name: &str, text: &str) {
    let library = NodeLibrary::standard().unwrap();
    let machine = machine();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &Folder, models: &Models, machine: &machine };
    match check(Source::new(name, text), &Overrides::none(), surroundings) {
        Ok(plan) => assert!(plan.warnings().is_empty(), "{}", plan.warnings()),
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn the_example_of_every_standard_kind_is_a_sound_graph_that_holds_it() {
    for spec in NodeLibrary::standard().unwrap().registry().iter() {
        let graph = graphs::example_graph(spec);
        assert!(graph.contains(&format!("{}(", spec.kind)), "the example of {} lacks it:\n{graph}", spec.kind);
        check_standard(&format!("example of {}", spec.kind), &graph);
    }
}

#[test]
fn every_graph_of_the_library_is_sound_and_calls_its_language_node_mind() {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/library");
    for entry in fs::read_dir(library).unwrap() {
        let path = entry.unwrap().path();
        // The folder beside them holds parts that a graph includes.
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        check_standard(&path.display().to_string(), &text);
        assert!(!text.contains("Llm(") || text.contains("\"mind\": Llm("), "{}", path.display());
    }
}
