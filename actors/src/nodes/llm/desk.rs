//! What an `Llm` answers at once: requests join and leave between two steps, and a step of all of them is one job.
//!
//! Every answer has a seat: a conversation, and a reader with a cache of its own. A round decodes a step of all answers
//! whose prompt was read, and then reads one chunk of the prompt that came first of the others: who speaks is held up by no
//! more than a chunk, and prompts are read in their order. A step that panics takes all of its answers with it.

use std::error::Error;

use nanomind_bricks::language::{FinishReason, Generation, Relocation};
use nanomind_hal::{AcceleratorId, JobClass, JobCost, Phase};

use super::answer::Answer;
use super::asks::Ask;
use super::fields::LlmSettings;
use super::migration::{self, Migration, Passenger};
use super::mind::{Mind, MindStage, put_back, reader};
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{HandedOut, NodeContext};
use crate::request::{RequestEnd, RequestId};

/// Chunks of prefill that are tried, longest first.
pub(crate) const CHUNKS: [usize; 6] = [256, 128, 64, 32, 16, 8];

/// The seats of a node, and who has one.
pub(super) struct Desk {
    /// A conversation for each seat. Out of sight while it is asked.
    minds: Vec<Option<Mind>>,
    /// In the order in which they have joined.
    active: Vec<Active>,
    /// Under way while anybody has a seat.
    stage: Option<MindStage>,
    /// Under way while the node is assigned to where its weights are not.
    migration: Option<Migration>,
}

/// An answer on its way.
struct Active {
    seat: usize,
    answer: Answer,
    /// `None` while a job has it.
    generation: Option<Generation>,
    /// What was copied of it to where the node goes.
    relocation: Option<Relocation>,
    end: Option<End>,
    latched: Option<RequestId>,
    kept: Option<HandedOut>,
}

#[derive(Clone, Copy)]
enum End {
    Finished(FinishReason),
    Cancelled,
}

impl Active {
    fn generation(&self) -> Option<&Generation> {
        self.generation.as_ref().filter(|_| self.end.is_none())
    }

    /// Whether its prompt has been read, so that it takes part in the next step.
    fn speaks(&self) -> bool {
        self.generation().is_some_and(|generation| generation.progress().is_complete())
    }
}

