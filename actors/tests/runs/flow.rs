//! How packets flow: fan-out, slow sinks, drops, cancelled epochs.

use nanomind_actors::{Packet, Payload};
use nanomind_graphs::NodeSpec;

use super::stage::{Seen, Stage, text_port};

#[test]
fn every_edge_of_an_output_gets_every_packet() {
    let stage = Stage::new();
    let report = stage.run(
        r#"Graph(
            name: "fan-out",
            nodes: { "words": Words(text: "a b"), "left": Keep(), "right": Keep() },
            edges: [("words.text", "left.text"), ("words.text", "right.text")],
        )"#,
    );
    let mut seen = stage.seen.all();
    seen.sort();
    assert_eq!(seen, ["a", "a", "b", "b", "end", "end"]);
    assert_eq!(report.edges.iter().map(|edge| edge.counts.received).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_sink_that_is_too_slow_loses_packets_where_the_edge_says_so_and_the_report_shows_it() {
    let mut stage = Stage::new();
    let seen = Seen::default();
    let kept = seen.clone();
    // Takes its first packet when the words are all sent: the edge has had to choose by then.
    stage.add(NodeSpec::sink("Late", "Looks late.").input(text_port()), move |mut context| {
        let kept = kept.clone();
        async move {
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            while let Some(firing) = context.next().await {
                kept.push(firing.packet.as_text().unwrap_or("?"));
            }
            Ok(())
        }
    });
    let report = stage.run(
        r#"Graph(
            name: "late",
            nodes: { "words": Words(text: "a b c d e"), "late": Late() },
            edges: [("words.text", "late.text", Latest)],
        )"#,
    );
    let counts = report.edges[0].counts;
    assert_eq!(counts.packets, 5, "{counts:?}");
    assert_eq!(counts.received + counts.dropped, 5, "{counts:?}");
    assert_eq!(seen.all().last().map(String::as_str), Some("e"), "the last word is never the one to go");
    assert_eq!(report.requests.dropped, counts.dropped, "a lost word is a lost request: {:?}", report.requests);
}

#[test]
fn a_cancelled_epoch_vanishes_from_the_edges_and_the_others_stay() {
    let mut stage = Stage::new();
    let spec = NodeSpec::sensor("Interrupted", "Sends three words, then takes the second back.").output(text_port());
    stage.add(spec, |context| async move {
        let requests: Vec<_> = ["a", "b", "c"].map(|word| (context.requests().mint(), word)).into();
        for (request, word) in &requests {
            context.send("text", Packet::text(*request, *word, 1).ending()).await?;
        }
        context.cancel(requests[1].0.epoch);
        Ok(())
    });
    let report = stage.run(
        r#"Graph(
            name: "interrupted",
            nodes: { "words": Interrupted(), "reply": Keep() },
            edges: [("words.text", "reply.text")],
        )"#,
    );
    assert_eq!(stage.seen.all(), ["a", "c", "end"]);
    assert_eq!((report.requests.cancelled, report.edges[0].counts.cancelled), (1, 1), "{:?}", report.edges[0]);
}

#[test]
fn a_timer_ticks_so_many_times_and_asks_its_text_each_time() {
    let stage = Stage::new();
    let report = stage.run(
        r#"Graph(
            name: "timer",
            nodes: { "clock": Timer(every: "1ms", count: 3, text: "now?"), "reply": Keep() },
            edges: [("clock.text", "reply.text")],
        )"#,
    );
    assert_eq!(stage.seen.all(), ["now?", "now?", "now?", "end"]);
    assert_eq!(report.requests.answered, 3, "{:?}", report.requests);
}

#[test]
fn lines_of_a_file_go_to_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("questions.txt"), folder.path().join("answers.txt"));
    std::fs::write(&from, "one\n\n  two\n").unwrap();
    std::fs::write(&to, "older\n").unwrap();
    let graph = |mode: &str| {
        format!(
            r#"Graph(
                name: "files",
                nodes: {{ "from": TextFile(path: "{}"), "to": TextSink(path: "{}", mode: "{mode}") }},
                edges: [("from.text", "to.text")],
            )"#,
            from.display(),
            to.display()
        )
    };
    let stage = Stage::new();
    stage.run(&graph("replace"));
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "one\n  two\n");
    stage.run(&graph("append"));
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "one\n  two\none\n  two\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

/// Moving a finished file onto `/dev/null` would, as root, replace the device for the whole machine.
#[test]
fn what_is_no_ordinary_file_is_written_and_never_replaced() {
    use std::os::unix::fs::FileTypeExt;

    let folder = tempfile::tempdir().unwrap();
    let (pipe, kept, link) =
        (folder.path().join("pipe"), folder.path().join("kept.txt"), folder.path().join("link.txt"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(&kept, "older\n").unwrap();
    std::os::unix::fs::symlink(&kept, &link).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    let stage = Stage::new();
    for to in [&pipe, &link] {
        stage.run(&format!(
            r#"Graph(
                name: "sink",
                nodes: {{ "question": Prompt(text: "hello"), "to": TextSink(path: "{}") }},
                edges: [("question.text", "to.text")],
            )"#,
            to.display()
        ));
    }
    assert!(pipe.metadata().unwrap().file_type().is_fifo(), "the pipe is still a pipe");
    assert_eq!(reader.join().unwrap(), "hello\n");
    assert!(link.symlink_metadata().unwrap().is_symlink(), "the link is still a link");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "hello\n");
}

#[test]
fn a_file_that_is_missing_ends_the_run_as_failed_with_its_name() {
    let stage = Stage::new();
    let report = stage.run(
        r#"Graph(
            name: "files",
            nodes: { "from": TextFile(path: "/nowhere/questions.txt"), "reply": Keep() },
            edges: [("from.text", "reply.text")],
            restart: { "*": Never },
        )"#,
    );
    let end = &report.nodes[0].outcome.end;
    assert!(end.starts_with("failed: /nowhere/questions.txt: "), "{end}");
    assert!(report.failed());
}

#[test]
fn a_failure_passes_through_bricks_that_never_see_it() {
    let mut stage = Stage::new();
    let refuses = NodeSpec::sensor("Refused", "Sends a failure.").output(text_port());
    stage.add(refuses, |context| async move {
        let request = context.requests().mint();
        let error = nanomind_actors::RequestError::Refused { node: "words".into(), cause: "too loud".to_owned() };
        context.send("text", Packet::failed(request, error)).await
    });
    stage.add(super::stage::brick("Upper"), |mut context| async move {
        while let Some(firing) = context.next().await {
            assert!(!matches!(firing.packet.payload, Payload::Failed(_)), "a brick is not shown failures");
            context.send("text", firing.packet).await?;
        }
        Ok(())
    });
    let report = stage.run(
        r#"Graph(
            name: "refused",
            nodes: { "words": Refused(), "upper": Upper(), "reply": Keep() },
            edges: [("words.text", "upper.text"), ("upper.text", "reply.text")],
        )"#,
    );
    assert_eq!(stage.seen.all(), ["failed: node `words` cannot answer this request: too loud", "end"]);
    assert_eq!(report.requests.failed, 1);
}
