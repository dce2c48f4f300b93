//! How nodes and runs end: restarts, failures, panics, drain and stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nanomind_actors::report::RunEnd;
use nanomind_actors::{NodeError, Packet};
use nanomind_graphs::NodeSpec;

use super::stage::{Stage, Words, brick, text_port};

/// A stage with `Fragile`: passes words on, panics at "panic", fails at "fail".
fn fragile() -> Stage {
    let mut stage = Stage::new();
    stage.add(brick("Fragile"), |mut context| async move {
        while let Some(firing) = context.next().await {
            match firing.packet.as_text() {
                Some("panic") => panic!("cannot bear this word"),
                Some("fail") => {
                    return Err(NodeError::own(std::io::Error::other("this word is refused")));
                }
                _ => context.send("text", firing.packet).await?,
            }
        }
        Ok(())
    });
    stage
}

fn graph(words: &str, restart: &str) -> String {
    format!(
        r#"Graph(
            name: "fragile",
            nodes: {{ "words": Words(text: "{words}"), "mind": Fragile(), "reply": Keep() }},
            edges: [("words.text", "mind.text"), ("mind.text", "reply.text")],
            restart: {{ "*": {restart} }},
        )"#
    )
}

#[test]
fn a_panicking_node_is_restarted_and_only_the_request_in_flight_fails() {
    let stage = fragile();
    let report = stage.run(&graph("one panic two", r#"OnFailure(max: 3, within: "1min")"#));
    let failure = "failed: node `mind` panicked: cannot bear this word";
    assert_eq!(stage.seen.all(), ["one", failure, "two", "end"]);
    assert_eq!(report.end, RunEnd::Finished);
    assert_eq!(report.nodes[1].outcome.restarts, 1);
    assert_eq!((report.requests.answered, report.requests.failed), (2, 1), "{:?}", report.requests);
}

#[test]
fn a_node_that_fails_too_often_stays_down_and_the_run_ends_as_failed_but_loses_nothing_before() {
    let stage = fragile();
    let report = stage.run(&graph("one fail two fail three", r#"OnFailure(max: 1, within: "1min")"#));
    let failure = "failed: node `mind` failed: this word is refused";
    assert_eq!(stage.seen.all(), ["one", failure, "two", failure, "end"]);
    assert_eq!(report.end, RunEnd::Failed);
    assert_eq!(report.nodes[1].outcome.end, "failed: this word is refused");
}

#[test]
fn without_restarts_the_first_failure_is_the_last() {
    let stage = fragile();
    let report = stage.run(&graph("one fail two", "Never"));
    assert_eq!(stage.seen.all(), ["one", "failed: node `mind` failed: this word is refused", "end"]);
    assert_eq!((report.end, report.nodes[1].outcome.restarts), (RunEnd::Failed, 0));
}

#[test]
fn a_node_that_cannot_be_made_is_a_failed_node() {
    let mut stage = Stage::new();
    stage
        .library
        .register(brick("Unmakable"), |_| -> Result<Words, NodeError> {
            Err(NodeError::own(std::io::Error::other("no such lens")))
        })
        .unwrap();
    let report = stage.run(&graph("one", "Never").replace("Fragile", "Unmakable"));
    assert_eq!(report.end, RunEnd::Failed);
    assert_eq!(report.nodes[1].outcome.end, "failed: no such lens");
}

/// A stage with `Endless`, a sensor that never ends by itself, and a sink that asks `handle` for the end at a word.
fn endless() -> (Stage, Arc<AtomicU32>) {
    let mut stage = Stage::new();
    let sent = Arc::new(AtomicU32::new(0));
    let counter = sent.clone();
    stage.add(NodeSpec::sensor("Endless", "Never ends.").output(text_port()), move |context| {
        let counter = counter.clone();
        async move {
            loop {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let packet = Packet::text(context.requests().mint(), number.to_string(), 1).ending();
                context.send("text", packet).await?;
            }
        }
    });
    (stage, sent)
}

#[test]
fn a_drained_run_stops_its_sensors_and_lets_everything_that_was_sent_flow_out() {
    let (stage, sent) = endless();
    let running = stage.start(
        r#"Graph(
            name: "endless",
            nodes: { "numbers": Endless(), "reply": Keep() },
            edges: [("numbers.text", "reply.text")],
        )"#,
    );
    let handle = running.handle();
    let seen = stage.seen.clone();
    let drainer = std::thread::spawn(move || {
        while seen.all().len() < 3 {
            std::thread::yield_now();
        }
        handle.drain();
    });
    let report = running.wait();
    drainer.join().unwrap();
    assert_eq!(report.end, RunEnd::Drained);
    let edge = &report.edges[0].counts;
    assert_eq!(edge.packets, edge.received, "{edge:?} of {} sent", sent.load(Ordering::SeqCst));
    assert_eq!(stage.seen.all().last().map(String::as_str), Some("end"), "the sink has ended by itself");
}

#[test]
fn a_stopped_run_ends_although_a_node_would_wait_for_ever() {
    let mut stage = Stage::new();
    let (started, told) = std::sync::mpsc::channel();
    stage.add(brick("Stuck"), move |mut context| {
        let started = started.clone();
        async move {
            context.next().await;
            started.send(()).unwrap();
            std::future::pending().await
        }
    });
    let running = stage.start(&graph("one", "Never").replace("Fragile", "Stuck"));
    let handle = running.handle();
    let stopper = std::thread::spawn(move || {
        told.recv().unwrap();
        handle.stop();
    });
    let report = running.wait();
    stopper.join().unwrap();
    assert_eq!((report.end, report.nodes[1].outcome.end.as_str()), (RunEnd::Stopped, "stopped"));
}

#[test]
fn a_producer_whose_only_consumer_is_gone_finishes() {
    let (mut stage, _) = endless();
    stage.add(NodeSpec::sink("OneOnly", "Takes one packet.").input(text_port()), |mut context| async move {
        context.next().await;
        Ok(())
    });
    let report = stage.run(
        r#"Graph(
            name: "enough",
            nodes: { "numbers": Endless(), "reply": OneOnly() },
            edges: [("numbers.text", "reply.text")],
        )"#,
    );
    assert_eq!((report.end, report.nodes[0].outcome.end.as_str()), (RunEnd::Finished, "finished"));
}

/// Asks one question at a time and waits until it has ended, as a person at a terminal does.
fn asker(stage: &mut Stage) {
    stage.add(NodeSpec::sensor("Asker", "Waits for each answer.").output(text_port()), |context| async move {
        for word in ["one", "two", "three"] {
            let request = context.requests().mint();
            context.send("text", Packet::text(request, word, 1).ending()).await?;
            context.requests().settled(request.id).await;
        }
        Ok(())
    });
}

#[test]
fn whoever_waits_for_an_answer_is_let_go_when_a_node_on_the_way_has_ended() {
    // The sink is gone, so the brick in between loses what it works on.
    let mut stage = fragile();
    asker(&mut stage);
    stage.add(NodeSpec::sink("Broken", "Fails at once.").input(text_port()), |mut context| async move {
        context.next().await;
        Err(NodeError::own(std::io::Error::other("no ink")))
    });
    let graph = |sink: &str| {
        format!(
            r#"Graph(
                name: "asker",
                nodes: {{ "asker": Asker(), "mind": Fragile(), "reply": {sink}() }},
                edges: [("asker.text", "mind.text"), ("mind.text", "reply.text")],
                restart: {{ "*": Never }},
            )"#
        )
    };
    let report = stage.run(&graph("Broken"));
    assert_eq!(report.end, RunEnd::Failed);
    let counts = report.requests;
    assert_eq!(counts.minted, counts.answered + counts.failed + counts.dropped, "every request has ended: {counts:?}");

    // The brick never comes up, so what waits for it is lost.
    let unmakable = |_: &nanomind_graphs::PlannedNode| -> Result<Words, NodeError> {
        Err(NodeError::own(std::io::Error::other("no such lens")))
    };
    stage.library.register(brick("Unmakable"), unmakable).unwrap();
    let report = stage.run(&graph("Keep").replace("Fragile", "Unmakable"));
    let counts = report.requests;
    assert_eq!(counts.minted, counts.answered + counts.failed + counts.dropped, "every request has ended: {counts:?}");
}