impl Desk {
    /// A desk of `seats` seats, all free.
    pub(super) fn new(settings: &LlmSettings, seats: usize) -> Desk {
        let minds = (0..seats.max(1)).map(|_| Some(Mind::new(settings.clone()))).collect();
        Desk { minds, active: Vec::new(), stage: None, migration: None }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// Whether one more may join now. While bricks work in turn, or rest from a stream, those that come later wait for the
    /// others to end: a stage must end, and so must the work that a rest is measured by.
    pub(super) fn has_room(&self, context: &NodeContext) -> bool {
        let duty = context.duty();
        self.is_idle() || self.active.len() < self.minds.len() && !duty.in_turn && duty.working_share >= 1.0
    }

    /// The stage of a desk at which nobody has a seat begins with this one.
    pub(super) fn begin(&mut self, stage: MindStage) {
        self.stage.get_or_insert(stage);
    }

    /// Whether a stage is under way.
    pub(super) fn has_stage(&self) -> bool {
        self.stage.is_some()
    }

    /// Takes on what is asked; refuses a question that cannot be answered. An error is one of the node.
    pub(super) async fn join(
        &mut self,
        context: &mut NodeContext,
        ask: Ask,
        kept: Option<HandedOut>,
    ) -> Result<(), NodeError> {
        let Ask { request, latched, question, pictures } = ask;
        let mut answer = Answer::new(context, request);
        let joined = match self.ask(context, request, question, pictures).await? {
            Ok((seat, generation)) => {
                if self.minds.len() > 1 {
                    answer.open(context).await?;
                }
                Some((seat, generation))
            }
            Err(refusal) => {
                context.refuse(request, refusal).await?;
                None
            }
        };
        match joined {
            Some((seat, generation)) => {
                let generation = Some(generation);
                self.active.push(Active { seat, answer, generation, relocation: None, end: None, latched, kept });
            }
            None => {
                dealt_with(context, kept, latched);
                self.end_stage_if_idle();
            }
        }
        Ok(())
    }

    /// The question as a generation on the first free seat, or why there is none.
    async fn ask(
        &mut self,
        context: &NodeContext,
        request: crate::request::Request,
        question: String,
        pictures: Vec<nanomind_bricks::vision::Embeddings>,
    ) -> Result<Result<(usize, Generation), String>, NodeError> {
        let free = |seat: &usize| !self.active.iter().any(|active| active.seat == *seat);
        let (Some(seat), Some(stage)) = ((0..self.minds.len()).find(free), &self.stage) else {
            return Ok(Err("expected a free seat".to_owned()));
        };
        let mut reading = match reader(stage, seat) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let Some(mut asking) = self.minds[seat].take() else {
            return Ok(Err("expected the seat's last question to be settled".to_owned()));
        };
        let spec = spec(Phase::Prefill, 0, JobCost::default(), Some(request.id));
        let asked = context.jobs().run(spec, move |_| {
            let generation = asking.ask(&mut reading, &question, pictures);
            (asking, reading, generation)
        });
        let (mind, reader, generation) = asked.await?.value;
        self.minds[seat] = Some(mind);
        put_back(stage, seat, reader);
        Ok(generation.map(|generation| (seat, generation)).map_err(|error| error.to_string()))
    }

    /// A round: a step of all that speak, a chunk of the first prompt that is not read yet.
    pub(super) async fn step(&mut self, context: &mut NodeContext) -> Result<(), NodeError> {
        self.leave_cancelled(context);
        self.follow(context).await?;
        self.decode(context).await?;
        self.leave(context);
        self.leave_cancelled(context);
        self.prefill(context).await?;
        self.leave_cancelled(context);
        Ok(())
    }

    /// Goes on towards where the node is assigned to, while its weights are in another home.
    async fn follow(&mut self, context: &NodeContext) -> Result<(), NodeError> {
        let (Some(stage), away) = (&mut self.stage, context.jobs().away()) else { return Ok(()) };
        if self.migration.as_ref().map(Migration::to) != away {
            self.active.iter_mut().for_each(|active| active.relocation = None);
            self.migration = away.map(|to| Migration::begin(stage, context, to));
        }
        let Some(migration) = &mut self.migration else { return Ok(()) };
        let to = migration.to();
        let weights = match migration.weights(context).await {
            Ok(Some(weights)) => weights,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.stay(context, to, &error);
                return Ok(());
            }
        };
        let mut moving: Vec<&mut Active> =
            self.active.iter_mut().filter(|active| active.generation.is_some()).collect();
        let passenger = |active: &mut &mut Active| {
            let relocation = active.relocation.take();
            active.generation.take().map(|generation| Passenger { generation, relocation })
        };
        let passengers = moving.iter_mut().filter_map(passenger).collect();
        let (passengers, ready) = migration::copy(context, &weights.model, passengers).await?;
        if matches!(ready, Ok(true)) {
            let readers = stage.take().unwrap_or_default();
            let (generations, readers) = migration::flip(context, to, &weights, passengers, readers).await?;
            for (active, generation) in moving.into_iter().zip(generations) {
                active.generation = Some(generation);
            }
            stage.arrive(context, weights, to, readers);
            self.migration = None;
            return Ok(());
        }
        for (active, passenger) in moving.into_iter().zip(passengers) {
            (active.generation, active.relocation) = (Some(passenger.generation), passenger.relocation);
        }
        if let Err(error) = ready {
            self.stay(context, to, &error);
        }
        Ok(())
    }

    /// The node cannot move to `to`: it stays where it is.
    fn stay(&mut self, context: &NodeContext, to: AcceleratorId, error: &dyn Error) {
        tracing::warn!(node = &**context.name(), %to, %error, "the node cannot move, and stays");
        context.count("moves that failed", 1);
        context.jobs().stay();
        self.active.iter_mut().for_each(|active| active.relocation = None);
        self.migration = None;
    }

