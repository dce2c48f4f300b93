//! One answer of an `Llm`: prefill in chunks, then one decode job a token, until it ends or is cancelled.

use std::time::Duration;

use indexmap::IndexMap;
use nanomind_bricks::Shown;
use nanomind_bricks::language::{FinishReason, Generation, Step};
use nanomind_hal::{JobClass, JobCost, Phase, Timestamp};

use super::asks::Ask;
use super::mind::{Mind, MindStage, reader};
use super::piece;
use crate::error::NodeError;
use crate::jobs::{JOB_TIME, JobSpec};
use crate::node::NodeContext;
use crate::packet::{Packet, Payload};
use crate::report::AnswerReport;
use crate::request::Request;

/// Chunks of prefill that are tried, longest first.
pub(crate) const CHUNKS: [usize; 6] = [256, 128, 64, 32, 16, 8];

pub(super) struct Answer<'a> {
    context: &'a NodeContext,
    request: Request,
    taken: Timestamp,
    first_token: Option<Timestamp>,
    prefilled: Timestamp,
    /// What was sent so far: all that a cancelled answer leaves behind.
    sent: String,
    token_ids: Vec<u32>,
    generated_on: IndexMap<String, u64>,
    moves_before: u64,
}

impl<'a> Answer<'a> {
    pub(super) fn new(context: &'a NodeContext, request: Request) -> Answer<'a> {
        let taken = context.clock().now();
        Answer {
            context,
            request,
            taken,
            first_token: None,
            prefilled: taken,
            sent: String::new(),
            token_ids: Vec::new(),
            generated_on: IndexMap::new(),
            moves_before: context.board().map_or(0, |entry| entry.moves()),
        }
    }

    /// Answers what is asked. A question that cannot be answered is refused; an error is one of the node.
    pub(super) async fn give(mut self, mind: &mut Option<Mind>, stage: &MindStage, ask: Ask) -> Result<(), NodeError> {
        let mut reading = match reader(stage) {
            Ok(reader) => reader,
            Err(error) => return self.context.refuse(self.request, error).await,
        };
        let Some(mut asking) = mind.take() else { return Ok(()) };
        let Ask { question, pictures, .. } = ask;
        let asked = self.context.jobs().run(self.spec(Phase::Prefill, 0, JobCost::default()), move |_| {
            let generation = asking.ask(&mut reading, &question, pictures);
            (asking, reading, generation)
        });
        let (kept, mut reader, generation) = asked.await?.value;
        let kept = mind.insert(kept);
        let generation = match generation {
            Ok(generation) => generation,
            Err(error) => {
                stage.put(reader);
                return self.context.refuse(self.request, error).await;
            }
        };
        let generation = self.prefill(generation).await?;
        let (generation, finish) = self.decode(generation).await?;
        self.report(&generation, finish);
        let shown = match finish {
            Some(_) => Shown::All,
            None if self.sent.is_empty() => Shown::Nothing,
            None => Shown::Part(self.sent),
        };
        kept.settle(&mut reader, generation, shown);
        stage.put(reader);
        Ok(())
    }

    async fn prefill(&mut self, mut generation: Generation) -> Result<Generation, NodeError> {
        while !generation.progress().is_complete() && !self.is_cancelled() {
            let progress = generation.progress();
            let chunk = self.chunk(&generation).min(progress.total - progress.done);
            let spec = self.spec(Phase::Prefill, chunk, generation.prefill_cost(chunk));
            let read = self.context.jobs().run(spec, move |lane| generation.prefill_chunk(lane, chunk));
            (generation, _) = read.await?.value;
        }
        self.prefilled = self.context.clock().now();
        Ok(generation)
    }

    /// The longest chunk that is predicted to fit the time of a job.
    fn chunk(&self, generation: &Generation) -> usize {
        let fits = |chunk: &usize| {
            let cost = generation.prefill_cost(*chunk);
            self.context.jobs().predict(Phase::Prefill, cost).is_none_or(|time| time <= JOB_TIME)
        };
        CHUNKS.into_iter().find(fits).unwrap_or(CHUNKS[CHUNKS.len() - 1])
    }

    /// Returns why the answer ended; `None` if it was cancelled.
    async fn decode(&mut self, mut generation: Generation) -> Result<(Generation, Option<FinishReason>), NodeError> {
        loop {
            if self.is_cancelled() {
                return Ok((generation, None));
            }
            let spec = self.spec(Phase::Decode, 1, generation.decode_cost());
            let done = self.context.jobs().run(spec, move |lane| generation.decode(lane)).await?;
            let step: Step;
            (generation, step) = done.value;
            if self.is_cancelled() {
                return Ok((generation, None));
            }
            self.count(&step.tokens, &done.accelerator.to_string());
            if !self.publish(&step).await? {
                return Ok((generation, None));
            }
            if let Some(reason) = step.finished {
                return Ok((generation, Some(reason)));
            }
            self.context.migration_point(self.token_ids.len() as u64).await;
        }
    }

    fn count(&mut self, tokens: &[u32], accelerator: &str) {
        if tokens.is_empty() {
            return;
        }
        let (now, count) = (self.context.clock().now(), tokens.len() as u64);
        self.first_token.get_or_insert(now);
        self.token_ids.extend_from_slice(tokens);
        match self.generated_on.get_mut(accelerator) {
            Some(tokens) => *tokens += count,
            None => {
                self.generated_on.insert(accelerator.to_owned(), count);
            }
        }
        if let Some(entry) = self.context.board() {
            entry.count_generated(count);
        }
    }

    /// Sends what a step gave; false if the epoch was cancelled meanwhile.
    async fn publish(&mut self, step: &Step) -> Result<bool, NodeError> {
        let (context, request) = (self.context, self.request);
        let last = step.finished.is_some();
        let send = async {
            if !step.tokens.is_empty() && context.has_output("tokens") {
                let count = u32::try_from(step.tokens.len()).unwrap_or(u32::MAX);
                let packet = Packet::new(request, Payload::Tokens(step.tokens.as_slice().into()), count);
                context.send("tokens", if last { packet.ending() } else { packet }).await?;
            }
            if last || !step.text_delta.is_empty() {
                context.send("text", piece(request, step.text_delta.clone(), last)).await?;
            }
            Ok::<(), NodeError>(())
        };
        tokio::select! {
            biased;
            () = context.cancelled(request.epoch) => return Ok(false),
            sent = send => sent?,
        }
        self.sent.push_str(&step.text_delta);
        Ok(true)
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled(self.request.epoch)
    }

    fn spec(&self, phase: Phase, tokens: usize, cost: JobCost) -> JobSpec {
        let class = if phase == Phase::Decode { JobClass::Decode } else { JobClass::Prefill };
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        JobSpec { phase, tokens, class, cost, request: Some(self.request.id) }
    }

    fn report(&self, generation: &Generation, finish: Option<FinishReason>) {
        let now = self.context.clock().now();
        let counters = generation.counters();
        let (prefill, decode) = (self.prefilled.since(self.taken), now.since(self.prefilled));
        let first = self.first_token.unwrap_or(now).since(self.taken);
        let rate =
            |tokens: usize, time: Duration| if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() };
        self.context.report_answer(AnswerReport {
            request: self.request.id.0,
            prompt_tokens: counters.prompt as u64,
            cached_tokens: counters.reused as u64,
            generated_tokens: counters.generated as u64,
            first_token_ms: first.as_secs_f64() * 1e3,
            prefill_ms: prefill.as_secs_f64() * 1e3,
            decode_ms: decode.as_secs_f64() * 1e3,
            prefill_tokens_per_s: rate(counters.prompt - counters.reused, prefill),
            decode_tokens_per_s: rate(counters.generated, decode),
            moves: self.context.board().map_or(0, |entry| entry.moves()) - self.moves_before,
            generated_on: self.generated_on.clone(),
            finish: finish_name(finish).to_owned(),
            token_ids: self.token_ids.clone(),
        });
    }
}

fn finish_name(finish: Option<FinishReason>) -> &'static str {
    match finish {
        Some(FinishReason::EndOfText) => "end of text",
        Some(FinishReason::Stop) => "stop text",
        Some(FinishReason::MaxTokens) => "max_tokens",
        Some(FinishReason::ContextFull) => "context full",
        None => "cancelled",
    }
}
