//! `VisionEncoder`: a brick that turns pictures into patch embeddings, a few layers a job, straight into a slot.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{Encoding, Picture, VisionError};
use nanomind_graphs::{
    ElementType, FieldSpec, MemoryNeed, ModelWidth, NodeSpec, PlannedNode, PortSpec, PortType, Width,
};
use nanomind_hal::tabm::SlotPool;
use nanomind_hal::{AcceleratorKind, JobClass, JobCost, Phase};

use super::row_cache::{self, RowCache};
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::Request;

pub(super) fn spec() -> NodeSpec {
    NodeSpec::brick(
        "VisionEncoder",
        "Turns each picture into patch embeddings with the vision transformer of an mmproj file.",
    )
    .input(PortSpec::new("image", PortType::Image, "The picture; it is resized as the model was trained."))
    .output(PortSpec::new("patches", patches_of("model"), "One row for each patch of the picture."))
    .field(FieldSpec::model("model", "The mmproj GGUF file that holds the encoder."))
    .field(row_cache::field())
    .cache(row_cache::FIELD)
    .runs_on(&[AcceleratorKind::Cpu])
    .memory(MemoryNeed::Model { field: "model".to_owned(), context: None })
    .example(super::SIGHT)
}

/// Rows as the encoder of the model in `field` makes them.
pub(super) fn patches_of(field: &str) -> PortType {
    let width = Width::OfModel { field: field.to_owned(), which: ModelWidth::Encoder };
    PortType::Embeddings { width, element: ElementType::F32 }
}

pub(super) struct VisionEncoder {
    file: PathBuf,
}

impl VisionEncoder {
    pub(super) fn new(plan: &PlannedNode) -> Result<VisionEncoder, NodeError> {
        Ok(VisionEncoder { file: plan.model("model")?.path.clone() })
    }
}

impl Node for VisionEncoder {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let encoder = context.weights().encoder(&self.file, context.jobs()).await?;
            let (patches, width) = (encoder.config().patches(), encoder.config().width);
            let kept = row_cache::slots(context.plan(), patches, width)?;
            let pool = context.slot_pool_with("patches", patches, width, kept)?;
            let mut cache = RowCache::new(kept);
            let mut encoding = Encoding::new(encoder).map_err(NodeError::own)?;
            while let Some(firing) = context.next().await {
                let Payload::Image(picture) = &firing.packet.payload else { continue };
                let (picture, request) = (picture.clone(), firing.packet.request());
                let last = firing.packet.last;
                drop(firing);
                let look = Look { context: &context, pool: &pool, request, last };
                match cache.recall(&context, request.id, picture.digest()) {
                    Some(patches) => look.send(patches).await?,
                    None => encoding = look.take(encoding, picture, &mut cache).await?,
                }
            }
            Ok(())
        })
    }
}

/// One picture on its way.
struct Look<'a> {
    context: &'a NodeContext,
    pool: &'a SlotPool,
    request: Request,
    /// Whether nothing of the request comes after this picture.
    last: bool,
}

impl Look<'_> {
    /// Encodes `picture` and sends its patch embeddings; gives the memory back for the next one.
    async fn take(
        &self,
        encoding: Encoding,
        picture: Arc<Picture>,
        cache: &mut RowCache,
    ) -> Result<Encoding, NodeError> {
        let (mut encoding, begun) = self.begin(encoding, picture.clone()).await?;
        if let Err(error) = begun {
            self.context.refuse(self.request, error).await?;
            return Ok(encoding);
        }
        while !encoding.is_complete() {
            if self.is_cancelled() {
                return Ok(encoding);
            }
            let layers = self.layers(&encoding);
            let spec = self.spec(0, encoding.advance_cost(layers));
            let advanced = self.context.jobs().run(spec, move |lane| {
                encoding.advance(lane, layers);
                encoding
            });
            encoding = advanced.await?.value;
        }
        let slot = self.pool.acquire().await;
        if self.is_cancelled() {
            return Ok(encoding);
        }
        let source = picture.digest().through(encoding.encoder().file());
        let written = self.context.jobs().run(self.spec(0, JobCost::default()), move |lane| {
            let patches = encoding.publish(lane, slot);
            (encoding, patches)
        });
        let (encoding, patches) = written.await?.value;
        match patches {
            Ok(patches) => {
                let patches = vec![Embeddings::whole(patches, Some(source))];
                cache.keep(self.context, picture.digest(), &patches);
                self.send(patches).await?;
            }
            Err(error) => self.context.refuse(self.request, error).await?,
        }
        Ok(encoding)
    }

    /// Sends the patch embeddings of the picture, unless nobody wants them any more.
    async fn send(&self, patches: Vec<Embeddings>) -> Result<(), NodeError> {
        let all = patches.len();
        for (index, patches) in patches.into_iter().enumerate().take_while(|_| !self.is_cancelled()) {
            let packet = Packet { last: self.last && index + 1 == all, ..Packet::embeddings(self.request, patches) };
            self.context.send("patches", packet).await?;
        }
        Ok(())
    }

    /// Resizes the picture and embeds its patches.
    async fn begin(
        &self,
        mut encoding: Encoding,
        picture: Arc<Picture>,
    ) -> Result<(Encoding, Result<(), VisionError>), NodeError> {
        let spec = self.spec(encoding.encoder().config().patches(), encoding.begin_cost());
        let begun = self.context.jobs().run(spec, move |lane| {
            let pixels = encoding.encoder().config().preprocess().apply(lane, &picture);
            let begun = encoding.begin(lane, &pixels);
            (encoding, begun)
        });
        Ok(begun.await?.value)
    }

    /// The most layers that are predicted to fit the time of a job.
    fn layers(&self, encoding: &Encoding) -> usize {
        let fits = |layers: &usize| {
            let cost = encoding.advance_cost(*layers);
            self.context.jobs().predict(Phase::Encode, cost).is_none_or(|time| time <= JOB_TIME)
        };
        (1..=encoding.remaining()).rev().find(fits).unwrap_or(1)
    }

    fn spec(&self, tokens: usize, cost: JobCost) -> JobSpec {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        JobSpec { phase: Phase::Encode, tokens, class: JobClass::Vision, cost, request: Some(self.request.id) }
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled(self.request.epoch)
    }
}
