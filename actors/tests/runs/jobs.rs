//! Work on accelerators: where it runs, what a panicking job costs, and what a move asks of a node.

use std::time::Duration;

use nanomind_actors::governor::{Change, GovernorConfig};
use nanomind_actors::report::RunEnd;
use nanomind_actors::{JobSpec, NodeContext, NodeError, Packet, RunOptions, Runtime};
use nanomind_hal::{BatterySource, JobClass, JobCost, Phase};

use super::stage::{Stage, brick};

fn step() -> JobSpec {
    JobSpec { phase: Phase::Decode, tokens: 1, class: JobClass::Decode, cost: JobCost::default(), request: None }
}

/// Each word is a job that turns it round; the job panics at "panic".
async fn turn_round(mut context: NodeContext) -> Result<(), NodeError> {
    while let Some(firing) = context.next().await {
        let word = firing.packet.as_text().unwrap_or_default().to_owned();
        let turned = context.jobs().run(step(), move |_| {
            assert_ne!(word, "panic", "cannot turn this word");
            word.chars().rev().collect::<String>()
        });
        let packet = Packet::text(firing.packet.request(), turned.await?.value, 1).ending();
        context.send("text", packet).await?;
    }
    Ok(())
}

const GRAPH: &str = r#"Graph(
    name: "turning",
    nodes: { "words": Words(text: "abc panic def"), "mind": Turn(), "reply": Keep() },
    edges: [("words.text", "mind.text"), ("mind.text", "reply.text")],
    placement: { "mind": Pin("cpu") },
)"#;

#[test]
fn a_job_that_panics_loses_one_request_and_its_node_is_restarted() {
    let mut stage = Stage::new();
    stage.add(brick("Turn"), turn_round);
    let report = stage.run(GRAPH);
    let seen = stage.seen.all();
    assert_eq!((seen[0].as_str(), seen[2].as_str(), seen[3].as_str()), ("cba", "fed", "end"), "{seen:?}");
    assert!(seen[1].starts_with("failed: node `mind` panicked: "), "{seen:?}");
    assert!(seen[1].contains("cannot turn this word"), "{seen:?}");
    assert_eq!((report.end, report.nodes[1].outcome.restarts), (RunEnd::Finished, 1));
    let ran_on = &report.nodes[1].ran_on;
    assert_eq!((ran_on.len(), ran_on[0].accelerator.as_str(), ran_on[0].jobs), (1, "cpu", 2), "{ran_on:?}");
}

#[test]
fn a_node_without_accelerators_that_submits_a_job_is_told_what_its_specification_lacks() {
    let mut stage = Stage::new();
    let mut spec = brick("Turn");
    spec.runs_on.clear();
    stage.add(spec, turn_round);
    let report = stage.run(&GRAPH.replace(r#"placement: { "mind": Pin("cpu") },"#, r#"restart: { "*": Never },"#));
    let end = &report.nodes[1].outcome.end;
    assert!(end.contains("its specification lacks `runs_on`"), "{end}");
}

/// Counts to eight in jobs, with a migration point after each.
async fn count(mut context: NodeContext) -> Result<(), NodeError> {
    let mut state = 0;
    while let Some(firing) = context.next().await {
        let mut places = Vec::new();
        for tokens in 1..=8 {
            let outcome = context.jobs().run(step(), move |_| state + 1).await?;
            state = outcome.value;
            places.push(outcome.accelerator.to_string());
            context.migration_point(tokens).await;
        }
        let text = format!("{state}: {}", places.join(" "));
        context.send("text", Packet::text(firing.packet.request(), text, 1).ending()).await?;
    }
    Ok(())
}

#[test]
fn a_forced_migration_moves_the_node_between_two_jobs_and_its_state_goes_with_it() {
    let mut stage = Stage::new();
    stage.add(brick("Count"), count);
    let plan = stage.plan(
        r#"Graph(
            name: "moving",
            nodes: { "words": Words(text: "go"), "mind": Count(), "reply": Keep() },
            edges: [("words.text", "mind.text"), ("mind.text", "reply.text")],
            placement: { "mind": Prefer(["cpu:0", "cpu:1"]) },
            power: Performance,
        )"#,
    );
    // So that nothing but the forced moves happens.
    let governor =
        GovernorConfig { period: Duration::from_secs(3600), battery: BatterySource::None, ..GovernorConfig::default() };
    let options = RunOptions { migrate_every: Some(2), governor, ..RunOptions::default() };
    let report = Runtime::start(&plan, &stage.machine, &stage.library, options).unwrap().wait();
    assert_eq!(stage.seen.all()[0], "8: cpu:0 cpu:0 cpu:1 cpu:1 cpu:0 cpu:0 cpu:1 cpu:1");
    assert_eq!(report.nodes[1].moves, 4);
    let moves = report.decisions.iter().filter(|record| matches!(record.decision.change, Change::Placement(_)));
    assert_eq!(moves.count(), 4, "{:?}", report.decisions);
}
