//! `Projector`: a brick that turns patch embeddings into rows of a language model's width, straight into a slot.
//!
//! The squares of a picture come one by one; its rows go on in one packet, since a prompt takes a picture in at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{self, Arrangement, Projection, Square, TilePlan, VisionError};
use nanomind_graphs::{
    ElementType, FieldSpec, MemoryNeed, ModelWidth, NodeSpec, PlannedNode, PortSpec, PortType, Width,
};
use nanomind_hal::tabm::{SlotPool, SlotWriter};
use nanomind_hal::{AcceleratorKind, JobClass, Phase};

use super::row_cache::{self, RowCache};
use super::vision_encoder::patches_of;
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::{Request, RequestId};

/// Blocks of patches that a job takes at least.
const FEWEST_BLOCKS: usize = 16;
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
    .memory(MemoryNeed::Model { field: "model".to_owned(), context: None })
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
            let projector = context.weights().projector(&self.file, context.jobs()).await?;
            let (rows, width) = (self.max_tokens.unwrap_or(projector.config().most_rows), projector.width());
            let kept = row_cache::slots(context.plan(), rows, width)?;
            let pool = context.slot_pool_with("tokens", rows, width, kept)?;
            let mut cache = RowCache::new(kept);
            let (mut work, mut picture) = (projector.projection(), None);
            while let Some(firing) = context.next().await {
                let Payload::Embeddings(square) = &firing.packet.payload else { continue };
                let (square, request, last) = (square.clone(), firing.packet.request(), firing.packet.last);
                drop(firing);
                let turn =
                    Turn { context: &context, pool: &pool, projector: &projector, file: &self.file, request, last };
                (work, picture) = turn.take(work, picture, square, &mut cache).await?;
            }
            Ok(())
        })
    }
}

/// A picture of which some squares have come.
struct Underway {
    request: RequestId,
    arrangement: Arc<Arrangement>,
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

/// One square on its way.
struct Turn<'a> {
    context: &'a NodeContext,
    pool: &'a SlotPool,
    projector: &'a Arc<vision::Projector>,
    file: &'a Path,
    request: Request,
    /// Whether nothing of the request comes after the square.
    last: bool,
}

impl Turn<'_> {
    /// Projects a square, and sends the picture's rows after its last one; gives the memory back for the next square.
    async fn take(
        &self,
        work: Projection,
        picture: Option<Underway>,
        square: Embeddings,
        cache: &mut RowCache,
    ) -> Result<(Projection, Option<Underway>), NodeError> {
        // Rows that say nothing of squares are those of a whole picture.
        let (tile, plan) = square.layout.tile().unwrap_or((0, TilePlan::single(0, 0)));
        let source = square.source;
        let mut picture = match picture {
            _ if tile == 0 => self.begin(plan, &square, cache).await,
            Some(picture) if (picture.request, picture.next) == (self.request.id, tile) => picture,
            _ => {
                let problem = format!("square {} of a picture came without those before it", tile + 1);
                self.context.refuse(self.request, problem).await?;
                return Ok((work, None));
            }
        };
        let (work, projected) = match picture.rows {
            Rows::Known(rows) => (work, Ok(Some(Rows::Known(rows)))),
            Rows::New(slot) => self.project(work, &picture.arrangement, tile, square, slot).await?,
        };
        match projected {
            Ok(Some(rows)) if tile + 1 == plan.count() => {
                self.finish(rows, &picture.arrangement, source, cache).await?;
                return Ok((work, None));
            }
            Ok(Some(rows)) => picture = Underway { rows, next: tile + 1, ..picture },
            Ok(None) => return Ok((work, None)),
            Err(error) => {
                self.context.refuse(self.request, error).await?;
                return Ok((work, None));
            }
        }
        Ok((work, Some(picture)))
    }

    /// A picture whose first square has come: its rows from the cache, or a slot for them.
    async fn begin(&self, plan: TilePlan, square: &Embeddings, cache: &mut RowCache) -> Underway {
        let known = square.source.and_then(|source| cache.recall(self.context, self.request.id, source));
        let rows = match known.and_then(|mut rows| rows.pop()) {
            Some(rows) => Rows::Known(rows),
            None => Rows::New(self.pool.acquire().await),
        };
        let arrangement = Arc::new(self.projector.arrange(plan));
        Underway { request: self.request.id, arrangement, next: 0, rows }
    }

    /// Projects a square into the picture's slot, some blocks a job; nothing where the request is cancelled.
    async fn project(
        &self,
        mut work: Projection,
        arrangement: &Arc<Arrangement>,
        tile: usize,
        square: Embeddings,
        mut slot: SlotWriter,
    ) -> Result<(Projection, Result<Option<Rows>, VisionError>), NodeError> {
        let total = self.projector.config().blocks();
        let (mut patches, mut done) = (square.rows, 0);
        while done < total {
            if self.context.is_cancelled(self.request.epoch) {
                return Ok((work, Ok(None)));
            }
            let blocks = done..total.min(done + self.blocks(total));
            done = blocks.end;
            let spec = JobSpec {
                phase: Phase::Project,
                tokens: u32::try_from(blocks.len()).unwrap_or(u32::MAX),
                class: JobClass::Vision,
                cost: self.projector.cost(blocks.len()),
                request: Some(self.request.id),
            };
            let (projector, arrangement) = (self.projector.clone(), arrangement.clone());
            let projected = self.context.jobs().run(spec, move |lane| {
                let square = Square { arrangement: &arrangement, tile, patches: patches.rows_f32() };
                let projected = projector.project(lane, &mut work, square, blocks, &mut slot);
                (work, patches, slot, projected)
            });
            let projected_well;
            (work, patches, slot, projected_well) = projected.await?.value;
            if let Err(error) = projected_well {
                return Ok((work, Err(error)));
            }
        }
        Ok((work, Ok(Some(Rows::New(slot)))))
    }

    /// Publishes the rows of a whole picture and sends them, unless nobody wants them any more.
    async fn finish(
        &self,
        rows: Rows,
        arrangement: &Arrangement,
        source: Option<vision::PictureDigest>,
        cache: &mut RowCache,
    ) -> Result<(), NodeError> {
        let rows = match rows {
            Rows::Known(rows) => rows,
            Rows::New(slot) => {
                let made = source.map(|source| source.through(&self.file.to_string_lossy()));
                let (rows, layout) = (slot.publish(arrangement.rows()), arrangement.layout().clone());
                let rows = Embeddings { rows, source: made, layout };
                if let Some(source) = source {
                    cache.keep(self.context, source, std::slice::from_ref(&rows));
                }
                rows
            }
        };
        if self.context.is_cancelled(self.request.epoch) {
            return Ok(());
        }
        self.context.send("tokens", Packet { last: self.last, ..Packet::embeddings(self.request, rows) }).await
    }

    /// How many blocks are predicted to fit the time of a job.
    fn blocks(&self, total: usize) -> usize {
        let mut blocks = total;
        let fits = |blocks: usize| {
            let time = self.context.jobs().predict(Phase::Project, self.projector.cost(blocks));
            time.is_none_or(|time| time <= JOB_TIME)
        };
        while blocks > FEWEST_BLOCKS && !fits(blocks) {
            blocks = blocks.div_ceil(2);
        }
        blocks
    }
}
