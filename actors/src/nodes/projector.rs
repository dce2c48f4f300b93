//! `Projector`: a brick that turns patch embeddings into rows of a language model's width, straight into a slot.
//!
//! The squares of a picture come one by one; its rows go on in one packet, since a prompt takes a picture in at once.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{self, Arrangement, Projection, Square, TilePlan};
use nanomind_graphs::{
    ElementType, FieldSpec, MemoryNeed, ModelWidth, NodeSpec, PlannedNode, PortSpec, PortType, Width,
};
use nanomind_hal::tabm::{SlotPool, SlotWriter};
use nanomind_hal::{AcceleratorKind, JobClass, Phase};

use super::row_cache::{self, RowCache};
use super::vision_encoder::patches_of;
use crate::error::NodeError;
use crate::inputs::Firing;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::{Request, RequestId};
use crate::residence::{Residence, Stage};
use crate::weights::WeightSource;

/// Blocks of patches that a job takes at least.
pub(crate) const FEWEST_BLOCKS: usize = 16;
/// Rows that slots can be made for.
const ROWS: std::ops::RangeInclusive<i64> = 1..=1 << 20;

pub(super) fn spec() -> NodeSpec {
    let width = Width::OfModel { field: "model".to_owned(), which: ModelWidth::Projection };
    let rows = PortType::Embeddings { width, element: ElementType::F32 };
    NodeSpec::brick(
        "Projector",
        "Turns patch embeddings into rows that a language model reads, with the projector of an mmproj file.",
    )
    .input(PortSpec::new("patches", patches_of("model"), "Patch embeddings, square after square of a picture."))
    .output(PortSpec::new("tokens", rows, "The rows of a picture, as wide as the language model's.").rows("max_tokens"))
    .field(FieldSpec::model("model", "The mmproj GGUF file that holds the projector."))
    .field(
        FieldSpec::integer(
            "max_tokens",
            ROWS,
            "Rows that a slot holds; a picture that makes more is refused. Without it, slots hold what the \
             model's largest picture makes.",
        )
        .unit("tokens")
        .optional(),
    )
    .field(row_cache::field())
    .cache(row_cache::FIELD)
    .runs_on(&[AcceleratorKind::Cpu])
    .phases(&[Phase::Project])
    .memory(MemoryNeed::Model { field: "model".to_owned(), context: None, sequences: None, kv_format: None })
    .example(super::SIGHT)
}

pub(super) struct Projector {
    file: PathBuf,
    max_tokens: Option<usize>,
}

impl Projector {
    pub(super) fn new(plan: &PlannedNode) -> Result<Projector, NodeError> {
        let max_tokens = plan.optional_integer("max_tokens")?.and_then(|rows| usize::try_from(rows).ok());
        Ok(Projector { file: plan.model("model")?.path.clone(), max_tokens })
    }
}

impl Node for Projector {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let residence = Residence::new(WeightSource::projector(&self.file));
            residence.prepare(&context).await?;
            let mut bench = Bench { fields: *self, residence, stage: None, rows: Pages::default(), picture: None };
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
    fields: Projector,
    residence: Residence<vision::Projector, Projection>,
    /// The stage of the picture that is under way, for as long as its squares follow each other.
    stage: Option<Stage<vision::Projector, Projection>>,
    rows: Pages,
    picture: Option<Underway>,
}

/// Where rows are written, and kept.
#[derive(Default)]
struct Pages {
    /// None before the first picture.
    pool: Option<SlotPool>,
    cache: RowCache,
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
    New { slot: SlotWriter, arrangement: Arc<Arrangement> },
    /// They were made before.
    Known(Embeddings),
}

/// A square that has come.
struct Arrival<'a> {
    context: &'a NodeContext,
    request: Request,
    square: Embeddings,
    /// Whether nothing of the request comes after the square.
    last: bool,
}

