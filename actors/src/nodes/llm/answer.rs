//! One answer of an `Llm`: what was sent of it, and what is reported of it. It knows no model.

use std::time::Duration;

use indexmap::IndexMap;
use nanomind_bricks::Shown;
use nanomind_bricks::language::{Counters, FinishReason, Step};
use nanomind_hal::Timestamp;

use super::piece;
use crate::error::NodeError;
use crate::node::NodeContext;
use crate::packet::{Packet, Payload};
use crate::report::AnswerReport;
use crate::request::Request;

pub(super) struct Answer {
    request: Request,
    taken: Timestamp,
    first_token: Option<Timestamp>,
    prefilled: Option<Timestamp>,
    /// What was sent so far: all that a cancelled answer leaves behind.
    sent: String,
    token_ids: Vec<u32>,
    generated_on: IndexMap<String, u64>,
    moves_before: u64,
}

impl Answer {
    pub(super) fn new(context: &NodeContext, request: Request) -> Answer {
        Answer {
            request,
            taken: context.clock().now(),
            first_token: None,
            prefilled: None,
            sent: String::new(),
            token_ids: Vec::new(),
            generated_on: IndexMap::new(),
            moves_before: context.board().map_or(0, |entry| entry.moves()),
        }
    }

    pub(super) fn request(&self) -> Request {
        self.request
    }

    pub(super) fn is_cancelled(&self, context: &NodeContext) -> bool {
        context.is_cancelled(self.request.epoch)
    }

    /// The prompt has been read.
    pub(super) fn prefilled(&mut self, context: &NodeContext) {
        self.prefilled = Some(context.clock().now());
    }

    /// Opens the answer downstream before there is any of it: one that is asked for later may be ready sooner, and whoever
    /// joins by request must know then that this one is still to come.
    pub(super) async fn open(&mut self, context: &NodeContext) -> Result<(), NodeError> {
        self.publish(context, &Step::default(), true).await.map(|_| ())
    }

    /// Takes what a step on `accelerator` gave: counts and sends it. False if the epoch is cancelled.
    pub(super) async fn take(
        &mut self,
        context: &NodeContext,
        step: &Step,
        accelerator: &str,
    ) -> Result<bool, NodeError> {
        if self.is_cancelled(context) {
            return Ok(false);
        }
        let before = self.token_ids.len() as u64;
        self.count(context, &step.tokens, accelerator);
        if !self.publish(context, step, false).await? {
            return Ok(false);
        }
        if step.finished.is_none() {
            for tokens in before..self.token_ids.len() as u64 {
                context.migration_point(tokens + 1).await;
            }
        }
        Ok(true)
    }

    fn count(&mut self, context: &NodeContext, tokens: &[u32], accelerator: &str) {
        if tokens.is_empty() {
            return;
        }
        let count = tokens.len() as u64;
        self.first_token.get_or_insert(context.clock().now());
        self.token_ids.extend_from_slice(tokens);
        match self.generated_on.get_mut(accelerator) {
            Some(tokens) => *tokens += count,
            None => {
                self.generated_on.insert(accelerator.to_owned(), count);
            }
        }
        if let Some(entry) = context.board() {
            entry.count_generated(count);
        }
    }

    /// Sends what a step gave, and nothing of one that gave nothing unless it `opens` the answer; false if the epoch was
    /// cancelled meanwhile.
    async fn publish(&mut self, context: &NodeContext, step: &Step, opens: bool) -> Result<bool, NodeError> {
        let request = self.request;
        let last = step.finished.is_some();
        let send = async {
            if (opens || !step.tokens.is_empty()) && context.has_output("tokens") {
                let count = u32::try_from(step.tokens.len()).unwrap_or(u32::MAX);
                let packet = Packet::new(request, Payload::Tokens(step.tokens.as_slice().into()), count);
                context.send("tokens", if last { packet.ending() } else { packet }).await?;
            }
            if opens || last || !step.text_delta.is_empty() {
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

    /// What of the answer reached whoever asked, when it ends for `finish`, or is cancelled.
    pub(super) fn shown(&self, finish: Option<FinishReason>) -> Shown {
        match finish {
            Some(_) => Shown::All,
            None if self.sent.is_empty() => Shown::Nothing,
            None => Shown::Part(self.sent.clone()),
        }
    }

    pub(super) fn report(self, context: &NodeContext, counters: Counters, finish: Option<FinishReason>) {
        let now = context.clock().now();
        let prefilled = self.prefilled.unwrap_or(now);
        let (prefill, decode) = (prefilled.since(self.taken), now.since(prefilled));
        let first = self.first_token.unwrap_or(now).since(self.taken);
        let rate =
            |tokens: usize, time: Duration| if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() };
        context.report_answer(AnswerReport {
            request: self.request.id.0,
            prompt_tokens: counters.prompt as u64,
            cached_tokens: counters.reused as u64,
            generated_tokens: counters.generated as u64,
            guessed_tokens: counters.guessed as u64,
            right_guesses: counters.right as u64,
            first_token_ms: first.as_secs_f64() * 1e3,
            prefill_ms: prefill.as_secs_f64() * 1e3,
            decode_ms: decode.as_secs_f64() * 1e3,
            prefill_tokens_per_s: rate(counters.prompt - counters.reused, prefill),
            decode_tokens_per_s: rate(counters.generated, decode),
            moves: context.board().map_or(0, |entry| entry.moves()) - self.moves_before,
            generated_on: self.generated_on,
            finish: finish_name(finish).to_owned(),
            token_ids: self.token_ids,
        });
    }
}

fn finish_name(finish: Option<FinishReason>) -> &'static str {
    match finish {
        Some(FinishReason::EndOfText) => "end of text",
        Some(FinishReason::Stop) => "stop text",
        Some(FinishReason::MaxTokens) => "max_tokens",
        Some(FinishReason::ContextFull) => "context full",
        Some(FinishReason::Failed) => "device failed",
        None => "cancelled",
    }
}
