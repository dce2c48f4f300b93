//! `ImageFolder`: a sensor that shows the pictures of a folder, and those that are written into it later.

mod shelf;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::AcceleratorKind;

use self::shelf::Shelf;
use super::frames::{Develop, FrameSource, film, show};
use super::pace::Pace;
use super::picture_show::open;
use super::timer::DAY;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sensor(
        "ImageFolder",
        "Shows the pictures of a folder (JPEG, PNG, WebP, BMP, GIF; hidden files and others are passed over) in the order of \
         their names, and with `watch` each further one when it has been written whole. Without `question` each picture \
         makes a request; with it, each question gets the next picture that none has had, and waits for one if it watches. A \
         broken picture refuses its request, and the next one follows.",
    )
    .input(PortSpec::new("question", PortType::Text, "A question about a picture; its text is not read.").optional())
    .output(PortSpec::new("image", PortType::Image, "The pictures."))
    .field(FieldSpec::path("path", "The folder; folders in it are passed over."))
    .field(FieldSpec::bool("watch", "Whether to wait for further pictures after those that are there.").default(false))
    .field(
        FieldSpec::duration("every", Duration::ZERO..=DAY, "Time between two pictures without `question`, at least.")
            .default(Duration::ZERO),
    )
    .runs_on(&[AcceleratorKind::Cpu])
    .example(
        r#"nodes: {
    "questions": Timer(every: "1s", count: 24, text: "What do you see?"),
    "pictures":  ImageFolder(path: "examples/models/scene/samples"),
    "eye":       VisionEncoder(model: "examples/models/scene/scene-mmproj.gguf"),
    "projector": Projector(model: "examples/models/scene/scene-mmproj.gguf"),
    "mind":      Llm(model: "examples/models/scene/scene.gguf", context: 512, history: false),
    "reply":     Stdout(),
},
edges: [
    ("questions.text",   "pictures.question"),
    ("pictures.image",   "eye.image"),
    ("eye.patches",      "projector.patches"),
    ("projector.tokens", "mind.embeddings"),
    ("questions.text",   "mind.prompt"),
    ("mind.text",        "reply.text"),
]"#,
    )
}

pub(super) struct ImageFolder {
    path: PathBuf,
    watch: bool,
    every: Duration,
}

impl ImageFolder {
    pub(super) fn new(plan: &PlannedNode) -> Result<ImageFolder, NodeError> {
        let (watch, every) = (plan.bool("watch")?, plan.duration("every")?);
        Ok(ImageFolder { path: plan.path("path")?.to_owned(), watch, every })
    }
}

impl Node for ImageFolder {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let mut shelf = Shelf::open(self.path.clone(), self.watch).await?;
            if !context.has_input("question") {
                return film(&context, shelf, self.every, None).await;
            }
            while let Some(firing) = context.next().await {
                // A question that comes in pieces is about one picture.
                if !firing.packet.last {
                    continue;
                }
                let request = firing.packet.request();
                let next = tokio::select! {
                    biased;
                    next = shelf.next() => next?,
                    // Who asked for a picture that has not come is owed an answer when the run ends.
                    () = context.draining() => None,
                };
                match next {
                    Some(path) => show(&context, request, open(path).await).await?,
                    None => {
                        let (folder, shown) = (self.path.display(), shelf.shown());
                        context.refuse(request, format!("{folder}: all {shown} pictures have been shown")).await?;
                    }
                }
            }
            Ok(())
        })
    }
}

impl FrameSource for Shelf {
    async fn next(&mut self, context: &NodeContext, pace: &mut Pace) -> Result<Option<Develop>, NodeError> {
        // Taken before its time, so that it is known at once when there are no more.
        let Some(path) = Shelf::next(self).await? else { return Ok(None) };
        pace.wait(context).await;
        Ok(Some(open(path).await))
    }
}
