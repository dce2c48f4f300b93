//! One request from prompt to last token: pure, synchronous state that any lane may move on by one step.
//!
//! A step takes the state and gives it back, so a step is a job: it may run on another accelerator than the one
//! before. What is shared (weights, tokenizer) is behind `Arc`; all else is owned.

use std::sync::Arc;

use nanomind_hal::{JobCost, Lane};

use super::error::StepError;
use super::lookup::Lookup;
use super::model::{LanguageModel, Logits};
use super::placed::Form;
use super::segments::{PromptPart, Segment};
use super::sequence::{HistoryEntry, Sequence};
use super::stop::{StopMatcher, StopStep};
use super::together::Answers;
use crate::sampler::{Sampler, Sampling};
use crate::shape::LanguageShape;
use crate::tokenizer::{StreamDecoder, TokenId, Tokenizer};

/// What a request asks of the model.
#[derive(Debug, Clone)]
pub struct GenerationOptions {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens to generate at most; at least 1.
    pub max_tokens: usize,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Go on after end-of-text tokens, as benchmarks do.
    pub ignore_end: bool,
    /// What the first token begins.
    pub opening: Opening,
    /// Tokens that a step may guess ahead and check: the answer is the same to the last token, and sooner there where it
    /// repeats what was said before. 0: none.
    pub speculate: usize,
}

/// What the first token of an answer begins; decides whether SentencePiece's leading space belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opening {
    /// A text of its own, such as an assistant's turn.
    #[default]
    Answer,
    /// The rest of the text that the prompt began.
    Continuation,
}

impl Default for GenerationOptions {
    fn default() -> GenerationOptions {
        GenerationOptions {
            sampling: Sampling::default(),
            max_tokens: 512,
            stop: Vec::new(),
            ignore_end: false,
            opening: Opening::default(),
            speculate: 0,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model chose a token that ends the text.
    EndOfText,
    /// A stop text appeared.
    Stop,
    /// As many tokens as were asked for.
    MaxTokens,
    /// No position is free for another token.
    ContextFull,
    /// The device that computes failed: [`Generation::failure`] says why.
    Failed,
}

/// How far the prompt has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Positions of the prompt that are in the cache, reused ones included.
    pub done: usize,
    /// Positions of the prompt.
    pub total: usize,
}

impl Progress {
    /// Whether the whole prompt has been read.
    pub fn is_complete(self) -> bool {
        self.done == self.total
    }
}

/// What one decode step gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The tokens chosen: one, more where guesses were right, none when the answer had ended before.
    pub tokens: Vec<TokenId>,
    /// Text that is now certain to belong to the answer; often empty.
    pub text_delta: String,
    /// Why the answer has ended, if it has.
    pub finished: Option<FinishReason>,
}

/// Counts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Positions of the prompt.
    pub prompt: usize,
    /// Of these, positions that were in the cache already.
    pub reused: usize,
    /// Tokens chosen, a final end-of-text token included.
    pub generated: usize,
    /// Tokens guessed ahead.
    pub guessed: usize,
    /// Of these, tokens that were chosen then.
    pub right: usize,
}

/// The state of one request.
pub struct Generation {
    pub(super) model: Arc<LanguageModel>,
    tokenizer: Arc<Tokenizer>,
    pub(super) sequence: Sequence,
    /// What is left of the prompt; `read` positions of it are in the cache.
    prompt: Vec<PromptPart>,
    read: usize,
    sampler: Sampler,
    stop: StopMatcher,
    decoder: StreamDecoder,
    /// What the next step reads: the last token chosen, and guesses at those after it. Nothing before the first choice.
    pub(super) reading: Vec<TokenId>,
    lookup: Lookup,
    text: String,
    counters: Counters,
    max_tokens: usize,
    ignore_end: bool,
    finished: Option<FinishReason>,
    failure: Option<StepError>,
}