    async fn decode(&mut self, context: &NodeContext) -> Result<(), NodeError> {
        let mut speaking: Vec<&mut Active> = self.active.iter_mut().filter(|active| active.speaks()).collect();
        let mut generations: Vec<Generation> =
            speaking.iter_mut().filter_map(|active| active.generation.take()).collect();
        if generations.is_empty() {
            return Ok(());
        }
        let spec = spec(Phase::Decode, generations.len(), Generation::batch_cost(&generations), None);
        let requests = speaking.iter().map(|active| active.answer.request().id).collect();
        let step = context.jobs().run_for(
            spec,
            requests,
            move |lane| {
                let steps = Generation::decode_batch(lane, &mut generations);
                (generations, steps)
            },
            |(_, steps)| steps.iter().map(|step| u32::try_from(step.tokens.len()).unwrap_or(u32::MAX)).sum(),
        );
        let done = step.await?;
        let accelerator = done.accelerator.to_string();
        let (generations, steps) = done.value;
        for (active, generation) in speaking.iter_mut().zip(generations) {
            active.generation = Some(generation);
        }
        for (active, step) in speaking.into_iter().zip(steps) {
            active.end = match active.answer.take(context, &step, &accelerator).await? {
                true => step.finished.map(End::Finished),
                false => Some(End::Cancelled),
            };
        }
        Ok(())
    }

    async fn prefill(&mut self, context: &NodeContext) -> Result<(), NodeError> {
        let reads = |active: &&mut Active| active.generation().is_some() && !active.speaks();
        let Some(active) = self.active.iter_mut().find(reads) else { return Ok(()) };
        let Some(generation) = active.generation.take() else { return Ok(()) };
        let progress = generation.progress();
        let chunk = chunk(context, &generation).min(progress.total - progress.done);
        let spec = spec(Phase::Prefill, chunk, generation.prefill_cost(chunk), Some(active.answer.request().id));
        let read = context.jobs().run(spec, move |lane| generation.prefill_chunk(lane, chunk));
        let (generation, progress) = read.await?.value;
        active.generation = Some(generation);
        if progress.is_complete() {
            active.answer.prefilled(context);
        }
        Ok(())
    }

    fn leave_cancelled(&mut self, context: &mut NodeContext) {
        for active in &mut self.active {
            if active.end.is_none() && active.answer.is_cancelled(context) {
                active.end = Some(End::Cancelled);
            }
        }
        self.leave(context);
    }

    /// Those whose answer has ended give their seat back.
    fn leave(&mut self, context: &mut NodeContext) {
        while let Some(at) = self.active.iter().position(|active| active.end.is_some()) {
            let Active { seat, answer, generation, end, latched, kept, .. } = self.active.remove(at);
            let finish = match end {
                Some(End::Finished(reason)) => Some(reason),
                Some(End::Cancelled) | None => None,
            };
            if let (Some(generation), Some(stage), Some(mind)) = (generation, &self.stage, &mut self.minds[seat]) {
                let (shown, counters) = (answer.shown(finish), generation.counters());
                answer.report(context, counters, finish);
                if let Ok(mut reader) = reader(stage, seat) {
                    mind.settle(&mut reader, generation, shown);
                    put_back(stage, seat, reader);
                }
            }
            dealt_with(context, kept, latched);
        }
        self.end_stage_if_idle();
    }

    fn end_stage_if_idle(&mut self) {
        if self.active.is_empty() {
            self.stage = None;
            self.migration = None;
        }
    }
}

/// The answer has ended, in whatever way.
pub(super) fn dealt_with(context: &mut NodeContext, kept: Option<HandedOut>, latched: Option<RequestId>) {
    if let Some(kept) = kept {
        context.end(kept);
    }
    if let Some(latched) = latched {
        // Whoever asked has an answer, and the next one with each further picture.
        context.requests().settle(latched, RequestEnd::Answered);
    }
}

/// The longest chunk that is predicted to fit the time of a job.
fn chunk(context: &NodeContext, generation: &Generation) -> usize {
    let fits = |chunk: &usize| {
        let cost = generation.prefill_cost(*chunk);
        context.jobs().predict(Phase::Prefill, cost).is_none_or(|time| time <= JOB_TIME)
    };
    CHUNKS.into_iter().find(fits).unwrap_or(CHUNKS[CHUNKS.len() - 1])
}

fn spec(phase: Phase, tokens: usize, cost: JobCost, request: Option<RequestId>) -> JobSpec {
    let class = if phase == Phase::Decode { JobClass::Decode } else { JobClass::Prefill };
    JobSpec { phase, tokens: u32::try_from(tokens).unwrap_or(u32::MAX), class, cost, request }
}
