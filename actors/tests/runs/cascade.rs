//! The On-Demand Cascade on real weights: load, execute, release, one brick after the other, to the same answers.

use nanomind_actors::governor::{GovernorConfig, Mode, TemperatureSource};
use nanomind_actors::report::AnswerReport;
use nanomind_actors::{RunOptions, RunReport, Runtime};
use nanomind_graphs::Drawing;
use nanomind_hal::BatterySource;

use super::language::{check_with_files, fixture};
use super::sight::scene;
use super::stage::Stage;

fn run(graph: &str, mode: Mode) -> RunReport {
    let stage = Stage::new();
    let plan = check_with_files(&stage, graph).unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let (battery, temperature) = (BatterySource::None, TemperatureSource::None);
    let governor = GovernorConfig { battery, temperature, ..GovernorConfig::default() };
    let options = RunOptions { governor, mode: Some(mode), ..RunOptions::default() };
    Runtime::start(&plan, &stage.machine, &stage.library, options).unwrap().wait()
}

fn answers(report: &RunReport) -> Vec<&AnswerReport> {
    report.answers().map(|(_, answer)| answer).collect()
}

fn tokens(report: &RunReport) -> Vec<&[u32]> {
    answers(report).into_iter().map(|answer| answer.token_ids.as_slice()).collect()
}

fn loads(report: &RunReport, node: &str) -> u64 {
    report.nodes.iter().find(|found| found.node == node).and_then(|found| found.counters.get("loads")).copied().unwrap()
}

/// Questions about drawn scenes, each about the next one; the conversation goes on over all of them.
fn sight() -> String {
    let (vision, language) = (scene("scene-mmproj.gguf"), scene("scene.gguf"));
    format!(
        r#"Graph(
            name: "sight",
            nodes: {{
                "asks":      Timer(every: "1ms", count: 4, text: "What do you see?"),
                "camera":    SceneCamera(seed: 5, events: "scenes", event_every: 1),
                "eye":       VisionEncoder(model: "{vision}"),
                "projector": Projector(model: "{vision}"),
                "mind":      Llm(model: "{language}", context: 1024, temperature: 0, pictures: 4),
                "reply":     Keep(),
            }},
            edges: [
                ("asks.text",        "camera.question"),
                ("camera.image",     "eye.image"),
                ("eye.patches",      "projector.patches"),
                ("projector.tokens", "mind.embeddings"),
                ("asks.text",        "mind.prompt"),
                ("mind.text",        "reply.text"),
            ],
        )"#
    )
}

#[test]
fn a_cascade_sees_and_says_the_same_with_the_weights_of_one_brick_at_a_time() {
    let [parallel, cascade] = [Mode::Performance, Mode::PowerSaver].map(|mode| run(&sight(), mode));
    assert_eq!(parallel.requests.answered, 4);
    assert_eq!(tokens(&cascade), tokens(&parallel));
    for node in ["eye", "projector", "mind"] {
        assert_eq!((loads(&parallel, node), loads(&cascade, node)), (1, 4), "{node}");
    }
    let (together, alone) = (parallel.memory.weights, cascade.memory.weights);
    assert!(alone > together / 3 && alone < together, "at most {alone} bytes in turn, {together} side by side");
    let between = cascade.memory.between_stages.unwrap();
    assert_eq!((between.times, between.weights), (12, 0), "nothing stays after a stage");
    assert!(between.process.is_some(), "the process was looked at");
    assert_eq!(parallel.memory.between_stages, None);
    // The cache goes with the weights: what was said is read again.
    assert!(answers(&cascade).iter().all(|answer| answer.cached_tokens == 0));
    assert!(answers(&parallel)[1..].iter().all(|answer| answer.cached_tokens > 0));
    assert_eq!(cascade.copied_bytes(), 0);
}

#[test]
fn a_conversation_outlives_its_weights() {
    let graph = format!(
        r#"Graph(
            name: "chat",
            nodes: {{
                "words": Words(text: "one two three four five"),
                "mind":  Llm(model: "{}", context: 512, temperature: 0.9, seed: 11, max_tokens: 12),
                "reply": Keep(),
            }},
            edges: [("words.text", "mind.prompt"), ("mind.text", "reply.text")],
        )"#,
        fixture("language_llama_gqa_f32.gguf")
    );
    let [parallel, cascade] = [Mode::Performance, Mode::PowerSaver].map(|mode| run(&graph, mode));
    assert_eq!(tokens(&cascade), tokens(&parallel));
    assert_eq!((loads(&parallel, "mind"), loads(&cascade, "mind")), (1, 5));
    let prompts: Vec<u64> = answers(&cascade).iter().map(|answer| answer.prompt_tokens).collect();
    assert!(prompts.is_sorted_by(|one, next| one < next), "each prompt holds the turns before it: {prompts:?}");
}
