//! The camera node on a camera that tests unplug: requests, refusals, waiting, and going on.

use std::path::Path;
use std::sync::Mutex;

use std::time::Duration;

use nanomind_graphs::{
    Drawing, ModelCatalogue, ModelFacts, ModelProblem, NoFiles, NodeSpec, Overrides, Source, Surroundings, check,
};
use nanomind_hal::camera::{Camera as Device, CameraFormat, Coding, Frame, FramePixels};

use super::*;
use crate::{Machine, NodeLibrary, Packet, Payload, RunOptions, RunReport, Runtime};

struct NoModels;

impl ModelCatalogue for NoModels {
    fn facts(&self, _: &str) -> Result<ModelFacts, ModelProblem> {
        Err(ModelProblem::Unknown { known: Vec::new() })
    }
}

/// What a test does to the camera, and what it has seen.
#[derive(Default)]
struct Plug {
    /// What each further frame gives; then frames without end.
    script: Vec<Option<CameraError>>,
    plugged: bool,
    opened: usize,
    frames: u64,
}

/// A camera that is unplugged by its script, and plugged in again by a file that shows up in its folder.
#[derive(Clone)]
struct StandIn {
    plug: Arc<Mutex<Plug>>,
    folder: Arc<tempfile::TempDir>,
}

fn gone() -> CameraError {
    CameraError::Unplugged { device: "stand-in".to_owned() }
}

impl StandIn {
    fn new(script: impl IntoIterator<Item = Option<CameraError>>) -> StandIn {
        let mut script: Vec<_> = script.into_iter().collect();
        script.reverse();
        let plug = Plug { script, plugged: true, ..Plug::default() };
        StandIn { plug: Arc::new(Mutex::new(plug)), folder: Arc::new(tempfile::tempdir().unwrap()) }
    }

    /// Plugs it in: its device file shows up.
    fn plug_in(&self) {
        self.plug.lock().unwrap().plugged = true;
        std::fs::write(self.folder.path().join("video0"), "").unwrap();
    }
}

