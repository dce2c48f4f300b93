//! The way of an `Llm` to another home: weights are loaded there and what its answers have read is copied there, while the
//! answers go on where they are. What is left of them moves between two steps.

use std::sync::Arc;

use nanomind_bricks::language::{Generation, LanguageModel, Relocation, RelocationError};
use nanomind_hal::{AcceleratorId, JobClass, JobCost, Phase};
use tokio::task::JoinHandle;

use super::mind::{MindStage, Readers};
use crate::error::NodeError;
use crate::jobs::JobSpec;
use crate::node::NodeContext;
use crate::weights::LoadedModel;

/// Positions of an answer that are copied between two of its steps.
const PIECE: usize = 64;

/// A migration under way.
pub(super) struct Migration {
    to: AcceleratorId,
    /// None when the weights are there.
    loading: Option<JoinHandle<Result<Arc<LoadedModel>, NodeError>>>,
    weights: Option<Arc<LoadedModel>>,
}

impl Migration {
    /// Begins to load the weights of `stage` in the home of `to`.
    pub(super) fn begin(stage: &MindStage, context: &NodeContext, to: AcceleratorId) -> Migration {
        Migration { to, loading: Some(actix::spawn(stage.load_at(context, to))), weights: None }
    }

    /// Where it leads.
    pub(super) fn to(&self) -> AcceleratorId {
        self.to
    }

    /// The weights at the new home, if they are there by now. Forced moves wait for them, so that each is made.
    pub(super) async fn weights(&mut self, context: &NodeContext) -> Result<Option<Arc<LoadedModel>>, NodeError> {
        let forced = context.migrations.is_some();
        if let Some(loading) = self.loading.take_if(|loading| forced || loading.is_finished()) {
            // Nobody aborts it but the end of the migration.
            self.weights = loading.await.ok().transpose()?;
        }
        Ok(self.weights.clone())
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        if let Some(loading) = &self.loading {
            loading.abort();
        }
    }
}

/// An answer on its way.
pub(super) struct Passenger {
    pub(super) generation: Generation,
    /// What was copied of it.
    pub(super) relocation: Option<Relocation>,
}

impl Passenger {
    /// Copies a piece more to `model`, and says how many bytes that were.
    fn copy(&mut self, model: &Arc<LanguageModel>) -> Result<usize, RelocationError> {
        let sequence = self.generation.sequence();
        let relocation = match &mut self.relocation {
            Some(relocation) => relocation,
            none => none.insert(Relocation::new(model, sequence)?),
        };
        relocation.copy(sequence, PIECE)
    }

    /// Positions that are not copied.
    fn left(&self) -> usize {
        let sequence = self.generation.sequence();
        self.relocation.as_ref().map_or(sequence.len(), |relocation| relocation.left(sequence))
    }

    /// Moves what is left to `model`, and goes on there.
    fn alight(self, model: &Arc<LanguageModel>) -> Result<Generation, RelocationError> {
        let relocation = match self.relocation {
            Some(relocation) => relocation,
            None => Relocation::new(model, self.generation.sequence())?,
        };
        self.generation.relocate(relocation).map_err(|refused| refused.0)
    }
}

/// Copies a piece of each of `passengers` to `model`, in a job where they are. Gives them back, with whether so little is
/// left that they can move before their next step.
pub(super) async fn copy(
    context: &NodeContext,
    model: &Arc<LanguageModel>,
    passengers: Vec<Passenger>,
) -> Result<(Vec<Passenger>, Result<bool, RelocationError>), NodeError> {
    let pending = passengers.iter().map(|passenger| passenger.left().min(PIECE)).sum();
    let (mut passengers, model) = (passengers, model.clone());
    let copied = context.jobs().run(spec(&passengers, pending), move |_| {
        let copied = passengers.iter_mut().map(|passenger| passenger.copy(&model)).sum::<Result<usize, _>>();
        let ready = passengers.iter().all(|passenger| passenger.left() == 0);
        (passengers, copied.map(|bytes| (bytes, ready)))
    });
    let (passengers, copied) = copied.await?.value;
    Ok((
        passengers,
        copied.map(|(bytes, ready)| {
            context.count("bytes of keys and values moved", bytes as u64);
            ready
        }),
    ))
}

/// Moves `passengers` and all that `readers` remember to `weights`, in a job at their home.
pub(super) async fn flip(
    context: &NodeContext,
    to: AcceleratorId,
    weights: &Arc<LoadedModel>,
    passengers: Vec<Passenger>,
    mut readers: Readers,
) -> Result<(Vec<Generation>, Readers), NodeError> {
    let pending = passengers.iter().map(Passenger::left).sum();
    let model = weights.model.clone();
    let moved = context.jobs().run_at(to, spec(&passengers, pending), move |_| {
        let moved = passengers.into_iter().map(|passenger| passenger.alight(&model)).collect::<Result<_, _>>();
        readers.iter_mut().flatten().for_each(|reader| reader.relocate(&model));
        (moved, readers)
    });
    let (moved, readers) = moved.await?.value;
    Ok((moved.map_err(NodeError::own)?, readers))
}

/// A job that copies `positions` positions: they are read once and written once.
fn spec(passengers: &[Passenger], positions: usize) -> JobSpec {
    let position = passengers.first().map_or(0, |passenger| {
        let sequence = passenger.generation.sequence();
        sequence.kv_geometry().position_bytes(sequence.kv_format()).unwrap_or(0)
    });
    let cost = JobCost { flops: 0, bytes: 2 * (position * positions) as u64 };
    let tokens = u32::try_from(positions).unwrap_or(u32::MAX);
    JobSpec { phase: Phase::Migrate, tokens, class: JobClass::Decode, cost, request: None }
}
