//! `Image`: a sensor that reads a picture from a file, once, or anew for each question that is asked about it.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{Picture, PictureLimits};
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};

use crate::error::NodeError;
use crate::node::{Node, NodeContext};
use crate::packet::Packet;
use crate::request::Request;

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
    .example(super::SIGHT)
}

pub(super) struct Image {
    path: PathBuf,
}

impl Image {
    pub(super) fn new(plan: &PlannedNode) -> Result<Image, NodeError> {
        Ok(Image { path: plan.path("path")?.to_owned() })
    }

    /// Reads the file on a thread of its own and sends the picture, or refuses the request.
    async fn show(&self, context: &NodeContext, request: Request) -> Result<(), NodeError> {
        let path = self.path.clone();
        let reading = crate::threads::call("picture", move || Ok(Picture::open(path, &PictureLimits::default())));
        let read = reading.await.map_err(|source| NodeError::File { path: self.path.clone(), source })?;
        match read {
            Ok(picture) => context.send("image", Packet::image(request, Arc::new(picture))).await,
            Err(error) => context.refuse(request, error).await,
        }
    }
}

impl Node for Image {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            if !context.has_input("question") {
                return self.show(&context, context.requests().mint()).await;
            }
            while let Some(firing) = context.next().await {
                // A question that comes in pieces is about one picture.
                if firing.packet.last {
                    self.show(&context, firing.packet.request()).await?;
                }
            }
            Ok(())
        })
    }
}
