//! Simulated `VisionEncoder`: squares of pictures, a few layers a job.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::shape::VisionShape;
use nanomind_bricks::vision::{Picture, PictureDigest, RowLayout, TilePlan};
use nanomind_graphs::PlannedNode;
use nanomind_hal::tabm::SlotPool;
use nanomind_hal::{JobClass, JobCost, Phase};

use super::super::world::World;
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::nodes::row_cache::{self, RowCache};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::Request;
use crate::residence::Residence;
use crate::weights::{WeightBytes, WeightSource};

/// The node.
pub(in super::super) struct Eye {
    shape: VisionShape,
    /// What the rows are known by, beside the picture.
    model: String,
}

impl Eye {
    pub(in super::super) fn new(plan: &PlannedNode, world: &Rc<World>) -> Result<Eye, NodeError> {
        Ok(Eye { shape: world.vision(plan, "model")?, model: plan.model("model")?.reference.clone() })
    }
}

impl Node for Eye {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let (bytes, load) = (self.shape.encoder_bytes(), self.shape.load_encoder());
            let residence: Residence<WeightBytes> =
                Residence::new(WeightSource::simulated(&self.model, "encoder", bytes, load));
            residence.prepare(&context).await?;
            let (patches, width) = (self.shape.patches(), self.shape.encoder_width());
            let kept = row_cache::slots(context.plan(), patches, width)?;
            let pool = context.slot_pool_with("patches", patches, width, kept)?;
            let mut cache = RowCache::default();
            cache.allow(kept);
            while let Some(firing) = context.next().await {
                let Payload::Image(picture) = &firing.packet.payload else { continue };
                let (picture, request, last) = (picture.clone(), firing.packet.request(), firing.packet.last);
                drop(firing);
                let look = Look { context: &context, eye: &self, pool: &pool, request, last };
                // What was seen before takes no weights.
                if let Some(squares) = cache.recall(&context, request.id, picture.digest()) {
                    look.send_all(squares).await?;
                } else if let Some(_stage) = residence.enter_for(&context, request).await? {
                    look.take(&picture, &mut cache).await?;
                }
            }
            Ok(())
        })
    }
}

/// One picture on its way.
struct Look<'a> {
    context: &'a NodeContext,
    eye: &'a Eye,
    pool: &'a SlotPool,
    request: Request,
    /// Whether nothing of the request comes after the picture.
    last: bool,
}

impl Look<'_> {
    /// Encodes the squares of `picture` and sends each when it is done.
    async fn take(&self, picture: &Picture, cache: &mut RowCache) -> Result<(), NodeError> {
        let shape = &self.eye.shape;
        let (width, height) = (picture.width(), picture.height());
        let tiles = shape.squares(width, height);
        // Only how many there are matters here, not how they lie.
        let plan = TilePlan { picture: (width, height), columns: tiles - 1, rows: 1 };
        let source = picture.digest().through(&self.eye.model);
        let is_kept = cache.reserve(self.context, tiles);
        let mut squares = Vec::new();
        self.prepare(shape.prepare(width, height)).await?;
        for tile in 0..tiles {
            let Some(square) = self.encode(tile, plan, source).await? else { return Ok(()) };
            squares.extend(is_kept.then(|| square.clone()));
            self.send(square, tile + 1 == tiles).await?;
        }
        cache.keep(self.context, picture.digest(), &squares);
        Ok(())
    }

    /// Resizes and cuts the picture, in jobs that are predicted to fit the time of one.
    async fn prepare(&self, whole: JobCost) -> Result<(), NodeError> {
        let time = self.context.jobs().predict(Phase::Prepare, whole).unwrap_or(JOB_TIME);
        let parts = time.as_nanos().div_ceil(JOB_TIME.as_nanos()).clamp(1, 1000) as u64;
        let part = JobCost { flops: whole.flops / parts, bytes: whole.bytes / parts };
        for _ in 0..parts {
            if self.is_cancelled() {
                return Ok(());
            }
            self.job(Phase::Prepare, 0, part).await?;
        }
        Ok(())
    }

    /// The patch embeddings of square `tile`; nothing where the request is cancelled.
    async fn encode(
        &self,
        tile: usize,
        plan: TilePlan,
        source: PictureDigest,
    ) -> Result<Option<Embeddings>, NodeError> {
        let shape = &self.eye.shape;
        if self.is_cancelled() {
            return Ok(None);
        }
        self.job(Phase::Encode, shape.patches(), shape.embed()).await?;
        let mut done = 0;
        while done < shape.layer_count() {
            if self.is_cancelled() {
                return Ok(None);
            }
            let end = self.layers(done);
            self.job(Phase::Encode, 0, shape.layers(done, end)).await?;
            done = end;
        }
        let slot = self.context.lend_turn_for(self.pool.acquire()).await;
        if self.is_cancelled() {
            return Ok(None);
        }
        self.job(Phase::Publish, 0, shape.publish()).await?;
        let rows = slot.publish(shape.patches());
        let layout = RowLayout::of_tile(rows.tokens(), tile, plan);
        Ok(Some(Embeddings { rows, source: Some(source), layout }))
    }

    /// Up to which layer a job may go that begins with layer `done`, to fit the time of a job.
    fn layers(&self, done: usize) -> usize {
        let fits = |end: &usize| {
            let cost = self.eye.shape.layers(done, *end);
            self.context.jobs().predict(Phase::Encode, cost).is_none_or(|time| time <= JOB_TIME)
        };
        (done + 1..=self.eye.shape.layer_count()).rev().find(fits).unwrap_or(done + 1)
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

    async fn job(&self, phase: Phase, tokens: usize, cost: JobCost) -> Result<(), NodeError> {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let spec = JobSpec { phase, tokens, class: JobClass::Vision, cost, request: Some(self.request.id) };
        self.context.jobs().run(spec, |_| ()).await.map(|_| ())
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled(self.request.epoch)
    }
}
