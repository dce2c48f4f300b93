//! The language node with several requests at once: same answers, fair turns, cancellation, moves, guesses.

use std::collections::BTreeMap;

use nanomind_actors::report::{AnswerReport, RunEnd};
use nanomind_actors::{RunOptions, RunReport, Runtime};
use nanomind_graphs::{Drawing, NodeSpec};

use super::language::{check_with_files, fixture};
use super::stage::{Stage, text_port};

fn model() -> String {
    fixture("language_llama_gqa_f32.gguf")
}

fn chat(words: &str, fields: &str, placement: &str) -> String {
    format!(
        r#"Graph(
            name: "chat",
            nodes: {{
                "words": Words(text: "{words}"),
                "mind":  Llm(model: "{}", context: 256, temperature: 0, history: false, {fields}),
                "reply": Log(),
            }},
            edges: [("words.text", "mind.prompt"), ("mind.text", "reply.text")],
            placement: {{ "mind": {placement} }},
        )"#,
        model()
    )
}

/// Runs a graph with a sink `Log` that notes request and text of every packet, and cancels request `cancelled` at its
/// first text.
fn run_cancelling(graph: &str, options: RunOptions, cancelled: u64) -> (RunReport, Vec<String>) {
    let mut stage = Stage::new();
    let seen = stage.seen.clone();
    stage.add(NodeSpec::sink("Log", "Notes requests.").input(text_port()), move |mut context| {
        let seen = seen.clone();
        async move {
            while let Some(firing) = context.next().await {
                let packet = &firing.packet;
                let text = packet.as_text().unwrap_or("failed");
                seen.push(format!("{}{}{text}", packet.request.0, if packet.last { "." } else { ":" }));
                if packet.request.0 == cancelled && !text.is_empty() {
                    context.cancel(packet.epoch);
                }
            }
            Ok(())
        }
    });
    let plan = check_with_files(&stage, graph).unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let report = Runtime::start(&plan, &stage.machine, &stage.library, options).unwrap().wait();
    (report, stage.seen.all())
}

fn run(graph: &str, options: RunOptions) -> (RunReport, Vec<String>) {
    run_cancelling(graph, options, 0)
}

fn by_request(report: &RunReport) -> BTreeMap<u64, AnswerReport> {
    report.answers().map(|(_, answer)| (answer.request, answer.clone())).collect()
}

fn tokens(report: &RunReport) -> BTreeMap<u64, Vec<u32>> {
    by_request(report).into_iter().map(|(request, answer)| (request, answer.token_ids)).collect()
}

/// Jobs that decoded.
fn decode_jobs(report: &RunReport) -> u64 {
    let mind = report.nodes.iter().find(|node| node.node == "mind").unwrap();
    mind.phases.iter().filter(|phase| phase.phase == nanomind_hal::Phase::Decode).map(|phase| phase.jobs).sum()
}

const WORDS: &str = "one two three four five six seven";

#[test]
fn requests_that_are_answered_at_once_get_the_answers_that_they_get_alone_in_fewer_jobs() {
    let (alone, _) = run(&chat(WORDS, "max_tokens: 24", "Auto"), RunOptions::default());
    let (together, _) = run(&chat(WORDS, "max_tokens: 24, parallel: 3", "Auto"), RunOptions::default());
    assert_eq!((alone.end, together.end), (RunEnd::Finished, RunEnd::Finished));
    assert_eq!(together.requests.answered, 7, "{:?}", together.requests);
    assert_eq!(tokens(&alone), tokens(&together));
    let (before, after) = (decode_jobs(&alone), decode_jobs(&together));
    assert!(after * 2 < before, "{after} jobs, one after the other {before}");
}

#[test]
fn answers_go_on_side_by_side_and_the_next_request_joins_when_one_ends() {
    let (_, seen) = run(&chat("one two three", "max_tokens: 24, parallel: 2", "Auto"), RunOptions::default());
    let first = |request: u64| seen.iter().position(|line| line.starts_with(&format!("{request}:"))).unwrap();
    let end = |request: u64| seen.iter().position(|line| line.starts_with(&format!("{request}."))).unwrap();
    assert!(first(2) < end(1) && first(1) < end(2), "side by side: {seen:?}");
    assert!(first(3) > end(1).min(end(2)), "two at once, not three: {seen:?}");
}

