//! Sensors that show pictures: drawn scenes, folders, and what a slow consumer gets of a stream of frames.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nanomind_actors::report::RunEnd;
use nanomind_actors::trace::TraceFile;
use nanomind_actors::{Packet, Payload, RunReport};
use nanomind_graphs::{NodeSpec, PortSpec, PortType};

use super::stage::{Seen, Stage, text_port, traced};

/// What `Look` does with each picture beside remembering it.
type OnPicture = fn(usize) -> Duration;

/// A stage with `Look`, a sink that remembers the name or failure of each picture and then takes its time, and `Asks`,
/// which asks `questions` times, each time after the last answer.
fn stage(on_picture: OnPicture, questions: usize) -> Stage {
    let mut stage = Stage::new();
    let seen = stage.seen.clone();
    let input = PortSpec::new("image", PortType::Image, "Pictures.");
    stage.add(NodeSpec::sink("Look", "Looks.").input(input), move |mut context| {
        let seen = seen.clone();
        async move {
            let mut looked = 0;
            while let Some(firing) = context.next().await {
                seen.push(match &firing.packet.payload {
                    Payload::Image(picture) => picture.name().to_owned(),
                    Payload::Failed(error) => format!("failed: {error}"),
                    other => format!("{other:?}"),
                });
                context.clock().sleep(on_picture(looked)).await;
                looked += 1;
            }
            Ok(())
        }
    });
    stage.add(NodeSpec::sensor("Asks", "Asks.").output(text_port()), move |context| async move {
        for _ in 0..questions {
            let request = context.requests().mint();
            context.send("text", Packet::text(request, "?", 1).ending()).await?;
            context.requests().settled(request.id).await;
        }
        Ok(())
    });
    stage
}

fn at_once(_: usize) -> Duration {
    Duration::ZERO
}

/// A graph of one sensor and `Look`.
fn graph(sensor: &str, policy: &str) -> String {
    format!(
        r#"Graph(
            name: "pictures",
            nodes: {{ "camera": {sensor}, "look": Look() }},
            edges: [("camera.image", "look.image"{policy})],
        )"#
    )
}

/// The same, with questions.
fn asked(sensor: &str) -> String {
    format!(
        r#"Graph(
            name: "asked",
            nodes: {{ "asks": Asks(), "camera": {sensor}, "look": Look() }},
            edges: [("asks.text", "camera.question"), ("camera.image", "look.image")],
        )"#
    )
}

fn number(name: &str) -> u64 {
    name.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no frame's name: {name}"))
}

#[test]
fn a_slow_consumer_gets_the_newest_frame_and_the_dropped_ones_are_counted_and_traced_and_end_their_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let trace = TraceFile::create(&path).unwrap();
    // The first look takes longer than all other frames.
    let stage = stage(|looked| Duration::from_millis(if looked == 0 { 400 } else { 0 }), 0);
    let sensor = r#"SceneCamera(seed: 5, every: "1ms", frames: 30)"#;
    let report = traced(&trace, || stage.run(&graph(sensor, ", Latest")));
    trace.finish().unwrap();

    let seen: Vec<u64> = stage.seen.all().iter().map(|name| number(name)).collect();
    assert!(seen.is_sorted(), "an older frame after a newer one: {seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&29)), "the newest frame is never the one to go: {seen:?}");
    assert!(seen.len() < 15, "nothing was dropped: {seen:?}");
    let counts = report.edges[0].counts;
    assert_eq!((counts.packets, counts.received), (30, seen.len() as u64), "{counts:?}");
    assert_eq!(counts.dropped, 30 - counts.received, "{counts:?}");
    let requests = report.requests;
    assert_eq!((requests.minted, requests.answered), (30, counts.received), "{requests:?}");
    assert_eq!(requests.dropped, counts.dropped, "each lost frame is a lost request: {requests:?}");

    let trace: Vec<serde_json::Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let drops: Vec<&serde_json::Value> =
        trace.iter().filter(|event| event["name"] == "dropped camera.image → look.image").collect();
    assert_eq!(drops.len() as u64, counts.dropped);
    assert!(drops.last().unwrap()["args"].to_string().contains(&counts.dropped.to_string()), "{:?}", drops.last());
}

