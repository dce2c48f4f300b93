//! Bricks whose accelerators have memory of their own: they take weights and state along, and nothing that they say changes.

use nanomind_actors::report::{AnswerReport, NodeReport, RunEnd};
use nanomind_actors::{RunOptions, RunReport, Runtime};
use nanomind_hal::{AcceleratorId, AcceleratorKind, Phase};

use super::language::{chat, check_with_files};
use super::stage::Stage;

/// A run on a machine whose second group of cores has memory of its own.
fn run(graph: &str, migrate_every: Option<u64>) -> RunReport {
    let mut stage = Stage::new();
    stage.machine = stage.machine.with_own_memory([AcceleratorId::part(AcceleratorKind::Cpu, 1)]);
    let plan = check_with_files(&stage, graph).unwrap_or_else(|_| panic!("a sound graph"));
    let options = RunOptions { migrate_every, ..RunOptions::default() };
    Runtime::start(&plan, &stage.machine, &stage.library, options).unwrap().wait()
}

/// All that was said, request by request, and how much of its prompt each found in the cache.
fn said(report: &RunReport) -> Vec<(u64, Vec<u32>, u64)> {
    let mut said: Vec<_> = report.answers().map(|(_, answer)| answer).map(outcome).collect();
    said.sort();
    said
}

fn outcome(answer: &AnswerReport) -> (u64, Vec<u32>, u64) {
    (answer.request, answer.token_ids.clone(), answer.cached_tokens)
}

fn mind(report: &RunReport) -> &NodeReport {
    report.nodes.iter().find(|node| node.node == "mind").unwrap()
}

const EITHER: &str = r#"Prefer(["cpu:0", "cpu:1"])"#;

#[test]
fn an_answer_that_takes_its_state_to_another_memory_and_back_is_that_of_one_that_stays() {
    let fields = "max_tokens: 110";
    let still = run(&chat("hello again", fields, r#"Pin("cpu:0")"#), None);
    let moved = run(&chat("hello again", fields, EITHER), Some(25));
    assert_eq!(moved.end, RunEnd::Finished);
    assert_eq!(said(&still), said(&moved), "with what the second turn found in the cache");
    let mind = mind(&moved);
    let migrations: u64 =
        mind.phases.iter().filter(|phase| phase.phase == Phase::Migrate).map(|phase| phase.jobs).sum();
    assert!(mind.counters["loads"] >= 5, "weights were loaded for a move: {:?}", mind.counters);
    assert!(mind.counters["bytes of keys and values moved"] > 0, "{:?}", mind.counters);
    assert!(migrations >= 8, "copies and flips: {:?}", mind.phases);
    let places: Vec<_> = moved.answers().flat_map(|(_, answer)| answer.generated_on.keys().cloned()).collect();
    assert!(places.contains(&"cpu:0".to_owned()) && places.contains(&"cpu:1".to_owned()), "{places:?}");
}

#[test]
fn answers_that_are_given_at_once_move_together() {
    let fields = "max_tokens: 110, parallel: 3, history: false, speculate: 3";
    let still = run(&chat("one two three four five", fields, r#"Pin("cpu:0")"#), None);
    let moved = run(&chat("one two three four five", fields, EITHER), Some(25));
    let tokens = |report: &RunReport| said(report).into_iter().map(|(_, tokens, _)| tokens).collect::<Vec<_>>();
    assert_eq!(tokens(&still), tokens(&moved));
    assert!(mind(&moved).counters["loads"] >= 5, "{:?}", mind(&moved).counters);
}
