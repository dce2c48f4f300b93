//! Simulated `Llm`: reads prompts in chunks and speaks a token a job, as long as the scenario has its answers be.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use indexmap::IndexMap;
use nanomind_bricks::shape::LanguageShape;
use nanomind_graphs::PlannedNode;
use nanomind_hal::{JobClass, JobCost, Phase, Timestamp};

use super::super::dialogue::{Dialogue, Placed};
use super::super::world::World;
use super::words;
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::{Node, NodeContext};
use crate::nodes::llm::{Ask, Asked, Asks, CHUNKS, pass_over, too_many};
use crate::packet::{Embeddings, Packet, Payload};
use crate::report::AnswerReport;
use crate::request::{Request, RequestEnd};
use crate::residence::{Residence, Stage};
use crate::shapes::with_cache_of;
use crate::weights::{WeightBytes, WeightSource};

/// That there is a cache of keys and values: it goes with the weights.
struct Cache;

type MindStage = Stage<WeightBytes, Cache>;

/// The node.
pub(in super::super) struct Mind {
    world: Rc<World>,
    /// What the graph calls the model.
    model: String,
    shape: LanguageShape,
    dialogue: Dialogue<Embeddings>,
    most_pictures: usize,
    max_tokens: usize,
}

impl Mind {
    pub(in super::super) fn new(plan: &PlannedNode, world: Rc<World>) -> Result<Mind, NodeError> {
        let count = |field| plan.integer(field).map(|value| usize::try_from(value).unwrap_or(0));
        Ok(Mind {
            model: plan.model("model")?.reference.clone(),
            shape: with_cache_of(plan, world.language(plan, "model")?),
            dialogue: Dialogue::of(plan)?,
            most_pictures: count("pictures")?,
            max_tokens: count("max_tokens")?,
            world,
        })
    }
}