impl Arrival<'_> {
    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled(self.request.epoch)
    }
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
        // Rows that say nothing of squares are those of a whole picture.
        let (tile, plan) = arrival.square.layout.tile().unwrap_or((0, TilePlan::single(0, 0)));
        let picture = match self.picture.take() {
            _ if tile == 0 => self.begin(&arrival, plan).await?,
            Some(picture) if (picture.request, picture.next) == (arrival.request.id, tile) => Some(picture),
            _ => {
                let problem = format!("square {} of a picture came without those before it", tile + 1);
                return arrival.context.refuse(arrival.request, problem).await;
            }
        };
        let Some(Underway { rows, request, .. }) = picture else { return Ok(()) };
        let rows = match rows {
            Rows::New { slot, arrangement } => match self.project(&arrival, slot, &arrangement, tile).await? {
                Some(slot) => Rows::New { slot, arrangement },
                None => return Ok(()),
            },
            known => known,
        };
        if tile + 1 == plan.count() {
            return self.finish(rows, arrival).await;
        }
        self.picture = Some(Underway { request, next: tile + 1, rows });
        Ok(())
    }

    /// A picture whose first square has come: its rows from the cache, or a slot for them; nothing where its request is
    /// cancelled. What was seen before takes no weights.
    async fn begin(&mut self, arrival: &Arrival<'_>, plan: TilePlan) -> Result<Option<Underway>, NodeError> {
        let (context, request) = (arrival.context, arrival.request.id);
        let known = arrival.square.source.and_then(|source| self.rows.cache.recall(context, request, source));
        if let Some(rows) = known.and_then(|mut rows| rows.pop()) {
            return Ok(Some(Underway { request, next: 0, rows: Rows::Known(rows) }));
        }
        let Some(projector) = self.weights(arrival).await? else { return Ok(None) };
        let pool = self.rows.pool_for(context, &projector, self.fields.max_tokens)?;
        let (slot, arrangement) = (context.lend_turn_for(pool.acquire()).await, projector.arrange(plan));
        let rows = Rows::New { slot, arrangement: Arc::new(arrangement) };
        Ok(Some(Underway { request, next: 0, rows }))
    }

    /// The weights of the stage under way, or of a new one; nothing where the request is cancelled.
    async fn weights(&mut self, arrival: &Arrival<'_>) -> Result<Option<Arc<vision::Projector>>, NodeError> {
        if self.stage.is_none() {
            self.stage = self.residence.enter_for(arrival.context, arrival.request).await?;
        }
        Ok(self.stage.as_ref().map(|stage| stage.weights().clone()))
    }

    /// Projects a square into the picture's slot, some blocks a job; nothing where the request is cancelled or refused.
    async fn project(
        &mut self,
        arrival: &Arrival<'_>,
        mut slot: SlotWriter,
        arrangement: &Arc<Arrangement>,
        tile: usize,
    ) -> Result<Option<SlotWriter>, NodeError> {
        let Some(projector) = self.weights(arrival).await? else { return Ok(None) };
        let built = self.stage.as_ref().and_then(Stage::take);
        let mut work = built.unwrap_or_else(|| projector.projection());
        let (total, mut patches, mut done) = (projector.config().blocks(), arrival.square.rows.clone(), 0);
        let mut refused = None;
        while done < total && refused.is_none() && !arrival.is_cancelled() {
            let blocks = done..total.min(done + blocks_of_a_job(arrival.context, &projector));
            done = blocks.end;
            let spec = JobSpec {
                phase: Phase::Project,
                tokens: u32::try_from(blocks.len()).unwrap_or(u32::MAX),
                class: JobClass::Vision,
                cost: projector.cost(blocks.len()),
                request: Some(arrival.request.id),
            };
            let (projector, arrangement) = (projector.clone(), arrangement.clone());
            let projected = arrival.context.jobs().run(spec, move |lane| {
                let square = Square { arrangement: &arrangement, tile, patches: patches.rows_f32() };
                let projected = projector.project(lane, &mut work, square, blocks, &mut slot);
                (work, patches, slot, projected.err())
            });
            (work, patches, slot, refused) = projected.await?.value;
        }
        if let Some(stage) = &self.stage {
            stage.put(work);
        }
        if let Some(error) = refused {
            self.stage = None;
            arrival.context.refuse(arrival.request, error).await?;
            return Ok(None);
        }
        Ok((done == total).then_some(slot))
    }

    /// Publishes the rows of a whole picture and sends them, unless nobody wants them any more.
    async fn finish(&mut self, rows: Rows, arrival: Arrival<'_>) -> Result<(), NodeError> {
        let (context, source) = (arrival.context, arrival.square.source);
        let rows = match rows {
            Rows::Known(rows) => rows,
            Rows::New { slot, arrangement } => {
                let made = source.map(|source| source.through(&self.fields.file.to_string_lossy()));
                let (rows, layout) = (slot.publish(arrangement.rows()), arrangement.layout().clone());
                let rows = Embeddings { rows, source: made, layout };
                if let Some(source) = source {
                    self.rows.cache.keep(context, source, std::slice::from_ref(&rows));
                }
                rows
            }
        };
        // What is handed on needs no weights.
        self.stage = None;
        if arrival.is_cancelled() {
            return Ok(());
        }
        context.send("tokens", Packet { last: arrival.last, ..Packet::embeddings(arrival.request, rows) }).await
    }
}

impl Pages {
    /// The pool, with slots as large as the projector needs them.
    fn pool_for(
        &mut self,
        context: &NodeContext,
        projector: &vision::Projector,
        max_tokens: Option<usize>,
    ) -> Result<SlotPool, NodeError> {
        if let Some(pool) = &self.pool {
            return Ok(pool.clone());
        }
        let (rows, width) = (max_tokens.unwrap_or(projector.config().most_rows), projector.width());
        let kept = row_cache::slots(context.plan(), rows, width)?;
        self.cache.allow(kept);
        Ok(self.pool.insert(context.slot_pool_with("tokens", rows, width, kept)?).clone())
    }
}

/// How many blocks are predicted to fit the time of a job.
fn blocks_of_a_job(context: &NodeContext, projector: &vision::Projector) -> usize {
    let fits = |blocks: usize| {
        let time = context.jobs().predict(Phase::Project, projector.cost(blocks));
        time.is_none_or(|time| time <= JOB_TIME)
    };
    let mut blocks = projector.config().blocks();
    while blocks > FEWEST_BLOCKS && !fits(blocks) {
        blocks = blocks.div_ceil(2);
    }
    blocks
}
