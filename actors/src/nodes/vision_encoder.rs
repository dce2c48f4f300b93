//! `VisionEncoder`: a brick that turns pictures into patch embeddings, a few layers a job, straight into slots.
//!
//! Each square of a picture travels in a packet and a slot of its own. A slot for a whole picture would have to be made
//! for the largest one: 37 squares and 124 MB for LLaVA-OneVision, several times over, where a square takes 3.4 MB. So
//! the projector is at work on one square while this brick is at the next.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{self, Encoding, Picture, PictureDigest, Preparation, RowLayout, VisionError};
use nanomind_graphs::{
    ElementType, FieldSpec, MemoryNeed, ModelWidth, NodeSpec, PlannedNode, PortSpec, PortType, Width,
};
use nanomind_hal::tabm::{SlotPool, SlotReader};
use nanomind_hal::{AcceleratorKind, JobClass, JobCost, Phase};

use super::row_cache::{self, RowCache};
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::Request;
use crate::residence::Residence;
use crate::weights::WeightSource;

pub(super) fn spec() -> NodeSpec {
    NodeSpec::brick(
        "VisionEncoder",
        "Turns each picture into patch embeddings with the vision transformer of an mmproj file: a packet for each square \
         that the model sees of it.",
    )
    .input(PortSpec::new("image", PortType::Image, "The picture; it is resized and cut as the model was trained."))
    .output(PortSpec::new("patches", patches_of("model"), "One row for each patch of a square of the picture."))
    .field(FieldSpec::model("model", "The mmproj GGUF file that holds the encoder."))
    .field(row_cache::field())
    .cache(row_cache::FIELD)
    .runs_on(&[AcceleratorKind::Cpu])
    .phases(&[Phase::Encode])
    .memory(MemoryNeed::Model { field: "model".to_owned(), context: None, sequences: None, kv_format: None })
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
            let residence = Residence::new(WeightSource::encoder(&self.file));
            residence.prepare(&context).await?;
            let mut rows = Rows::default();
            while let Some(firing) = context.next().await {
                let Payload::Image(picture) = &firing.packet.payload else { continue };
                let (picture, request, last) = (picture.clone(), firing.packet.request(), firing.packet.last);
                drop(firing);
                let look = Look { context: &context, request, last };
                // What was seen before takes no weights.
                if let Some(squares) = rows.cache.recall(&context, request.id, picture.digest()) {
                    look.send_all(squares).await?;
                    continue;
                }
                let Some(stage) = residence.enter_for(&context, request).await? else { continue };
                let pool = rows.pool_for(&context, stage.weights())?;
                let encoding = match stage.take() {
                    Some(encoding) => encoding,
                    None => Encoding::new(stage.weights().clone()).map_err(NodeError::own)?,
                };
                stage.put(look.take(encoding, picture, &pool, &mut rows.cache).await?);
            }
            Ok(())
        })
    }
}

/// Where rows are written, and kept.
#[derive(Default)]
struct Rows {
    /// None before the first picture.
    pool: Option<SlotPool>,
    cache: RowCache,
}

impl Rows {
    /// The pool, with slots as large as the encoder needs them.
    fn pool_for(&mut self, context: &NodeContext, encoder: &vision::VisionEncoder) -> Result<SlotPool, NodeError> {
        if let Some(pool) = &self.pool {
            return Ok(pool.clone());
        }
        let (patches, width) = (encoder.config().patches(), encoder.config().width);
        let kept = row_cache::slots(context.plan(), patches, width)?;
        self.cache.allow(kept);
        Ok(self.pool.insert(context.slot_pool_with("patches", patches, width, kept)?).clone())
    }
}

/// One picture on its way.
struct Look<'a> {
    context: &'a NodeContext,
    request: Request,
    /// Whether nothing of the request comes after the picture.
    last: bool,
}

/// What a job takes along and gives back.
struct Work {
    encoding: Encoding,
    preparation: Preparation,
}