impl Generation {
    /// A request that continues `sequence` with `prompt`. Of the prompt, everything was checked when this returns: no
    /// later step fails. On error the sequence comes back unchanged.
    pub fn new(
        model: Arc<LanguageModel>,
        tokenizer: Arc<Tokenizer>,
        sequence: Sequence,
        prompt: Vec<PromptPart>,
        options: &GenerationOptions,
    ) -> Result<Generation, Box<(StepError, Sequence)>> {
        let segments: Vec<Segment<'_>> = prompt.iter().map(PromptPart::as_segment).collect();
        if let Err(error) = model.check(&sequence, &segments) {
            return Err(Box::new((error, sequence)));
        }
        let mut sampler = Sampler::new(options.sampling.clone());
        for entry in sequence.history() {
            if let HistoryEntry::Token(token) = entry {
                sampler.accept(*token);
            }
        }
        for part in &prompt {
            if let PromptPart::Tokens(tokens) = part {
                tokens.iter().for_each(|token| sampler.accept(*token));
            }
        }
        let reused = sequence.len();
        let counters = Counters { prompt: reused + super::segments::total(&segments), reused, ..Counters::default() };
        Ok(Generation {
            decoder: match options.opening {
                Opening::Answer => StreamDecoder::new(tokenizer.clone()),
                Opening::Continuation => StreamDecoder::continuing(tokenizer.clone()),
            },
            stop: StopMatcher::new(&options.stop),
            max_tokens: options.max_tokens.max(1),
            ignore_end: options.ignore_end,
            read: 0,
            reading: Vec::new(),
            lookup: Lookup::new(options.speculate),
            text: String::new(),
            finished: None,
            failure: None,
            model,
            tokenizer,
            sequence,
            prompt,
            sampler,
            counters,
        })
    }

    /// Reads up to `max_tokens` more positions of the prompt (at least one). The logits of its last position come
    /// with the chunk that completes it.
    pub fn prefill_chunk(mut self, lane: &Lane, max_tokens: usize) -> (Generation, Progress) {
        let progress = self.read_prompt(lane, max_tokens);
        (self, progress)
    }

    fn read_prompt(&mut self, lane: &Lane, max_tokens: usize) -> Progress {
        let left = self.counters.prompt - self.counters.reused - self.read;
        let len = left.min(max_tokens.max(1));
        if len > 0 {
            let segments: Vec<Segment<'_>> = self.prompt.iter().map(PromptPart::as_segment).collect();
            let logits = if len == left { Logits::Last } else { Logits::None };
            let (range, form) = (self.read..self.read + len, self.form());
            if let Err(error) = self.model.read(lane, &mut self.sequence, &segments, range, logits, form) {
                self.fail(error);
                return self.progress();
            }
            self.read += len;
        }
        let progress = self.progress();
        if progress.is_complete() {
            // Slots of the prompt go back to their pool as soon as they are read.
            self.prompt.clear();
        }
        progress
    }

    /// Chooses the next token, after reading the one chosen before. The first call after the prompt only chooses.
    /// Reads what is left of the prompt first, if anything is.
    pub fn decode(mut self, lane: &Lane) -> (Generation, Step) {
        self.finish_prompt(lane);
        let rows = self.reading.len();
        if self.reads() {
            let (segments, form) = ([Segment::Tokens(&self.reading)], self.form());
            if let Err(error) = self.model.read(lane, &mut self.sequence, &segments, 0..rows, Logits::All, form) {
                self.fail(error);
            }
        }
        let mut answers = Answers::take(&mut self.sequence);
        let step = self.choose(&mut answers.logits, &answers.picks);
        answers.give_back(&mut self.sequence);
        (self, step)
    }

    /// Whether its next step reads anything.
    pub(super) fn reads(&self) -> bool {
        self.finished.is_none() && !self.reading.is_empty()
    }

    /// In what form this request wants answers.
    pub(super) fn form(&self) -> Form {
        let sampling = self.sampler.sampling();
        match sampling.is_greedy() && !sampling.has_penalties() {
            true => self.model.greedy_form(),
            false => Form::Logits,
        }
    }

    /// Ends the request: the device failed.
    pub(super) fn fail(&mut self, error: StepError) {
        self.finished = Some(FinishReason::Failed);
        self.failure = Some(error);
    }

    pub(super) fn finish_prompt(&mut self, lane: &Lane) {
        if self.finished.is_none() && !self.progress().is_complete() {
            self.read_prompt(lane, usize::MAX);
        }
    }

