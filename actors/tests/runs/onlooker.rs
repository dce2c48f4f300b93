//! Sinks that look on: they end no request that another sink answers.

use std::time::Duration;

use nanomind_graphs::NodeSpec;

use crate::stage::{Stage, brick, text_port};

/// A stage with `Ask` (a sensor that waits for the end of its request), `Glance` (a sink that looks on) and `Ponder` (a
/// brick that takes its time).
fn stage() -> Stage {
    let mut stage = Stage::new();
    let seen = stage.seen.clone();
    stage.add(NodeSpec::sensor("Ask", "Asks once.").output(text_port()), move |context| {
        let seen = seen.clone();
        async move {
            let request = context.requests().mint();
            context.send("text", nanomind_actors::Packet::text(request, "why?", 0).ending()).await?;
            context.requests().settled(request.id).await;
            seen.push("the request has ended");
            Ok(())
        }
    });
    let seen = stage.seen.clone();
    stage.add(NodeSpec::sink("Glance", "Looks on.").input(text_port()).onlooker(), move |mut context| {
        let seen = seen.clone();
        async move {
            while context.next().await.is_some() {
                seen.push("a glance");
            }
            Ok(())
        }
    });
    stage.add(brick("Ponder"), |mut context| async move {
        while let Some(firing) = context.next().await {
            context.clock().sleep(Duration::from_millis(30)).await;
            context.send("text", firing.packet).await?;
        }
        Ok(())
    });
    stage
}

#[test]
fn a_request_ends_where_it_is_answered_and_not_where_somebody_looks_on() {
    let stage = stage();
    let report = stage.run(
        r#"Graph(
            name: "watched",
            nodes: { "ask": Ask(), "glance": Glance(), "ponder": Ponder(), "keep": Keep() },
            edges: [("ask", "glance"), ("ask", "ponder"), ("ponder", "keep")],
        )"#,
    );
    assert_eq!(stage.seen.all(), ["a glance", "why?", "the request has ended", "end"]);
    assert_eq!((report.requests.minted, report.requests.answered), (1, 1), "{:?}", report.requests);
}

#[test]
fn where_nobody_answers_a_request_ends_with_whoever_looks_on() {
    let stage = stage();
    let report =
        stage.run(r#"Graph(name: "alone", nodes: { "ask": Ask(), "glance": Glance() }, edges: [("ask", "glance")])"#);
    assert_eq!(stage.seen.all(), ["a glance", "the request has ended"]);
    assert_eq!(report.requests.answered, 1, "{:?}", report.requests);
}
