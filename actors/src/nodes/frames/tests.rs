//! Streams under test: the scene camera on a simulated device, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;

use nanomind_graphs::{NodeSpec, PortSpec, PortType};
use nanomind_hal::{AcceleratorKind, JobClass, JobCost, Phase};

use crate::duty::{Duty, Frames};
use crate::jobs::JobSpec;
use crate::virtual_stage::run_graph;
use crate::{NodeContext, NodeLibrary, Origin, RunReport};

/// What a sink saw of a stream: at which second, and for whom.
type Seen = Rc<RefCell<Vec<(f64, Origin)>>>;

/// A library with `Eye`, which works on each picture for a second or so of the device, and posts `duty` in its second life
/// of a stream: once it has seen `after` pictures.
fn library(first: Duty, after: usize, then: Duty) -> (NodeLibrary, Seen) {
    let mut library = NodeLibrary::standard().unwrap();
    let seen = Seen::default();
    let noted = seen.clone();
    let eye = move |mut context: NodeContext| {
        let seen = noted.clone();
        async move {
            context.duty.post(first);
            while let Some(firing) = context.next().await {
                let request = firing.packet.request;
                let origin = context.requests().origin(request).unwrap_or_default();
                seen.borrow_mut().push((context.clock().now().as_secs_f64(), origin));
                if seen.borrow().len() == after {
                    context.duty.post(then);
                }
                let cost = JobCost { flops: 20_000_000_000, bytes: 1 << 20 };
                let (phase, class) = (Phase::Encode, JobClass::Vision);
                context.jobs().run(JobSpec { phase, tokens: 1, class, cost, request: Some(request) }, |_| ()).await?;
            }
            Ok(())
        }
    };
    let image = PortSpec::new("image", PortType::Image, "Pictures.");
    let spec = NodeSpec::sink("Eye", "Looks.").input(image).runs_on(&[AcceleratorKind::Cpu]);
    library.register(spec, move |_| Ok(eye.clone())).unwrap();
    (library, seen)
}

fn film(library: &NodeLibrary, camera: &str) -> RunReport {
    let edges = r#"edges: [("camera.image", "eye.image")]"#;
    run_graph(library, &format!(r#"nodes: {{ "camera": SceneCamera({camera}), "eye": Eye() }}, {edges}"#))
}

fn counter(report: &RunReport, name: &str) -> u64 {
    report.nodes[0].counters.get(name).copied().unwrap_or(0)
}

#[test]
fn a_still_scene_is_shown_when_it_changes_and_all_other_frames_are_counted() {
    let moving = Duty { frames: Frames::Moving, ..Duty::default() };
    let (library, seen) = library(moving, usize::MAX, moving);
    let report =
        film(&library, r#"seed: 3, motion: "still", events: "scenes", event_every: 5, frames: 20, every: "10s""#);
    let seconds: Vec<f64> = seen.borrow().iter().map(|(at, _)| (at / 10.0).round() * 10.0).collect();
    assert_eq!(seconds, [0.0, 10.0, 50.0, 100.0, 150.0], "the first one, the first of this duty, and each new scene");
    assert_eq!((counter(&report, "frames"), counter(&report, "unmoved")), (5, 15));
    assert_eq!(report.requests.minted, 5, "what did not move is no request");
    assert!(seen.borrow().iter().all(|(_, origin)| *origin == Origin::Stream));
}

#[test]
fn a_stream_slows_down_and_speeds_up_with_the_duty() {
    let slow = Duty { frame_rate: 0.1, ..Duty::default() };
    let (library, seen) = library(Duty::default(), 3, slow);
    film(&library, r#"frames: 5, every: "2s""#);
    let seconds: Vec<f64> = seen.borrow().iter().map(|(at, _)| at.round()).collect();
    assert_eq!(seconds, [0.0, 2.0, 4.0, 24.0, 44.0]);
}

#[test]
fn a_brick_rests_from_a_stream_so_that_its_work_is_no_more_than_its_share() {
    let full = Duty::default();
    let quarter = Duty { working_share: 0.25, ..full };
    let [busy, rested] = [full, quarter].map(|duty| {
        let (library, _) = library(duty, usize::MAX, duty);
        let report = film(&library, r#"frames: 8, every: "0s""#);
        let working: f64 = report.nodes[1].ran_on.iter().map(|place| place.run_ms).sum();
        working / (report.seconds * 1e3)
    });
    assert!(busy > 0.8, "without rest it works nearly all the time: {busy}");
    // It need not rest from the last one.
    assert!((0.2..0.3).contains(&rested), "{rested}");
}

#[test]
fn nobody_rests_while_somebody_waits_for_an_answer() {
    let duty = Duty { working_share: 0.01, ..Duty::default() };
    let (mut library, seen) = library(duty, usize::MAX, duty);
    // Asks at the third second, and waits for an answer for as long as a hundred frames take.
    let ask = |context: NodeContext| async move {
        context.clock().sleep(std::time::Duration::from_secs(3)).await;
        let request = context.requests().mint();
        context.clock().sleep(std::time::Duration::from_secs(60)).await;
        context.send("text", crate::Packet::text(request, "never mind", 1).ending()).await
    };
    let text = || PortSpec::new("text", PortType::Text, "Text.");
    library.register(NodeSpec::sensor("Ask", "Asks.").output(text()), move |_| Ok(ask)).unwrap();
    let hear = |mut context: NodeContext| async move {
        while context.next().await.is_some() {}
        Ok(())
    };
    library.register(NodeSpec::sink("Hear", "Hears.").input(text()), move |_| Ok(hear)).unwrap();
    run_graph(
        &library,
        r#"nodes: { "camera": SceneCamera(frames: 40, every: "1s"), "eye": Eye(), "ask": Ask(), "out": Hear() },
           edges: [("camera.image", "eye.image"), ("ask.text", "out.text")]"#,
    );
    let times: Vec<f64> = seen.borrow().iter().map(|(at, _)| *at).collect();
    let [before, meanwhile] = [0.0..3.0, 3.0..40.0].map(|range| times.iter().filter(|at| range.contains(*at)).count());
    assert!(before <= 1, "it rests for a hundred times as long as it works: {times:?}");
    assert!(meanwhile > 30, "a frame a second: {times:?}");
}