impl Node for Mind {
    fn run(mut self: Box<Self>, mut context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin(async move {
            let source = WeightSource::simulated(&self.model, "language", self.shape.weight_bytes(), self.shape.load());
            let residence = Residence::new(source);
            residence.prepare(&context).await?;
            let mut asks = Asks::new(self.most_pictures);
            while let Some(firing) = context.next().await {
                let (asked, request) = (asks.take(&firing), firing.packet.request());
                drop(firing);
                match asked {
                    Asked::InPieces => {}
                    Asked::Nothing => pass_over(&context, request),
                    Asked::TooMany => context.refuse(request, too_many(self.most_pictures)).await?,
                    Asked::Whole(ask) => {
                        let latched = ask.latched;
                        if let Some(stage) = residence.enter_for(&context, ask.request).await? {
                            self.answer(&context, &stage, *ask).await?;
                        }
                        if let Some(latched) = latched {
                            context.requests().settle(latched, RequestEnd::Answered);
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

impl Mind {
    async fn answer(&mut self, context: &NodeContext, stage: &MindStage, ask: Ask) -> Result<(), NodeError> {
        let Ask { request, question, pictures, .. } = ask;
        if stage.take().is_none() {
            self.dialogue.lose_cache();
        }
        stage.put(Cache);
        let rows: Vec<usize> = pictures.iter().map(|picture| picture.rows.tokens()).collect();
        let placed = match self.dialogue.place(words::tokens(&question), &rows) {
            Ok(placed) => placed,
            Err(refusal) => return context.refuse(request, refusal).await,
        };
        let wanted = self.world.answer_tokens(request.id) as usize;
        let mut answer = Answer::new(context, &self.shape, request, placed);
        answer.prefill().await?;
        let finish = answer.decode(wanted, self.max_tokens.min(placed.room)).await?;
        answer.report(finish);
        let said = answer.said;
        self.dialogue.settle(placed, said, pictures);
        Ok(())
    }
}

/// One answer on its way.
struct Answer<'a> {
    context: &'a NodeContext,
    shape: &'a LanguageShape,
    request: Request,
    placed: Placed,
    taken: Timestamp,
    prefilled: Timestamp,
    first_token: Option<Timestamp>,
    /// Tokens so far.
    said: usize,
    generated_on: IndexMap<String, u64>,
    moves_before: u64,
}

impl<'a> Answer<'a> {
    fn new(context: &'a NodeContext, shape: &'a LanguageShape, request: Request, placed: Placed) -> Answer<'a> {
        let taken = context.clock().now();
        Answer {
            context,
            shape,
            request,
            placed,
            taken,
            prefilled: taken,
            first_token: None,
            said: 0,
            generated_on: IndexMap::new(),
            moves_before: context.board().map_or(0, |entry| entry.moves()),
        }
    }

    /// Reads what the cache does not hold, after a job that makes the prompt.
    async fn prefill(&mut self) -> Result<(), NodeError> {
        self.context.jobs().run(self.spec(Phase::Prefill, 0, JobCost::default()), |_| ()).await?;
        let mut position = self.placed.reused;
        while position < self.placed.total && !self.is_cancelled() {
            let chunk = self.chunk(position).min(self.placed.total - position);
            let spec = self.spec(Phase::Prefill, chunk, self.shape.prefill(chunk, position));
            self.context.jobs().run(spec, |_| ()).await?;
            position += chunk;
        }
        self.prefilled = self.context.clock().now();
        Ok(())
    }

    /// The longest chunk that is predicted to fit the time of a job.
    fn chunk(&self, position: usize) -> usize {
        let fits = |chunk: &usize| {
            let cost = self.shape.prefill(*chunk, position);
            self.context.jobs().predict(Phase::Prefill, cost).is_none_or(|time| time <= JOB_TIME)
        };
        CHUNKS.into_iter().find(fits).unwrap_or(CHUNKS[CHUNKS.len() - 1])
    }

    /// Speaks until `wanted` tokens are said, or `most` cut it short; why it ended.
    async fn decode(&mut self, wanted: usize, most: usize) -> Result<&'static str, NodeError> {
        let word = words::word();
        loop {
            if self.is_cancelled() {
                return Ok("cancelled");
            }
            // The first step chooses among the logits of the prompt; each later one reads the token before.
            let cost = match self.said {
                0 => self.shape.prefill(0, 0),
                said => self.shape.decode(self.placed.total + said - 1),
            };
            let done = self.context.jobs().run(self.spec(Phase::Decode, 1, cost), |_| ()).await?;
            if self.is_cancelled() {
                return Ok("cancelled");
            }
            let ends = self.said == wanted;
            if !ends {
                self.count(&done.accelerator.to_string());
            }
            let is_cut = !ends && self.said >= most;
            if !self.publish(&word, ends, is_cut).await? {
                return Ok("cancelled");
            }
            match (ends, is_cut) {
                (true, _) => return Ok("end of text"),
                (_, true) => return Ok("max_tokens"),
                _ => self.context.migration_point(self.said as u64).await,
            }
        }
    }

    fn count(&mut self, accelerator: &str) {
        self.first_token.get_or_insert(self.context.clock().now());
        self.said += 1;
        match self.generated_on.get_mut(accelerator) {
            Some(tokens) => *tokens += 1,
            None => drop(self.generated_on.insert(accelerator.to_owned(), 1)),
        }
        if let Some(entry) = self.context.board() {
            entry.count_generated(1);
        }
    }

    /// Sends what a step gave; false if the epoch was cancelled meanwhile.
    async fn publish(&self, word: &Arc<str>, ends: bool, is_cut: bool) -> Result<bool, NodeError> {
        let (context, request) = (self.context, self.request);
        let finish = |packet: Packet| if ends || is_cut { packet.ending() } else { packet };
        let send = async {
            if !ends && context.has_output("tokens") {
                context.send("tokens", finish(Packet::new(request, Payload::Tokens([0].into()), 1))).await?;
            }
            let piece = if ends { Arc::from("") } else { word.clone() };
            context.send("text", finish(Packet::text(request, piece, 1))).await
        };
        tokio::select! {
            biased;
            () = context.cancelled(request.epoch) => Ok(false),
            sent = send => sent.map(|()| true),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled(self.request.epoch)
    }

    fn spec(&self, phase: Phase, tokens: usize, cost: JobCost) -> JobSpec {
        let class = if phase == Phase::Decode { JobClass::Decode } else { JobClass::Prefill };
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        JobSpec { phase, tokens, class, cost, request: Some(self.request.id) }
    }

    fn report(&self, finish: &str) {
        let now = self.context.clock().now();
        let (prefill, decode) = (self.prefilled.since(self.taken), now.since(self.prefilled));
        let rate = |tokens: usize, seconds: f64| if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
        self.context.report_answer(AnswerReport {
            request: self.request.id.0,
            prompt_tokens: self.placed.total as u64,
            cached_tokens: self.placed.reused as u64,
            generated_tokens: self.said as u64,
            guessed_tokens: 0,
            right_guesses: 0,
            first_token_ms: self.first_token.unwrap_or(now).since(self.taken).as_secs_f64() * 1e3,
            prefill_ms: prefill.as_secs_f64() * 1e3,
            decode_ms: decode.as_secs_f64() * 1e3,
            prefill_tokens_per_s: rate(self.placed.total - self.placed.reused, prefill.as_secs_f64()),
            decode_tokens_per_s: rate(self.said, decode.as_secs_f64()),
            moves: self.context.board().map_or(0, |entry| entry.moves()) - self.moves_before,
            generated_on: self.generated_on.clone(),
            finish: finish.to_owned(),
            token_ids: Vec::new(),
        });
    }
}