    /// Chooses from `logits`, `[vocab]` for each token of what was read, where there are no `picks` of theirs: a token after
    /// the first, and where that is what was guessed, one after the guess, and so on. The sampler sees what it would see
    /// without guesses.
    pub(super) fn choose(&mut self, logits: &mut [f32], picks: &[TokenId]) -> Step {
        if let Some(reason) = self.finished {
            return Step { finished: Some(reason), ..Step::default() };
        }
        if self.counters.generated > 0 && self.reading.is_empty() {
            let text_delta = self.finish(FinishReason::ContextFull);
            return Step { text_delta, finished: self.finished, ..Step::default() };
        }
        let mut step = Step::default();
        let guesses = self.reading.len().saturating_sub(1);
        let vocab = self.model.config().vocab;
        for row in 0..self.reading.len().max(1) {
            let token = match picks.get(row) {
                Some(pick) => *pick,
                None => self.sampler.sample(&mut logits[row * vocab..(row + 1) * vocab]),
            };
            self.sampler.accept(token);
            self.counters.generated += 1;
            step.tokens.push(token);
            step.text_delta.push_str(&self.take(token));
            if self.finished.is_some() || self.reading.get(row + 1) != Some(&token) {
                break;
            }
        }
        // What was read after a wrong guess is forgotten.
        let right = step.tokens.len() - 1;
        self.sequence.truncate(self.sequence.len() - (guesses - right));
        self.counters.guessed += guesses;
        self.counters.right += right;
        self.lookup.judge(guesses, right);
        step.finished = self.finished;
        self.plan_reading(step.tokens.last().copied());
        step
    }

    /// What the next step reads after `last` was chosen: nothing where the answer or the context has ended.
    fn plan_reading(&mut self, last: Option<TokenId>) {
        self.reading.clear();
        let free = self.sequence.remaining();
        let Some(last) = last.filter(|_| self.finished.is_none() && free > 0) else { return };
        self.reading.push(last);
        // A step chooses one more token than it guesses.
        let room = (free - 1).min(self.max_tokens - self.counters.generated - 1);
        self.lookup.guess(self.sequence.history(), &mut self.reading, room);
    }

    /// Turns a chosen token into text, and ends the answer where it ends.
    fn take(&mut self, token: TokenId) -> String {
        if self.tokenizer.is_end(token) && !self.ignore_end {
            return self.finish(FinishReason::EndOfText);
        }
        let piece = self.decoder.push(token);
        let mut text = self.show(&piece);
        if self.finished.is_none() && self.counters.generated >= self.max_tokens {
            text.push_str(&self.finish(FinishReason::MaxTokens));
        }
        text
    }

    /// Passes a piece through the stop matcher and adds what is certain to the answer.
    fn show(&mut self, piece: &str) -> String {
        let StopStep { text, stopped } = self.stop.push(piece);
        if stopped {
            self.finished = Some(FinishReason::Stop);
        }
        self.text.push_str(&text);
        text
    }

    /// Ends the answer and gives the text that was held back; a stop text that this completes is the reason instead.
    fn finish(&mut self, reason: FinishReason) -> String {
        let rest = self.decoder.finish();
        let mut text = self.show(&rest);
        if self.finished.is_none() {
            let held = self.stop.finish();
            self.text.push_str(&held);
            text.push_str(&held);
            self.finished = Some(reason);
        }
        text
    }

    /// How far the prompt has been read.
    pub fn progress(&self) -> Progress {
        Progress { done: self.counters.reused + self.read, total: self.counters.prompt }
    }

    /// Whether the answer has ended, and why.
    pub fn finished(&self) -> Option<FinishReason> {
        self.finished
    }

    /// Why the device failed, where that ended the answer.
    pub fn failure(&self) -> Option<&StepError> {
        self.failure.as_ref()
    }

    /// The answer so far, without text that is held back.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Counts so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The model that answers.
    pub fn model(&self) -> &Arc<LanguageModel> {
        &self.model
    }

    /// The positions read so far.
    pub fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// What the next prefill chunk of up to `max_tokens` positions will cost.
    pub fn prefill_cost(&self, max_tokens: usize) -> JobCost {
        let left = self.counters.prompt - self.counters.reused - self.read;
        self.shape().prefill(left.min(max_tokens.max(1)), self.sequence.len())
    }

    /// What the next decode step will cost; the first one only chooses a token.
    pub fn decode_cost(&self) -> JobCost {
        Generation::batch_cost(std::slice::from_ref(self))
    }

    /// What steps cost with the cache that this sequence has.
    pub(super) fn shape(&self) -> LanguageShape {
        let shape = self.model.shape();
        shape.with_kv_cache(self.sequence.kv_format()).unwrap_or(shape)
    }

    /// Ends the request at whatever point and gives the sequence back. It holds the prompt as far as it was read and
    /// the tokens that were read back; truncate it to forget more.
    pub fn into_sequence(self) -> Sequence {
        self.sequence
    }
}
