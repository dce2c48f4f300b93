//! Simulated `Projector`: rows of a picture, some blocks of patches a job.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::shape::VisionShape;
use nanomind_bricks::vision::{RowLayout, TilePlan};
use nanomind_graphs::PlannedNode;
use nanomind_hal::tabm::{SlotPool, SlotWriter};
use nanomind_hal::{JobClass, Phase};

use super::super::world::World;
use crate::error::NodeError;
use crate::inputs::Firing;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::nodes::projector::FEWEST_BLOCKS;
use crate::nodes::row_cache::{self, RowCache};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::{Request, RequestId};
use crate::residence::{Residence, Stage};
use crate::weights::{WeightBytes, WeightSource};

/// The node.
pub(in super::super) struct Projector {
    shape: VisionShape,
    model: String,
    max_tokens: Option<usize>,
}

impl Projector {
    pub(in super::super) fn new(plan: &PlannedNode, world: &Rc<World>) -> Result<Projector, NodeError> {
        let max_tokens = plan.optional_integer("max_tokens")?.and_then(|rows| usize::try_from(rows).ok());
        Ok(Projector { shape: world.vision(plan, "model")?, model: plan.model("model")?.reference.clone(), max_tokens })
    }
}

/// A picture of which some squares have come.
struct Underway {
    request: RequestId,
    /// The square that comes next.
    next: usize,
    rows: Rows,
}

enum Rows {
    /// They are being made.
    New(SlotWriter),
    /// They were made before.
    Known(Embeddings),
}

impl Node for Projector {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let (bytes, load) = (self.shape.projector_bytes(), self.shape.load_projector());
            let residence = Residence::new(WeightSource::simulated(&self.model, "projector", bytes, load));
            residence.prepare(&context).await?;
            let (most, width) = (self.max_tokens.unwrap_or(self.shape.most_rows()), self.shape.width());
            let kept = row_cache::slots(context.plan(), most, width)?;
            let pool = context.slot_pool_with("tokens", most, width, kept)?;
            let mut cache = RowCache::default();
            cache.allow(kept);
            let mut bench = Bench { node: *self, residence, stage: None, pool, most, cache, picture: None };
            while let Some(firing) = bench.next(&mut context).await {
                let Payload::Embeddings(square) = &firing.packet.payload else { continue };
                let (square, request, last) = (square.clone(), firing.packet.request(), firing.packet.last);
                drop(firing);
                bench.take(Arrival { context: &context, request, square, last }).await?;
            }
            Ok(())
        })
    }
}

/// Where the node works.
struct Bench {
    node: Projector,
    residence: Residence<WeightBytes>,
    /// The stage of the picture that is under way, for as long as its squares follow each other.
    stage: Option<Stage<WeightBytes>>,
    pool: SlotPool,
    /// Rows of a slot.
    most: usize,
    cache: RowCache,
    picture: Option<Underway>,
}

/// A square that has come.
struct Arrival<'a> {
    context: &'a NodeContext,
    request: Request,
    square: Embeddings,
    /// Whether nothing of the request comes after the square.
    last: bool,
}

/// A picture of more rows than a slot has.
#[derive(Debug, thiserror::Error)]
#[error("expected a picture of at most {most} rows (field max_tokens), found {found}")]
struct TooManyRows {
    most: usize,
    found: usize,
}

impl Bench {
    /// The next square. A stage waits for none.
    async fn next(&mut self, context: &mut NodeContext) -> Option<Firing> {
        let mut next = pin!(context.next());
        if let Poll::Ready(firing) = futures_util::poll!(&mut next) {
            return firing;
        }
        self.stage = None;
        next.await
    }

