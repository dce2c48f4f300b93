//! `Camera`: a sensor that takes pictures with a camera of the machine, and waits for it when it is unplugged.

mod shutter;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{Picture, PictureLimits};
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::AcceleratorKind;
use nanomind_hal::camera::{CameraError, CameraSource, CameraWish, V4l2Camera};

use self::shutter::{Shutter, Taken};
use super::frames::{Develop, FrameSource, film, show};
use super::pace::Pace;
use super::timer::DAY;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};

/// Sides of a frame that can be asked for.
const SIDES: std::ops::RangeInclusive<i64> = 16..=16_384;

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sensor(
        "Camera",
        "Takes pictures with a camera (V4L2: YUYV, Motion JPEG or RGB, whichever comes nearest to the size and rate). With \
         `question` connected, each question gets a fresh picture; without, each picture makes a request of its own. When \
         the camera is unplugged, only the questions that wait for it fail; it goes on when the camera is back.",
    )
    .input(PortSpec::new("question", PortType::Text, "A question about the picture; its text is not read.").optional())
    .output(PortSpec::new("image", PortType::Image, "The pictures."))
    .field(
        FieldSpec::text("device", "A device file, or a camera's name or a part of it; empty: the first there is.")
            .default(""),
    )
    .field(FieldSpec::integer("width", SIDES, "Width; the camera gives the nearest that it has.").unit("pixels").default(640))
    .field(FieldSpec::integer("height", SIDES, "Height, likewise.").unit("pixels").default(480))
    .field(
        FieldSpec::integer("rate", 0..=1000, "Frames that the camera takes a second, likewise; 0: whatever it likes.")
            .unit("frames/s")
            .default(0),
    )
    .field(
        FieldSpec::duration("every", Duration::ZERO..=DAY, "Time between two pictures; 0: as fast as they are taken.")
            .default(Duration::from_secs(1)),
    )
    .field(
        FieldSpec::duration(
            "patience",
            Duration::from_millis(100)..=Duration::from_secs(3600),
            "A camera that gives no frame for so long is opened anew.",
        )
        .default(Duration::from_secs(5)),
    )
    .field(FieldSpec::integer("frames", 0..=i64::MAX, "Pictures until it ends; 0: it never does.").unit("frames").default(0))
    .runs_on(&[AcceleratorKind::Cpu])
    .example(
        r#"nodes: {
    "question":  Prompt(),
    "camera":    Camera(device: "/dev/video0"),
    "eye":       VisionEncoder(model: "mmproj.gguf"),
    "projector": Projector(model: "mmproj.gguf"),
    "mind":      Llm(model: "model.gguf"),
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

/// The node; the camera is opened when it runs.
pub(super) struct Camera {
    source: Arc<dyn CameraSource>,
    every: Duration,
    /// `None`: without end.
    frames: Option<u64>,
}

impl Camera {
    pub(super) fn new(plan: &PlannedNode) -> Result<Camera, NodeError> {
        // The fields' bounds leave nothing to be lost here.
        let side = |field| plan.integer(field).map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let rate = Some(plan.integer("rate")? as f64).filter(|&rate| rate > 0.0);
        let wish = CameraWish { width: side("width")?, height: side("height")?, rate };
        let source = V4l2Camera::new(plan.text("device")?, wish, plan.duration("patience")?);
        Camera::on(Arc::new(source), plan)
    }

    /// As planned, but with another camera.
    fn on(source: Arc<dyn CameraSource>, plan: &PlannedNode) -> Result<Camera, NodeError> {
        let frames = Some(plan.integer("frames")?.unsigned_abs()).filter(|&count| count > 0);
        Ok(Camera { source, every: plan.duration("every")?, frames })
    }

    /// Each question gets a picture; while the camera is away, a refusal.
    async fn answer(&self, mut context: NodeContext, shutter: &mut Shutter) -> Result<(), NodeError> {
        let mut taken = 0;
        while self.frames.is_none_or(|end| taken < end) {
            let firing = {
                let mut next = std::pin::pin!(context.next());
                loop {
                    tokio::select! {
                        biased;
                        back = shutter.returned(), if shutter.is_away() => back?,
                        firing = &mut next => break firing,
                    }
                }
            };
            let Some(firing) = firing else { return Ok(()) };
            // A question that comes in pieces is about one picture.
            if !firing.packet.last {
                continue;
            }
            let request = firing.packet.request();
            let was_here = !shutter.is_away();
            let frame = shutter.take().await?;
            let returns = shutter.returns();
            context.count("returned", returns);
            match frame {
                Ok(frame) => {
                    taken += 1;
                    show(&context, request, develop(&context, frame)).await?;
                }
                Err(lost) => {
                    if was_here || returns > 0 {
                        count_loss(&context, &lost);
                    }
                    context.refuse(request, lost).await?;
                }
            }
        }
        Ok(())
    }
}

impl Node for Camera {
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let mut shutter = Shutter::open(self.source.clone(), context.clock().clone()).await?;
            if context.has_input("question") {
                self.answer(context, &mut shutter).await
            } else {
                film(&context, shutter, self.every, self.frames).await
            }
        })
    }
}

impl FrameSource for Shutter {
    async fn next(&mut self, context: &NodeContext, pace: &mut Pace) -> Result<Option<Develop>, NodeError> {
        loop {
            pace.wait(context).await;
            match self.take().await? {
                Ok(taken) => return Ok(Some(develop(context, taken))),
                Err(lost) => {
                    count_loss(context, &lost);
                    self.returned().await?;
                    context.count("returned", self.returns());
                }
            }
        }
    }
}

/// A frame, to be converted.
fn develop(context: &NodeContext, taken: Taken) -> Develop {
    context.count("missed", taken.missed);
    let Taken { camera, frame, .. } = taken;
    Box::new(move || {
        let name = format!("{camera} frame {}", frame.sequence);
        Ok(Picture::from_frame(&name, &frame, &PictureLimits::default()).into())
    })
}

fn count_loss(context: &NodeContext, lost: &CameraError) {
    context.count(
        match lost {
            CameraError::Unplugged { .. } => "unplugged",
            CameraError::Silent { .. } => "silent",
            _ => "failed",
        },
        1,
    );
}

#[cfg(test)]
mod tests;
