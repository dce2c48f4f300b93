//! `SceneCamera`: a sensor that shows drawn scenes, so that every machine has a camera for tests and demonstrations.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{Picture, PictureLimits};
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::AcceleratorKind;
use nanomind_hal::camera::{Camera, CameraError, SceneCamera, SceneEvents, SceneMotion, SceneOptions};
use parking_lot::Mutex;

use super::frames::{Caption, Develop, Developed, FrameSource, film, show};
use super::pace::Pace;
use super::timer::DAY;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};

pub(super) fn spec() -> NodeSpec {
    let sizes = i64::from(*SceneOptions::SIZES.start())..=i64::from(*SceneOptions::SIZES.end());
    NodeSpec::sensor(
        "SceneCamera",
        "Shows drawn scenes of the kind that the shipped vision model was trained on, the same for the same seed on every \
         machine: things that lie about, drift, come and go. With `question` connected, each question gets the next frame; \
         without, each frame makes a request of its own, but for those that the power mode passes over: in which nothing moves.",
    )
    .input(PortSpec::new("question", PortType::Text, "A question about the frame; its text is not read.").optional())
    .output(PortSpec::new("image", PortType::Image, "The frames."))
    .output(PortSpec::new("truth", PortType::Text, "What each frame shows, in words, to hold answers against."))
    .output(PortSpec::new("event", PortType::Event, "Something comes in or goes out, or the scene is replaced."))
    .field(FieldSpec::integer("seed", 0..=i64::MAX, "What the scenes are drawn from.").default(0))
    .field(FieldSpec::integer("size", sizes, "Width and height of a frame.").unit("pixels").default(192))
    .field(
        FieldSpec::duration("every", Duration::ZERO..=DAY, "Time between two frames; 0: as fast as they are taken.")
            .default(Duration::from_secs(1)),
    )
    .field(
        FieldSpec::integer("frames", 0..=i64::MAX, "Frames until it ends; 0: it never does, or not before the questions.")
            .unit("frames")
            .default(0),
    )
    .field(FieldSpec::choice("motion", &["still", "drift"], "Whether things sway about their places.").default("drift"))
    .field(
        FieldSpec::choice(
            "events",
            &["never", "things", "scenes"],
            "What happens: one thing comes in or goes out, or the whole scene is replaced.",
        )
        .default("things"),
    )
    .field(
        FieldSpec::integer("event_every", 0..=i64::MAX, "Frames from one event to the next; 0: nothing happens.")
            .unit("frames")
            .default(8),
    )
    .runs_on(&[AcceleratorKind::Cpu])
    .example(
        r#"nodes: {
    "question":  Timer(every: "2s", count: 5, text: "What do you see?"),
    "camera":    SceneCamera(seed: 7, event_every: 2),
    "eye":       VisionEncoder(model: "examples/models/scene/scene-mmproj.gguf"),
    "projector": Projector(model: "examples/models/scene/scene-mmproj.gguf"),
    "mind":      Llm(model: "examples/models/scene/scene.gguf", context: 512, history: false),
    "reply":     Stdout(),
},
edges: [
    ("question.text",    "camera.question"),
    ("camera.image",     "eye.image"),
    ("eye.patches",      "projector.patches"),
    ("projector.tokens", "mind.embeddings"),
    ("question.text",    "mind.prompt"),
    ("mind.text",        "reply.text"),
]"#,
    )
}

/// The node; the camera that it looks through is made when it runs.
pub(super) struct SceneCameraNode {
    options: SceneOptions,
    every: Duration,
    /// `None`: without end.
    frames: Option<u64>,
}

impl SceneCameraNode {
    pub(super) fn new(plan: &PlannedNode) -> Result<SceneCameraNode, NodeError> {
        let motion = if plan.choice("motion")? == "still" { SceneMotion::Still } else { SceneMotion::Drift };
        let events = match plan.choice("events")? {
            "never" => SceneEvents::Never,
            "scenes" => SceneEvents::Scenes,
            _ => SceneEvents::Things,
        };
        // The fields' bounds leave nothing to be lost here.
        let size = u32::try_from(plan.integer("size")?).unwrap_or(u32::MAX);
        let [seed, event_every, frames] =
            [plan.integer("seed")?, plan.integer("event_every")?, plan.integer("frames")?].map(i64::unsigned_abs);
        let options = SceneOptions { seed, size, motion, events, event_every };
        Ok(SceneCameraNode { options, every: plan.duration("every")?, frames: Some(frames).filter(|&count| count > 0) })
    }
}

impl Node for SceneCameraNode {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let mut world = World(Arc::new(Mutex::new(SceneCamera::new(self.options)?)));
            if !context.has_input("question") {
                return film(&context, world, self.every, self.frames).await;
            }
            let mut shown = 0;
            while self.frames.is_none_or(|end| shown < end) {
                let Some(firing) = context.next().await else { break };
                // A question that comes in pieces is about one frame.
                if firing.packet.last {
                    show(&context, firing.packet.request(), world.draw()).await?;
                    shown += 1;
                }
            }
            Ok(())
        })
    }
}

/// The camera, for the jobs that draw with it.
struct World(Arc<Mutex<SceneCamera>>);

impl World {
    /// The next frame, to be drawn.
    fn draw(&mut self) -> Develop {
        let camera = self.0.clone();
        Box::new(move || Ok(draw(&mut camera.lock())?))
    }
}

impl FrameSource for World {
    async fn next(&mut self, context: &NodeContext, pace: &mut Pace) -> Result<Option<Develop>, NodeError> {
        pace.wait(context).await;
        Ok(Some(self.draw()))
    }
}

/// Draws the next frame, with what is true of it.
fn draw(camera: &mut SceneCamera) -> Result<Developed, CameraError> {
    let frame = camera.frame()?;
    let name = format!("{} frame {}", camera.name(), frame.sequence);
    let mut captions = Vec::new();
    if let Some(scene) = camera.scene() {
        captions.push(("truth", Caption::Text(scene.to_string())));
        let event =
            scene.event.as_ref().map(|happened| Caption::Event { name: happened.to_string(), count: frame.sequence });
        captions.extend(event.map(|event| ("event", event)));
    }
    Ok(Developed { picture: Picture::from_frame(&name, &frame, &PictureLimits::default()), captions })
}