impl CameraSource for StandIn {
    fn open(&self) -> Result<Box<dyn Device>, CameraError> {
        let mut plug = self.plug.lock().unwrap();
        plug.opened += 1;
        if plug.plugged {
            Ok(Box::new(self.clone()))
        } else {
            Err(CameraError::NotFound { wanted: "`stand-in`".to_owned(), found: "no camera at all".to_owned() })
        }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Device for StandIn {
    fn name(&self) -> &str {
        "stand-in"
    }

    fn format(&self) -> CameraFormat {
        CameraFormat { coding: Coding::Rgb, width: 2, height: 1, rate: None }
    }

    fn frame(&mut self) -> Result<Frame, CameraError> {
        let mut plug = self.plug.lock().unwrap();
        if let Some(Some(error)) = plug.script.pop() {
            if let CameraError::Unsupported { .. } = error {
                drop(plug);
                panic!("the driver's own mistake");
            }
            plug.plugged = !matches!(error, CameraError::Unplugged { .. });
            return Err(error);
        }
        plug.frames += 1;
        Ok(Frame { width: 2, height: 1, sequence: 2 * plug.frames, pixels: FramePixels::Rgb(vec![7; 6]) })
    }
}

type Seen = Arc<Mutex<Vec<String>>>;

/// What a question is told while the camera is away.
const REFUSAL: &str = "node `camera` cannot answer this request: camera stand-in: it was unplugged";

/// When the next question comes.
#[derive(Clone, Copy, PartialEq)]
enum Asking {
    AfterTheAnswer,
    AllAtOnce,
}

fn run(camera: &StandIn, fields: &str, questions: Option<fn(usize, &StandIn) -> bool>) -> (RunReport, Vec<String>) {
    run_with(camera, fields, questions, Asking::AfterTheAnswer)
}

/// Runs a graph of the camera as `camera`, `Asks` that sends what `questions` says when it is called with how many ends
/// it has seen, and `Look` that remembers.
fn run_with(
    camera: &StandIn,
    fields: &str,
    questions: Option<fn(usize, &StandIn) -> bool>,
    asking: Asking,
) -> (RunReport, Vec<String>) {
    let machine = Machine::detect(None, None).unwrap();
    let mut library = NodeLibrary::empty();
    let (source, seen) = (Arc::new(camera.clone()), Seen::default());
    library.register(spec(), move |plan| Camera::on(source.clone(), plan)).unwrap();
    let (asker, ask) = (camera.clone(), questions);
    let text = || PortSpec::new("text", PortType::Text, "Text.");
    library
        .register(NodeSpec::sensor("Asks", "Asks.").output(text()), move |_| {
            let (asker, ask) = (asker.clone(), ask);
            Ok(move |context: NodeContext| async move {
                let mut asked = 0;
                while ask.is_some_and(|ask| ask(asked, &asker)) {
                    let request = context.requests().mint();
                    context.send("text", Packet::text(request, "?", 1).ending()).await?;
                    if asking == Asking::AfterTheAnswer {
                        context.requests().settled(request.id).await;
                        context.clock().sleep(Duration::from_millis(2)).await;
                    }
                    asked += 1;
                }
                Ok(())
            })
        })
        .unwrap();
    let looker = seen.clone();
    let input = PortSpec::new("image", PortType::Image, "Pictures.");
    library
        .register(NodeSpec::sink("Look", "Looks.").input(input), move |_| {
            let seen = looker.clone();
            Ok(move |mut context: NodeContext| async move {
                while let Some(firing) = context.next().await {
                    let told = match &firing.packet.payload {
                        Payload::Image(picture) => picture.name().to_owned(),
                        Payload::Failed(error) => error.to_string(),
                        other => format!("{other:?}"),
                    };
                    seen.lock().unwrap().push(told);
                }
                Ok(())
            })
        })
        .unwrap();
    let asks = questions.map_or("", |_| r#""asks": Asks(),"#);
    let edge = questions.map_or("", |_| r#"("asks.text", "camera.question"),"#);
    let graph = format!(
        r#"Graph(
            name: "camera",
            nodes: {{ {asks} "camera": Camera({fields}), "look": Look() }},
            edges: [{edge} ("camera.image", "look.image")],
        )"#
    );
    let for_graphs = machine.for_graphs();
    let surroundings =
        Surroundings { registry: library.registry(), loader: &NoFiles, models: &NoModels, machine: &for_graphs };
    let plan = check(Source::new("test.ron", graph), &Overrides::none(), surroundings)
        .unwrap_or_else(|report| panic!("{}", report.draw(Drawing::PLAIN)));
    let report = Runtime::start(&plan, &machine, &library, RunOptions::default()).unwrap().wait();
    let seen = seen.lock().unwrap().clone();
    (report, seen)
}

/// What the node counted.
fn counted(report: &RunReport, counter: &str) -> u64 {
    let camera = report.nodes.iter().find(|node| node.node == "camera").unwrap();
    camera.counters.get(counter).copied().unwrap_or(0)
}

#[test]
fn each_picture_makes_a_request_and_a_camera_that_comes_back_goes_on_with_none_lost() {
    let camera = StandIn::new([None, None, Some(gone())]);
    let plugger = camera.clone();
    // Plugs it in when the node has tried in vain to open it again.
    let hand = std::thread::spawn(move || {
        while plugger.plug.lock().unwrap().opened < 2 {
            std::thread::yield_now();
        }
        plugger.plug_in();
    });
    let (report, seen) = run(&camera, r#"frames: 5, every: "0s""#, None);
    hand.join().unwrap();
    assert_eq!(seen, [2, 4, 6, 8, 10].map(|number| format!("stand-in frame {number}")));
    assert_eq!((report.requests.minted, report.requests.answered), (5, 5), "{:?}", report.requests);
    let counts = ["frames", "unplugged", "returned", "missed"].map(|counter| counted(&report, counter));
    // Every second frame of the stand-in is missed, but nobody knows what it took while it was away.
    assert_eq!(counts, [5, 1, 1, 3]);
}

#[test]
fn only_the_questions_that_find_the_camera_away_are_refused() {
    let camera = StandIn::new([None, Some(gone())]);
    let ask = |asked: usize, camera: &StandIn| {
        if asked == 3 {
            camera.plug_in();
        }
        asked < 4 || (camera.plug.lock().unwrap().frames < 2 && asked < 5000)
    };
    let (report, seen) = run(&camera, "", Some(ask));
    assert!(seen.len() >= 4, "{seen:?}");
    assert_eq!(seen.first().unwrap(), "stand-in frame 2");
    assert_eq!(seen.last().unwrap(), "stand-in frame 4");
    assert!(seen[1..seen.len() - 1].iter().all(|told| told == REFUSAL), "{seen:?}");
    assert_eq!((report.requests.answered, report.requests.failed), (2, seen.len() as u64 - 2), "{:?}", report.requests);
    assert_eq!(["frames", "unplugged", "returned"].map(|counter| counted(&report, counter)), [2, 1, 1]);
}

#[test]
fn questions_that_come_without_a_pause_find_the_camera_that_is_back() {
    let camera = StandIn::new([None, Some(gone())]);
    let ask = |asked: usize, camera: &StandIn| {
        let away = !camera.plug.lock().unwrap().plugged;
        if away && asked > 3 {
            camera.plug_in();
        }
        asked < 200
    };
    let (report, seen) = run_with(&camera, "", Some(ask), Asking::AllAtOnce);
    assert_eq!((seen.first().unwrap().as_str(), seen[1].as_str()), ("stand-in frame 2", REFUSAL));
    let refused = seen.iter().filter(|told| *told == REFUSAL).count();
    assert!(refused < 199, "all but the first question were refused: {:?}", report.requests);
    assert_eq!(["unplugged", "returned"].map(|counter| counted(&report, counter)), [1, 1]);
}

#[test]
fn a_camera_that_falls_silent_or_whose_driver_panics_is_opened_anew() {
    let silent = CameraError::Silent { device: "stand-in".to_owned(), waited: Duration::from_secs(5) };
    let panics = CameraError::Unsupported { device: "stand-in".to_owned() };
    let camera = StandIn::new([None, Some(silent), None, Some(panics), None]);
    let (report, seen) = run(&camera, r#"frames: 3, every: "0s""#, None);
    assert_eq!(seen, ["stand-in frame 2", "stand-in frame 4", "stand-in frame 6"]);
    assert_eq!(["silent", "failed", "returned"].map(|counter| counted(&report, counter)), [1, 1, 2]);
    assert_eq!(camera.plug.lock().unwrap().opened, 3);
}

#[test]
fn a_camera_that_is_not_there_at_the_start_ends_the_run_once_and_says_so() {
    let camera = StandIn::new([]);
    camera.plug.lock().unwrap().plugged = false;
    let (report, seen) = run(&camera, "", None);
    let outcome = &report.nodes.iter().find(|node| node.node == "camera").unwrap().outcome;
    assert_eq!((outcome.restarts, outcome.failed), (0, true), "{outcome:?}");
    assert_eq!(outcome.end, "failed: camera `stand-in`: no such device; found no camera at all");
    assert_eq!(seen, [] as [&str; 0]);
}