#[test]
fn a_consumer_that_blocks_gets_every_frame() {
    let stage = stage(at_once, 0);
    let report = stage.run(&graph(r#"SceneCamera(seed: 5, every: "0s", frames: 12)"#, ""));
    let names: Vec<String> = (0..12).map(|frame| format!("scene 5 frame {frame}")).collect();
    assert_eq!(stage.seen.all(), names);
    assert_eq!((report.requests.answered, report.edges[0].counts.dropped), (12, 0));
}

#[test]
fn each_question_gets_one_frame_of_its_own_request() {
    let stage = stage(at_once, 3);
    let report = stage.run(&asked("SceneCamera(seed: 9)"));
    assert_eq!(stage.seen.all(), ["scene 9 frame 0", "scene 9 frame 1", "scene 9 frame 2"]);
    assert_eq!((report.end, report.requests.minted, report.requests.answered), (RunEnd::Finished, 3, 3));
}

#[test]
fn the_truth_of_a_frame_comes_with_it_and_events_say_when_it_changes() {
    let mut stage = stage(at_once, 0);
    let events = Seen::default();
    let kept = events.clone();
    let input = PortSpec::new("event", PortType::Event, "Events.");
    stage.add(NodeSpec::sink("Hear", "Hears.").input(input), move |mut context| {
        let kept = kept.clone();
        async move {
            while let Some(firing) = context.next().await {
                if let Payload::Event(event) = &firing.packet.payload {
                    kept.push(format!("{} at {}", event.name, event.count));
                }
            }
            Ok(())
        }
    });
    stage.run(
        r#"Graph(
            name: "truth",
            nodes: {
                "camera": SceneCamera(seed: 3, every: "0s", frames: 9, motion: "still", events: "scenes", event_every: 4),
                "truth": Keep(), "hear": Hear(),
            },
            edges: [("camera.truth", "truth.text"), ("camera.event", "hear.event")],
        )"#,
    );
    let told = stage.seen.all();
    assert_eq!((told.len(), told.last().map(String::as_str)), (10, Some("end")), "{told:?}");
    assert!(told[..9].iter().all(|truth| truth.starts_with("a large ") || truth.starts_with("a small ")), "{told:?}");
    assert!(told[0] == told[3] && told[3] != told[4] && told[4] == told[7] && told[7] != told[8], "{told:?}");
    assert_eq!(events.all(), ["a new scene at 4", "a new scene at 8"]);
}

/// A small PNG.
fn png(path: &Path) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/scene/samples/scene-15.png");
    fs::copy(sample, path).unwrap();
}

/// A folder with pictures a, B and c, and things that are none.
fn album() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["c.png", "a.png", "B.PNG", ".hidden.png"] {
        png(&folder.path().join(name));
    }
    fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    fs::create_dir(folder.path().join("folder.png")).unwrap();
    folder
}

/// What was seen, without the folder's path.
fn shown(stage: &Stage, folder: &Path) -> Vec<String> {
    stage.seen.all().iter().map(|told| told.replace(&format!("{}/", folder.display()), "")).collect()
}

