//! `Image`: a sensor that reads a picture from a file, once, or anew for each question that is asked about it.

use std::path::PathBuf;

use futures_util::future::LocalBoxFuture;
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::AcceleratorKind;

use super::frames::show;
use super::picture_show::open;
use crate::error::NodeError;
use crate::node::{Node, NodeContext};

pub(super) fn spec() -> NodeSpec {
    NodeSpec::sensor(
        "Image",
        "Reads a picture from a JPEG, PNG, WebP, BMP or GIF file, turned upright. With `question` connected, the picture is \
         read anew for each question and belongs to its request, so that both meet again at the language model; without, \
         it is read once and makes a request of its own.",
    )
    .input(PortSpec::new("question", PortType::Text, "A question about the picture; its text is not read.").optional())
    .output(PortSpec::new("image", PortType::Image, "The picture."))
    .field(FieldSpec::path("path", "The file, from the folder that the program runs in; no sound image: no answer."))
    .runs_on(&[AcceleratorKind::Cpu])
    .example(super::SIGHT)
}

pub(super) struct Image {
    path: PathBuf,
}

impl Image {
    pub(super) fn new(plan: &PlannedNode) -> Result<Image, NodeError> {
        Ok(Image { path: plan.path("path")?.to_owned() })
    }
}

impl Node for Image {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            if !context.has_input("question") {
                return show(&context, context.requests().mint(), open(self.path).await).await;
            }
            while let Some(firing) = context.next().await {
                // A question that comes in pieces is about one picture.
                if firing.packet.last {
                    show(&context, firing.packet.request(), open(self.path.clone()).await).await?;
                }
            }
            Ok(())
        })
    }
}
