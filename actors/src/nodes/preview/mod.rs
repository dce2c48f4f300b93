//! `Preview`: a sink that names each picture, and shows it small where a person looks at a terminal.

mod drawing;
mod screen;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{Picture, PictureDigest};
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::{AcceleratorKind, JobClass, JobCost, Phase};

use crate::error::NodeError;
use crate::jobs::JobSpec;
use crate::node::{Node, NodeContext};
use crate::packet::Payload;
use crate::request::RequestId;
use crate::threads::Writer;
use screen::{Screen, Style};

const STREAM: &str = "standard error";

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sink(
        "Preview",
        "Names each picture on standard error and shows it small above the name, if that is a terminal: as pixels where the \
         terminal says that it shows them (kitty's protocol, sixel), else in blocks of two colours. Elsewhere, with \
         NO_COLOR and on a dumb terminal, the name alone. A picture that was shown last is not shown again. It only \
         looks on: an answer is another sink's.",
    )
    .input(PortSpec::new("image", PortType::Image, "The picture."))
    .field(
        FieldSpec::choice("show", &["auto", "kitty", "sixel", "blocks", "name"], "How it is shown on a terminal.")
            .default("auto"),
    )
    .runs_on(&[AcceleratorKind::Cpu])
    .onlooker()
    .example(
        r#"nodes: {
    "picture": Image(path: "examples/models/scene/samples/scene-00.png"),
    "preview": Preview(),
},
edges: [("picture.image", "preview.image")]"#,
    )
}

pub(super) struct Preview {
    style: Style,
}

impl Preview {
    pub(super) fn new(plan: &PlannedNode) -> Result<Preview, NodeError> {
        let screen = Screen { terminal: io::stderr().is_terminal(), variable: |name: &str| std::env::var(name).ok() };
        Ok(Preview { style: screen.style(plan.choice("show")?) })
    }
}

impl Node for Preview {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let broken = |source| NodeError::Stream { stream: STREAM, source };
            let mut writer = Writer::start("preview", io::stderr()).map_err(broken)?;
            let mut shown: Option<PictureDigest> = None;
            while let Some(firing) = context.next().await {
                let Payload::Image(picture) = &firing.packet.payload else { continue };
                if shown.replace(picture.digest()) == Some(picture.digest()) {
                    continue;
                }
                let (picture, request) = (picture.clone(), firing.packet.request);
                drop(firing);
                // Whoever loads a model shows it on the same terminal.
                context.others_ready().await;
                let text = draw(&context, self.style, picture, request).await?;
                match writer.write(text).await {
                    // Nobody looks any more, and that is no reason to end the run.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    written => written.map_err(broken)?,
                }
            }
            Ok(())
        })
    }
}

/// The picture and its name as bytes for the terminal, made in a job.
async fn draw(
    context: &NodeContext,
    style: Style,
    picture: Arc<Picture>,
    request: RequestId,
) -> Result<String, NodeError> {
    let name = format!("{}\n", printable(picture.name()));
    if style == Style::Name {
        return Ok(name);
    }
    let spec = JobSpec {
        phase: Phase::Prepare,
        tokens: 0,
        class: JobClass::Vision,
        cost: JobCost { flops: 0, bytes: picture.rgb().len() as u64 },
        request: Some(request),
    };
    let drawn = context.jobs().run(spec, move |_| drawing::draw(style, &picture)).await?;
    Ok(drawn.value + &name)
}

/// A file's name is whatever its maker likes, and must not steer the terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