#[test]
fn a_folder_shows_its_pictures_in_the_order_of_their_names_and_ends() {
    let (stage, folder) = (stage(at_once, 0), album());
    let sensor = format!(r#"ImageFolder(path: "{}")"#, folder.path().display());
    let report = stage.run(&graph(&sensor, ""));
    assert_eq!(shown(&stage, folder.path()), ["B.PNG", "a.png", "c.png"]);
    assert_eq!((report.end, report.requests.answered), (RunEnd::Finished, 3));
}

#[test]
fn a_broken_picture_refuses_its_request_and_the_folder_goes_on() {
    let (stage, folder) = (stage(at_once, 0), album());
    fs::write(folder.path().join("b.png"), "\u{89}PNG, or so it says").unwrap();
    let report = stage.run(&graph(&format!(r#"ImageFolder(path: "{}")"#, folder.path().display()), ""));
    let told = shown(&stage, folder.path());
    assert_eq!((told.len(), told[3].as_str()), (4, "c.png"), "{told:?}");
    let expected =
        "failed: node `camera` cannot answer this request: b.png: expected a JPEG, PNG, WebP, BMP or GIF image";
    assert!(told[2].starts_with(expected), "{told:?}");
    assert_eq!((report.requests.answered, report.requests.failed), (3, 1));
    assert_eq!(report.nodes[0].outcome.restarts, 0);
}

#[test]
fn each_question_gets_the_next_picture_and_one_too_many_is_told_so() {
    let (stage, folder) = (stage(at_once, 4), album());
    let report = stage.run(&asked(&format!(r#"ImageFolder(path: "{}")"#, folder.path().display())));
    let told = shown(&stage, folder.path());
    assert_eq!(told[..3], ["B.PNG", "a.png", "c.png"]);
    assert!(told[3].ends_with(": all 3 pictures have been shown"), "{told:?}");
    assert_eq!((report.end, report.requests.answered, report.requests.failed), (RunEnd::Finished, 3, 1));
}

#[test]
fn a_folder_that_is_not_there_ends_the_run_with_its_name() {
    let stage = stage(at_once, 0);
    for watch in [false, true] {
        let sensor = format!(r#"ImageFolder(path: "/nowhere/album", watch: {watch})"#);
        let report = stage.run(&graph(&sensor, ""));
        let end = &report.nodes[0].outcome.end;
        assert!(end.starts_with("failed: /nowhere/album: "), "{end}");
    }
}

/// Runs a watched album; when so many pictures have been looked at, does what the test says with the folder.
fn watched(steps: Vec<fn(&Path)>) -> (RunReport, Vec<String>) {
    let folder = album();
    let mut stage = Stage::new();
    let (seen, steps) = (stage.seen.clone(), Arc::new(Mutex::new(steps)));
    let path: PathBuf = folder.path().to_owned();
    let input = PortSpec::new("image", PortType::Image, "Pictures.");
    stage.add(NodeSpec::sink("Look", "Looks.").input(input), move |mut context| {
        let (seen, steps, path) = (seen.clone(), steps.clone(), path.clone());
        async move {
            while let Some(firing) = context.next().await {
                seen.push(match &firing.packet.payload {
                    Payload::Image(picture) => picture.name().to_owned(),
                    other => format!("{other:?}"),
                });
                if seen.all().len() < 3 {
                    continue;
                }
                let step = {
                    let mut steps = steps.lock().unwrap();
                    (!steps.is_empty()).then(|| steps.remove(0))
                };
                match step {
                    Some(step) => step(&path),
                    None => context.drain_run(),
                }
            }
            Ok(())
        }
    });
    let report = stage.run(&graph(&format!(r#"ImageFolder(path: "{}", watch: true)"#, folder.path().display()), ""));
    (report, shown(&stage, folder.path()))
}

#[test]
fn a_watched_folder_shows_what_is_written_moved_or_linked_into_it_until_the_run_drains() {
    let (report, told) = watched(vec![
        |folder| png(&folder.join("written.png")),
        |folder| {
            fs::write(folder.join("more.txt"), "no picture").unwrap();
            png(&folder.join(".moved"));
            fs::rename(folder.join(".moved"), folder.join("moved.png")).unwrap();
        },
        |folder| std::os::unix::fs::symlink(folder.join("c.png"), folder.join("linked.png")).unwrap(),
        |folder| fs::hard_link(folder.join("c.png"), folder.join("second.png")).unwrap(),
        |folder| png(&folder.join("a.png")),
    ]);
    let expected = ["B.PNG", "a.png", "c.png", "written.png", "moved.png", "linked.png", "second.png", "a.png"];
    assert_eq!(told, expected);
    assert_eq!((report.end, report.requests.answered), (RunEnd::Drained, 8), "{:?}", report.requests);
}

#[test]
fn a_picture_is_not_shown_before_it_is_written_whole() {
    let (report, told) = watched(vec![
        |folder| {
            let whole = fs::read(folder.join("c.png")).unwrap();
            let mut half = fs::File::create(folder.join("slow.png")).unwrap();
            half.write_all(&whole[..whole.len() / 2]).unwrap();
            half.sync_all().unwrap();
            // Another picture comes while this one is still being written.
            png(&folder.join("fast.png"));
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                half.write_all(&whole[whole.len() / 2..]).unwrap();
            });
        },
        |_| {},
    ]);
    assert_eq!(told, ["B.PNG", "a.png", "c.png", "fast.png", "slow.png"]);
    assert_eq!((report.end, report.requests.failed), (RunEnd::Drained, 0), "{:?}", report.requests);
}
