//! The language node on small random models: answers, moves, embeddings in slots, refusals.

use std::path::PathBuf;

use nanomind_actors::report::{AnswerReport, RunEnd};
use nanomind_actors::{GraphFiles, RunOptions, RunReport, Runtime, StoredModels};
use nanomind_bricks::store::{Store, StoreSettings};
use nanomind_graphs::{Drawing, Overrides, Plan, Report, Source, Surroundings, check};

use super::stage::Stage;

/// A file of the fixtures.
pub fn fixture(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name).display().to_string()
}

fn model(name: &str) -> String {
    fixture(&format!("language_{name}.gguf"))
}

/// Checks a graph that names model files.
pub fn check_with_files(stage: &Stage, graph: &str) -> Result<Plan, Report> {
    let home = |name: &str| (name == "NANOMIND_HOME").then(|| "/nonexistent".into());
    let models = StoredModels::new(Store::open(StoreSettings::from_variables(home).unwrap()));
    let machine = stage.machine.for_graphs();
    let surroundings =
        Surroundings { registry: stage.library.registry(), loader: &GraphFiles, models: &models, machine: &machine };
    check(Source::new("test.ron", graph), &Overrides::none(), surroundings)
}

fn plan(stage: &Stage, graph: &str) -> Plan {
    check_with_files(stage, graph).unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)))
}

fn run(graph: &str, options: RunOptions) -> (RunReport, Vec<String>) {
    let stage = Stage::new();
    let plan = plan(&stage, graph);
    let report = Runtime::start(&plan, &stage.machine, &stage.library, options).unwrap().wait();
    (report, stage.seen.all())
}

fn answers(report: &RunReport) -> Vec<&AnswerReport> {
    report.answers().map(|(_, answer)| answer).collect()
}

/// A graph that asks a small model a question for each of `words`.
pub fn chat(words: &str, fields: &str, placement: &str) -> String {
    format!(
        r#"Graph(
            name: "chat",
            nodes: {{
                "words": Words(text: "{words}"),
                "mind":  Llm(model: "{}", context: 256, temperature: 0, {fields}),
                "reply": Keep(),
            }},
            edges: [("words.text", "mind.prompt"), ("mind.text", "reply.text")],
            placement: {{ "mind": {placement} }},
        )"#,
        model("llama_gqa_f32")
    )
}

