//! `Projector`: a brick that turns patch embeddings into rows of a language model's width, straight into a slot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use nanomind_bricks::vision::{self, Projection};
use nanomind_graphs::{
    ElementType, FieldSpec, MemoryNeed, ModelWidth, NodeSpec, PlannedNode, PortSpec, PortType, Width,
};
use nanomind_hal::tabm::SlotPool;
use nanomind_hal::{AcceleratorKind, JobClass, Phase};

use super::row_cache::{self, RowCache};
use super::vision_encoder::patches_of;
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::packet::{Embeddings, Packet, Payload};
use crate::request::Request;

/// Rows that a job takes at least.
const FEWEST_ROWS: usize = 16;
/// Pictures of more patches than this are refused: slots are made before the first one comes.
const PATCHES: std::ops::RangeInclusive<i64> = 1..=16_384;

pub(super) fn spec() -> NodeSpec {
    let width = Width::OfModel { field: "model".to_owned(), which: ModelWidth::Projection };
    let rows = PortType::Embeddings { width, element: ElementType::F32 };
    NodeSpec::brick(
        "Projector",
        "Turns patch embeddings into rows that a language model reads, with the projector of an mmproj file.",
    )
    .input(PortSpec::new("patches", patches_of("model"), "Patch embeddings of one picture."))
    .output(PortSpec::new("tokens", rows, "One row for each patch, as wide as the language model's."))
    .field(FieldSpec::model("model", "The mmproj GGUF file that holds the projector."))
    .field(
        FieldSpec::integer("max_tokens", PATCHES, "Rows that a slot holds; a picture of more patches is refused.")
            .unit("tokens")
            .default(1024),
    )
    .field(row_cache::field())
    .cache(row_cache::FIELD)
    .runs_on(&[AcceleratorKind::Cpu])
    .memory(MemoryNeed::Model { field: "model".to_owned(), context: None })
    .example(super::SIGHT)
}

pub(super) struct Projector {
    file: PathBuf,
    max_tokens: usize,
}

impl Projector {
    pub(super) fn new(plan: &PlannedNode) -> Result<Projector, NodeError> {
        let max_tokens = usize::try_from(plan.integer("max_tokens")?).unwrap_or(1);
        Ok(Projector { file: plan.model("model")?.path.clone(), max_tokens })
    }
}

impl Node for Projector {
    fn run(self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let projector = context.weights().projector(&self.file, context.jobs()).await?;
            let kept = row_cache::slots(context.plan(), self.max_tokens, projector.width())?;
            let pool = context.slot_pool_with("tokens", self.max_tokens, projector.width(), kept)?;
            let mut cache = RowCache::new(kept);
            let mut work = projector.projection();
            while let Some(firing) = context.next().await {
                let Payload::Embeddings(patches) = &firing.packet.payload else { continue };
                let (patches, request) = (patches.clone(), firing.packet.request());
                let last = firing.packet.last;
                drop(firing);
                let turn =
                    Turn { context: &context, pool: &pool, projector: &projector, file: &self.file, request, last };
                let known = patches.source.and_then(|source| cache.recall(&context, request.id, source));
                match known.and_then(|mut rows| rows.pop()) {
                    Some(rows) => turn.send(rows).await?,
                    None => work = turn.project(work, patches, &mut cache).await?,
                }
            }
            Ok(())
        })
    }
}

/// One picture's patches on their way.
struct Turn<'a> {
    context: &'a NodeContext,
    pool: &'a SlotPool,
    projector: &'a Arc<vision::Projector>,
    file: &'a Path,
    request: Request,
    /// Whether nothing of the request comes after these patches.
    last: bool,
}

impl Turn<'_> {
    /// Projects `patches` and sends the rows; gives the memory back for the next picture.
    async fn project(
        &self,
        mut work: Projection,
        patches: Embeddings,
        cache: &mut RowCache,
    ) -> Result<Projection, NodeError> {
        let Embeddings { rows: mut patches, source, .. } = patches;
        let total = patches.tokens();
        let mut slot = self.pool.acquire().await;
        let mut done = 0;
        while done < total {
            if self.context.is_cancelled(self.request.epoch) {
                return Ok(work);
            }
            let rows = done..total.min(done + self.rows(total));
            done = rows.end;
            let spec = JobSpec {
                phase: Phase::Project,
                tokens: u32::try_from(rows.len()).unwrap_or(u32::MAX),
                class: JobClass::Vision,
                cost: self.projector.cost(rows.len()),
                request: Some(self.request.id),
            };
            let projector = self.projector.clone();
            let projected = self.context.jobs().run(spec, move |lane| {
                let projected = projector.project(lane, &mut work, patches.rows_f32(), rows, &mut slot);
                (work, patches, slot, projected)
            });
            let projected_rows;
            (work, patches, slot, projected_rows) = projected.await?.value;
            if let Err(error) = projected_rows {
                self.context.refuse(self.request, error).await?;
                return Ok(work);
            }
        }
        // The encoder may write its next picture while this one waits for the language model.
        drop(patches);
        let made = source.map(|source| source.through(&self.file.to_string_lossy()));
        let rows = Embeddings::whole(slot.publish(total), made);
        if let Some(source) = source {
            cache.keep(self.context, source, std::slice::from_ref(&rows));
        }
        self.send(rows).await?;
        Ok(work)
    }

    /// Sends the rows, unless nobody wants them any more.
    async fn send(&self, rows: Embeddings) -> Result<(), NodeError> {
        if self.context.is_cancelled(self.request.epoch) {
            return Ok(());
        }
        self.context.send("tokens", Packet { last: self.last, ..Packet::embeddings(self.request, rows) }).await
    }

    /// How many rows are predicted to fit the time of a job.
    fn rows(&self, total: usize) -> usize {
        let mut rows = total;
        let fits = |rows: usize| {
            let time = self.context.jobs().predict(Phase::Project, self.projector.cost(rows));
            time.is_none_or(|time| time <= JOB_TIME)
        };
        while rows > FEWEST_ROWS && !fits(rows) {
            rows = rows.div_ceil(2);
        }
        rows
    }
}
