//! `Image`: a sensor that reads a picture from a file, once, or anew for each question that is asked about it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{Picture, PictureError, PictureLimits};
use nanomind_graphs::{FieldSpec, NodeSpec, PlannedNode, PortSpec, PortType};
use nanomind_hal::{AcceleratorKind, JobClass, JobCost, Phase};

use crate::error::NodeError;
use crate::jobs::JobSpec;
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

    /// Reads the file on a thread that waits for it, decodes it in a job, and sends the picture or refuses the request.
    async fn show(&self, context: &NodeContext, request: Request) -> Result<(), NodeError> {
        let (path, limits) = (self.path.clone(), PictureLimits::default());
        let file = path.display().to_string();
        let bytes = match crate::threads::call("picture", move || read(&path, limits.file_bytes)).await {
            Ok(bytes) => bytes,
            Err(source) => return context.refuse(request, PictureError::Unreadable { file, source }).await,
        };
        // What decoding costs is not known before it is done.
        let (phase, class, cost) = (Phase::Load, JobClass::Vision, JobCost::default());
        let spec = JobSpec { phase, tokens: 0, class, cost, request: Some(request.id) };
        let decoded = context.jobs().run(spec, move |_| Picture::decode(&file, &bytes, &limits)).await?;
        match decoded.value {
            Ok(picture) => context.send("image", Packet::image(request, Arc::new(picture))).await,
            Err(error) => context.refuse(request, error).await,
        }
    }
}

/// The bytes of a file, and one beyond `limit` where it is longer.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
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