#[test]
fn a_move_in_the_middle_of_several_answers_changes_none_of_them() {
    let fields = "max_tokens: 24, parallel: 3, speculate: 3";
    let (still, _) = run(&chat(WORDS, fields, r#"Pin("cpu")"#), RunOptions::default());
    let moving = RunOptions { migrate_every: Some(3), ..RunOptions::default() };
    let (moved, _) = run(&chat(WORDS, fields, r#"Prefer(["cpu:0", "cpu:1"])"#), moving);
    assert_eq!(tokens(&still), tokens(&moved));
    assert!(moved.nodes[1].moves >= 10, "{}", moved.nodes[1].moves);
}

#[test]
fn one_answer_is_cancelled_and_the_others_are_not() {
    let graph = chat(WORDS, "max_tokens: 24, parallel: 3", "Auto");
    let (whole, _) = run(&graph, RunOptions::default());
    let (report, seen) = run_cancelling(&graph, RunOptions::default(), 2);
    let (whole, cut) = (by_request(&whole), by_request(&report));
    assert_eq!((report.requests.answered, report.requests.cancelled), (6, 1), "{:?}", report.requests);
    assert_eq!(cut[&2].finish, "cancelled", "{:?}", cut[&2]);
    assert!(cut[&2].generated_tokens < 24, "{:?}", cut[&2]);
    assert!(!seen.iter().any(|line| line.starts_with("2.")), "nothing ends what was cancelled: {seen:?}");
    for (request, answer) in cut.into_iter().filter(|(request, _)| *request != 2) {
        assert_eq!(answer.token_ids, whole[&request].token_ids, "request {request}");
    }
}

#[test]
fn guesses_change_no_answer_and_are_counted() {
    let (plain, _) = run(&chat(WORDS, "max_tokens: 40", "Auto"), RunOptions::default());
    let (guessed, _) = run(&chat(WORDS, "max_tokens: 40, speculate: 8", "Auto"), RunOptions::default());
    assert_eq!(tokens(&plain), tokens(&guessed));
    let answers = by_request(&guessed);
    let sum = |of: fn(&AnswerReport) -> u64| answers.values().map(of).sum::<u64>();
    let right = sum(|answer| answer.right_guesses);
    assert!(right > 0 && right <= sum(|answer| answer.guessed_tokens), "{answers:?}");
    assert_eq!(decode_jobs(&plain) - decode_jobs(&guessed), right, "each right guess saves a step");
    assert!(by_request(&plain).values().all(|answer| answer.guessed_tokens == 0));
}

/// The second question is refused before there is any text of the first: what the first joins with further down must not
/// be given up for that.
#[test]
fn who_joins_by_request_waits_for_an_answer_that_later_ones_overtake() {
    let (model, long) = (model(), "x".repeat(4000));
    let graph = format!(
        r#"Graph(
            name: "overtaken",
            nodes: {{
                "words": Words(text: "one {long} two"),
                "embed": TokenEmbedding(model: "{model}", max_tokens: 8192),
                "mind":  Llm(model: "{model}", context: 256, temperature: 0, history: false, parallel: 3, max_tokens: 4),
                "then":  Llm(model: "{model}", context: 256, temperature: 0, history: false, max_tokens: 4),
                "reply": Log(),
            }},
            edges: [
                ("words.text", "embed.text"),
                ("words.text", "mind.prompt"),
                ("mind.text", "then.prompt"),
                ("embed.embeddings", "then.embeddings"),
                ("then.text", "reply.text"),
            ],
        )"#
    );
    let (report, seen) = run(&graph, RunOptions::default());
    assert_eq!((report.requests.answered, report.requests.failed), (2, 1), "{:?} {seen:?}", report.requests);
    assert!(report.pools.iter().all(|pool| pool.free == pool.slots), "{:?}", report.pools);
}
