//! Sight in a graph: a picture and a question meet at the language node, on the model that the repository ships.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nanomind_actors::report::RunEnd;
use nanomind_actors::{NodeLibrary, Packet, RunOptions, RunReport, Runtime};
use nanomind_graphs::{Drawing, NodeSpec};
use serde::Deserialize;

use super::language::{check_with_files, fixture};
use super::stage::{Stage, text_port};

/// One picture in so many of the samples; the library's own test asks about all of them.
const EVERY: usize = 6;

/// A picture, and questions with what the model says when PyTorch computes it.
#[derive(Deserialize)]
struct Sample {
    file: String,
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    question: String,
    model: String,
}

pub(super) fn scene(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/scene");
    folder.join(name).display().to_string()
}

fn samples() -> Vec<Sample> {
    serde_json::from_slice(&std::fs::read(scene("samples/samples.json")).unwrap()).unwrap()
}

fn graph(picture: &str, language: &str) -> String {
    let vision = scene("scene-mmproj.gguf");
    format!(
        r#"Graph(
            name: "sight",
            nodes: {{
                "asks":      Asks(),
                "picture":   Image(path: "{picture}"),
                "eye":       VisionEncoder(model: "{vision}"),
                "projector": Projector(model: "{vision}"),
                "mind":      Llm(model: "{language}", context: 256, temperature: 0, history: false),
                "answers":   Answers(),
            }},
            edges: [
                ("asks.text",        "picture.question"),
                ("picture.image",    "eye.image"),
                ("eye.patches",      "projector.patches"),
                ("projector.tokens", "mind.embeddings"),
                ("asks.text",        "mind.prompt"),
                ("mind.text",        "answers.text"),
            ],
        )"#
    )
}

/// Asks `questions` in one run: the report, and each request's whole answer or failure.
fn ask(picture: &str, questions: &[&str]) -> (RunReport, Vec<String>) {
    let mut stage = Stage::new();
    let answers = Arc::new(Mutex::new(BTreeMap::<_, String>::new()));
    register(&mut stage, questions, answers.clone());
    let plan = check_with_files(&stage, &graph(picture, &scene("scene.gguf")))
        .unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let report = Runtime::start(&plan, &stage.machine, &stage.library, RunOptions::default()).unwrap().wait();
    let answers = answers.lock().unwrap().values().cloned().collect();
    (report, answers)
}

pub(super) type Answers = Arc<Mutex<BTreeMap<u64, String>>>;

/// Adds `Asks`, which sends the questions, and `Answers`, which puts each answer together.
pub(super) fn register(stage: &mut Stage, questions: &[&str], answers: Answers) {
    let questions: Vec<String> = questions.iter().map(|&question| question.to_owned()).collect();
    stage.add(NodeSpec::sensor("Asks", "Sends questions.").output(text_port()), move |context| {
        let questions = questions.clone();
        async move {
            for question in questions {
                context.send("text", Packet::text(context.requests().mint(), question, 1).ending()).await?;
            }
            Ok(())
        }
    });
    stage.add(NodeSpec::sink("Answers", "Remembers.").input(text_port()), move |mut context| {
        let answers = answers.clone();
        async move {
            while let Some(firing) = context.next().await {
                let failure = firing.packet.as_failure().map(|error| format!("failed: {error}"));
                let piece = failure.unwrap_or_else(|| firing.packet.as_text().unwrap_or("?").to_owned());
                answers.lock().unwrap().entry(firing.packet.request.0).or_default().push_str(&piece);
            }
            Ok(())
        }
    });
}

#[test]
fn a_graph_answers_about_pictures_as_pytorch_does_and_no_embedding_is_copied() {
    let (mut asked, mut differ) = (0, Vec::new());
    for Sample { file, questions } in samples().into_iter().step_by(EVERY) {
        let texts: Vec<&str> = questions.iter().map(|question| question.question.as_str()).collect();
        let (report, answers) = ask(&scene(&format!("samples/{file}")), &texts);
        assert_eq!((report.end, answers.len()), (RunEnd::Finished, texts.len()), "{answers:?}");
        for pool in &report.pools {
            assert_eq!((pool.copied_bytes, pool.published), (0, 1), "made once for all questions: {pool:?}");
            assert_eq!(pool.free, pool.slots, "every slot is free again: {pool:?}");
        }
        assert_eq!(report.pools.len(), 2, "patches and tokens: {:?}", report.pools);
        for (Question { question, model }, answer) in questions.iter().zip(answers) {
            asked += 1;
            if answer != *model {
                differ.push(format!("{file}: {question}\n  expected {model}\n  found    {answer}"));
            }
        }
    }
    // A near tie may fall the other way on another processor.
    assert!(asked >= 12 && differ.len() <= 1, "{} of {asked} answers differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn a_picture_that_is_none_refuses_each_question_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cat.png");
    std::fs::write(&path, "no picture at all").unwrap();
    let (report, answers) = ask(&path.display().to_string(), &["What do you see?", "And now?"]);
    assert_eq!(report.end, RunEnd::Finished);
    assert_eq!((report.requests.failed, report.requests.answered), (2, 0), "{answers:?}");
    for told in ["node `picture`", "cat.png", "expected a JPEG, PNG, WebP, BMP or GIF image", "no pictu"] {
        assert!(answers.iter().all(|answer| answer.contains(told)), "{told} is missing: {answers:?}");
    }
    assert!(report.nodes.iter().all(|node| node.outcome.restarts == 0), "a refusal is no failure of a node");
}

#[test]
fn a_projector_of_another_width_than_the_language_model_is_found_by_the_check() {
    let mut stage = Stage::new();
    register(&mut stage, &[], Arc::default());
    let graph = graph(&scene("samples/scene-00.png"), &fixture("language_llama_gqa_f32.gguf"));
    let report = match check_with_files(&stage, &graph) {
        Ok(_) => panic!("320 fits no model of another width"),
        Err(report) => report.draw(Drawing::PLAIN),
    };
    for told in ["projector.tokens", "mind.embeddings", "320"] {
        assert!(report.contains(told), "{told} is missing:\n{report}");
    }
}

#[test]
fn a_picture_that_nobody_asks_about_makes_one_request() {
    let mut stage = Stage { library: NodeLibrary::standard().unwrap(), ..Stage::new() };
    let seen = stage.seen.clone();
    let input = nanomind_graphs::PortSpec::new("image", nanomind_graphs::PortType::Image, "Pictures.");
    stage.add(NodeSpec::sink("Look", "Remembers.").input(input), move |mut context| {
        let seen = seen.clone();
        async move {
            while let Some(firing) = context.next().await {
                seen.push(format!("{:?}", firing.packet.payload));
            }
            Ok(())
        }
    });
    let report = stage.run(&format!(
        r#"Graph(
            name: "look",
            nodes: {{ "picture": Image(path: "{}"), "look": Look() }},
            edges: [("picture.image", "look.image")],
        )"#,
        scene("samples/scene-00.png")
    ));
    assert_eq!(report.requests.answered, 1, "{:?}", report.requests);
    assert_eq!(stage.seen.all(), ["Image(Picture(192 × 192))"]);
}