#[test]
fn an_answer_has_the_same_tokens_however_often_the_node_is_moved() {
    let (still, _) = run(&chat("hello", "max_tokens: 40", r#"Pin("cpu")"#), RunOptions::default());
    let moving = RunOptions { migrate_every: Some(3), ..RunOptions::default() };
    let (moved, _) = run(&chat("hello", "max_tokens: 40", r#"Prefer(["cpu:0", "cpu:1"])"#), moving);
    let (still, moved) = (answers(&still)[0], answers(&moved)[0]);
    assert_eq!(still.token_ids, moved.token_ids);
    assert!(moved.moves >= 10 || moved.generated_tokens < 31, "moved {} times: {moved:?}", moved.moves);
    assert_eq!(moved.generated_on.values().sum::<u64>(), moved.generated_tokens, "{:?}", moved.generated_on);
}

#[test]
fn a_later_turn_reads_only_what_the_cache_does_not_hold_and_the_text_is_the_tokens() {
    let (report, seen) = run(&chat("hello again", "max_tokens: 8", "Auto"), RunOptions::default());
    let answers = answers(&report);
    assert_eq!(report.end, RunEnd::Finished);
    assert_eq!(answers.len(), 2);
    assert!(answers[1].cached_tokens > 0, "{:?}", answers[1]);
    assert!(seen.len() > 2, "{seen:?}");
    assert_eq!(report.requests.answered, 2, "{:?}", report.requests);
}

#[test]
fn a_question_that_does_not_fit_is_refused_and_the_next_one_is_answered() {
    let long = "x".repeat(4000);
    let (report, seen) = run(&chat(&format!("{long} hello"), "max_tokens: 4", "Auto"), RunOptions::default());
    assert!(seen[0].starts_with("failed: node `mind` cannot answer this request: "), "{}", seen[0]);
    assert!(seen[0].contains("256"), "it says how much there is: {}", seen[0]);
    assert_eq!((report.requests.failed, report.requests.answered), (1, 1), "{:?}", report.requests);
    assert_eq!(report.nodes[1].outcome.restarts, 0, "a refusal is no failure of the node");
}

#[test]
fn embeddings_cross_from_brick_to_brick_without_a_copied_byte_and_every_slot_comes_back() {
    let model = model("llama_gqa_f32");
    let graph = format!(
        r#"Graph(
            name: "tabm",
            nodes: {{
                "words": Words(text: "one two three four five six"),
                "embed": TokenEmbedding(model: "{model}", max_tokens: 32),
                "mind":  Llm(model: "{model}", context: 256, temperature: 0, max_tokens: 4),
                "reply": Keep(),
            }},
            edges: [
                ("words.text", "embed.text"),
                ("words.text", "mind.prompt"),
                ("embed.embeddings", "mind.embeddings"),
                ("mind.text", "reply.text"),
            ],
        )"#
    );
    let (report, seen) = run(&graph, RunOptions::default());
    assert_eq!(report.requests.answered, 6, "{seen:?}");
    let pool = &report.pools[0];
    assert_eq!((pool.acquired, pool.published, pool.copied_bytes), (6, 6, 0), "{pool:?}");
    assert_eq!(pool.free, pool.slots, "every slot is free again: {pool:?}");
    let answers = answers(&report);
    assert!(answers.iter().all(|answer| answer.prompt_tokens > 1), "{answers:?}");
}

#[test]
fn rows_from_a_slot_and_tokens_of_the_same_text_give_the_same_answer() {
    let model = model("llama_gqa_f32");
    let llm = format!(r#"Llm(model: "{model}", context: 256, temperature: 0, max_tokens: 12)"#);
    // The rows of "one" stand before an empty question: the same positions as the question "one".
    let with_rows = format!(
        r#"Graph(
            name: "rows",
            nodes: {{
                "words": Words(text: "one"),
                "embed": TokenEmbedding(model: "{model}", max_tokens: 32),
                "empty": Empty(),
                "mind":  {llm},
                "reply": Keep(),
            }},
            edges: [
                ("words.text", "embed.text"),
                ("words.text", "empty.text"),
                ("empty.text", "mind.prompt"),
                ("embed.embeddings", "mind.embeddings"),
                ("mind.text", "reply.text"),
            ],
        )"#
    );
    let mut stage = Stage::new();
    stage.add(super::stage::brick("Empty"), |mut context| async move {
        while let Some(firing) = context.next().await {
            let packet = nanomind_actors::Packet::text(firing.packet.request(), "", 0).ending();
            context.send("text", packet).await?;
        }
        Ok(())
    });
    let plan = plan(&stage, &with_rows);
    let rows = Runtime::start(&plan, &stage.machine, &stage.library, RunOptions::default()).unwrap().wait();
    let (tokens, _) = run(&chat("one", "max_tokens: 12", "Auto"), RunOptions::default());
    let (rows, tokens) = (answers(&rows)[0], answers(&tokens)[0]);
    assert_eq!(rows.prompt_tokens, tokens.prompt_tokens);
    assert_eq!(rows.token_ids, tokens.token_ids);
}

#[test]
fn a_model_that_two_nodes_name_is_loaded_once() {
    let model = model("llama_gqa_f32");
    let graph = format!(
        r#"Graph(
            name: "two-minds",
            nodes: {{
                "words": Words(text: "hello"),
                "left":  Llm(model: "{model}", context: 64, temperature: 0, max_tokens: 2),
                "right": Llm(model: "{model}", context: 64, temperature: 0, max_tokens: 2),
                "one":   Keep(),
                "other": Keep(),
            }},
            edges: [
                ("words.text", "left.prompt"), ("words.text", "right.prompt"),
                ("left.text", "one.text"), ("right.text", "other.text"),
            ],
        )"#
    );
    let loads = std::sync::Arc::new(std::sync::Mutex::new(0));
    let counted = loads.clone();
    let on_load: nanomind_actors::LoadListener = std::sync::Arc::new(move |_, progress| {
        *counted.lock().unwrap() += u32::from(progress.done_bytes == progress.total_bytes);
    });
    let (report, _) = run(&graph, RunOptions { on_load: Some(on_load), ..RunOptions::default() });
    assert_eq!(report.answers().count(), 2);
    assert_eq!(*loads.lock().unwrap(), 1, "loads of the same file");
}