    /// Projects a square, and sends the picture's rows after its last one.
    async fn take(&mut self, arrival: Arrival<'_>) -> Result<(), NodeError> {
        let (tile, plan) = arrival.square.layout.tile().unwrap_or((0, TilePlan::single(0, 0)));
        let rows = self.node.shape.rows(plan.picture.0, plan.picture.1);
        if rows > self.most {
            let refusal = TooManyRows { most: self.most, found: rows };
            return arrival.context.refuse(arrival.request, refusal).await;
        }
        let picture = match self.picture.take() {
            _ if tile == 0 => self.begin(&arrival).await?,
            Some(picture) if (picture.request, picture.next) == (arrival.request.id, tile) => Some(picture),
            _ => {
                let problem = format!("square {} of a picture came without those before it", tile + 1);
                return arrival.context.refuse(arrival.request, problem).await;
            }
        };
        let Some(picture) = picture else { return Ok(()) };
        if matches!(picture.rows, Rows::New(_)) && !self.project(&arrival).await? {
            return Ok(());
        }
        if tile + 1 == plan.count() {
            return self.finish(picture.rows, rows, arrival).await;
        }
        self.picture = Some(Underway { next: tile + 1, ..picture });
        Ok(())
    }

    /// A picture whose first square has come: its rows from the cache, or a slot for them; nothing where its request is
    /// cancelled. What was seen before takes no weights.
    async fn begin(&mut self, arrival: &Arrival<'_>) -> Result<Option<Underway>, NodeError> {
        let (context, request) = (arrival.context, arrival.request.id);
        let known = arrival.square.source.and_then(|source| self.cache.recall(context, request, source));
        if let Some(rows) = known.and_then(|mut rows| rows.pop()) {
            return Ok(Some(Underway { request, next: 0, rows: Rows::Known(rows) }));
        }
        if !self.enter(arrival).await? {
            return Ok(None);
        }
        let slot = context.lend_turn_for(self.pool.acquire()).await;
        Ok(Some(Underway { request, next: 0, rows: Rows::New(slot) }))
    }

    /// Begins a stage, unless one is under way; false where the request is cancelled.
    async fn enter(&mut self, arrival: &Arrival<'_>) -> Result<bool, NodeError> {
        if self.stage.is_none() {
            self.stage = self.residence.enter_for(arrival.context, arrival.request).await?;
        }
        Ok(self.stage.is_some())
    }

    /// Projects a square, some blocks a job; false where the request is cancelled.
    async fn project(&mut self, arrival: &Arrival<'_>) -> Result<bool, NodeError> {
        let Arrival { context, request, .. } = arrival;
        if !self.enter(arrival).await? {
            return Ok(false);
        }
        let total = self.node.shape.blocks();
        let mut done = 0;
        while done < total {
            if context.is_cancelled(request.epoch) {
                return Ok(false);
            }
            let blocks = self.blocks_of_a_job(context).min(total - done);
            done += blocks;
            let spec = JobSpec {
                phase: Phase::Project,
                tokens: u32::try_from(blocks).unwrap_or(u32::MAX),
                class: JobClass::Vision,
                cost: self.node.shape.project(blocks),
                request: Some(request.id),
            };
            context.jobs().run(spec, |_| ()).await?;
        }
        Ok(true)
    }

    /// Publishes the rows of a whole picture and sends them, unless nobody wants them any more.
    async fn finish(&mut self, rows: Rows, count: usize, arrival: Arrival<'_>) -> Result<(), NodeError> {
        let (context, source) = (arrival.context, arrival.square.source);
        let rows = match rows {
            Rows::Known(rows) => rows,
            Rows::New(slot) => {
                let made = source.map(|source| source.through(&self.node.model));
                let rows = Embeddings { rows: slot.publish(count), source: made, layout: RowLayout::whole(count) };
                if let Some(source) = source {
                    self.cache.keep(context, source, std::slice::from_ref(&rows));
                }
                rows
            }
        };
        // What is handed on needs no weights.
        self.stage = None;
        if context.is_cancelled(arrival.request.epoch) {
            return Ok(());
        }
        context.send("tokens", Packet { last: arrival.last, ..Packet::embeddings(arrival.request, rows) }).await
    }

    /// How many blocks are predicted to fit the time of a job.
    fn blocks_of_a_job(&self, context: &NodeContext) -> usize {
        let fits = |blocks: usize| {
            let time = context.jobs().predict(Phase::Project, self.node.shape.project(blocks));
            time.is_none_or(|time| time <= JOB_TIME)
        };
        let mut blocks = self.node.shape.blocks();
        while blocks > FEWEST_BLOCKS && !fits(blocks) {
            blocks = blocks.div_ceil(2);
        }
        blocks
    }
}