impl Look<'_> {
    /// Encodes the squares of `picture` and sends each when it is done; gives the memory back for the next picture.
    async fn take(
        &self,
        encoding: Encoding,
        picture: Arc<Picture>,
        pool: &SlotPool,
        cache: &mut RowCache,
    ) -> Result<Encoding, NodeError> {
        let digest = picture.digest();
        let source = digest.through(encoding.encoder().file());
        let preparation = encoding.encoder().config().preprocess().prepare(picture);
        let tiles = preparation.plan().count();
        let is_kept = cache.reserve(self.context, tiles);
        let mut squares = Vec::new();
        let mut work = self.prepare(Work { encoding, preparation }).await?;
        for tile in 0..tiles {
            let encoded;
            (work, encoded) = self.encode(work, tile, source, pool).await?;
            match encoded {
                Ok(Some(square)) => {
                    squares.extend(is_kept.then(|| square.clone()));
                    self.send(square, tile + 1 == tiles).await?;
                }
                Ok(None) => return Ok(work.encoding),
                Err(error) => {
                    self.context.refuse(self.request, error).await?;
                    return Ok(work.encoding);
                }
            }
        }
        cache.keep(self.context, digest, &squares);
        Ok(work.encoding)
    }

    /// Resizes and cuts the picture, a band a job.
    async fn prepare(&self, mut work: Work) -> Result<Work, NodeError> {
        while !work.preparation.is_complete() && !self.is_cancelled() {
            // What resampling takes says nothing about what layers take, so it is a phase of its own.
            let spec = self.spec(Phase::Prepare, 0, work.preparation.cost());
            let advanced = self.context.jobs().run(spec, move |lane| {
                work.preparation.advance(lane);
                work
            });
            work = advanced.await?.value;
        }
        Ok(work)
    }

    /// The patch embeddings of square `tile`; nothing where the request is cancelled.
    async fn encode(
        &self,
        mut work: Work,
        tile: usize,
        source: PictureDigest,
        pool: &SlotPool,
    ) -> Result<(Work, Result<Option<Embeddings>, VisionError>), NodeError> {
        if self.is_cancelled() {
            return Ok((work, Ok(None)));
        }
        let patches = work.encoding.encoder().config().patches();
        let spec = self.spec(Phase::Encode, patches, work.encoding.begin_cost());
        let begun = self.context.jobs().run(spec, move |lane| {
            let begun = work.encoding.begin(lane, &work.preparation.tile(lane, tile));
            (work, begun)
        });
        let begun_well;
        (work, begun_well) = begun.await?.value;
        if let Err(error) = begun_well {
            return Ok((work, Err(error)));
        }
        while !work.encoding.is_complete() {
            if self.is_cancelled() {
                return Ok((work, Ok(None)));
            }
            let layers = self.layers(&work.encoding);
            let spec = self.spec(Phase::Encode, 0, work.encoding.advance_cost(layers));
            let advanced = self.context.jobs().run(spec, move |lane| {
                work.encoding.advance(lane, layers);
                work
            });
            work = advanced.await?.value;
        }
        self.publish(work, tile, source, pool).await
    }

    /// Writes the patch embeddings into a slot once one is free.
    async fn publish(
        &self,
        work: Work,
        tile: usize,
        source: PictureDigest,
        pool: &SlotPool,
    ) -> Result<(Work, Result<Option<Embeddings>, VisionError>), NodeError> {
        let slot = self.context.lend_turn_for(pool.acquire()).await;
        if self.is_cancelled() {
            return Ok((work, Ok(None)));
        }
        let spec = self.spec(Phase::Publish, 0, work.encoding.publish_cost());
        let written = self.context.jobs().run(spec, move |lane| {
            let rows = work.encoding.publish(lane, slot);
            (work, rows)
        });
        let (work, rows) = written.await?.value;
        let plan = work.preparation.plan();
        let square = rows.map(|rows: SlotReader| {
            let layout = RowLayout::of_tile(rows.tokens(), tile, plan);
            Some(Embeddings { rows, source: Some(source), layout })
        });
        Ok((work, square))
    }

    /// Sends squares that were encoded before.
    async fn send_all(&self, squares: Vec<Embeddings>) -> Result<(), NodeError> {
        let all = squares.len();
        for (tile, square) in squares.into_iter().enumerate() {
            self.send(square, tile + 1 == all).await?;
        }
        Ok(())
    }

    /// Sends a square, unless nobody wants it any more.
    async fn send(&self, square: Embeddings, is_last: bool) -> Result<(), NodeError> {
        if self.is_cancelled() {
            return Ok(());
        }
        let packet = Packet { last: self.last && is_last, ..Packet::embeddings(self.request, square) };
        self.context.send("patches", packet).await
    }

    /// The most layers that are predicted to fit the time of a job.
    fn layers(&self, encoding: &Encoding) -> usize {
        let fits = |layers: &usize| {
            let cost = encoding.advance_cost(*layers);
            self.context.jobs().predict(Phase::Encode, cost).is_none_or(|time| time <= JOB_TIME)
        };
        (1..=encoding.remaining()).rev().find(fits).unwrap_or(1)
    }

    fn spec(&self, phase: Phase, tokens: usize, cost: JobCost) -> JobSpec {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        JobSpec { phase, tokens, class: JobClass::Vision, cost, request: Some(self.request.id) }
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled(self.request.epoch)
    }
}
