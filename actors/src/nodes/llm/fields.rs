//! What a graph sets of an `Llm`.

use std::time::UNIX_EPOCH;

use nanomind_bricks::Sampling;
use nanomind_bricks::language::GenerationOptions;
use nanomind_bricks::{ConversationOptions, OnFull};
use nanomind_graphs::PlannedNode;
use nanomind_hal::Clock;
use nanomind_kernels::KvFormat;

use crate::error::NodeError;

/// Fields as read from the plan.
#[derive(Clone, Debug)]
pub(super) struct LlmFields {
    conversation: ConversationOptions,
    generation: GenerationOptions,
    /// `None`: to be chosen.
    seed: Option<u64>,
    history: bool,
    parallel: usize,
    /// The most positions that the model has.
    trained_context: Option<usize>,
}

/// Fields with nothing left open.
#[derive(Clone, Debug)]
pub(super) struct LlmSettings {
    pub(super) conversation: ConversationOptions,
    pub(super) generation: GenerationOptions,
    pub(super) history: bool,
}

impl LlmFields {
    pub(super) fn of(plan: &PlannedNode) -> Result<LlmFields, NodeError> {
        let number = |field| plan.number(field).map(|value| value as f32);
        // Bounds are those of the specification, so that no conversion clips.
        let count = |field| plan.integer(field).map(|value| usize::try_from(value).unwrap_or(0));
        let system = plan.text("system")?;
        let mut conversation = ConversationOptions::new(count("context")?);
        conversation.system = (!system.is_empty()).then(|| system.to_owned());
        conversation.on_full = match plan.choice("on_full")? {
            "refuse" => OnFull::Refuse,
            _ => OnFull::ForgetOldest,
        };
        conversation.pictures = count("pictures")?;
        conversation.kv_cache = KvFormat::from_name(plan.choice("kv_cache")?).unwrap_or_default();
        let sampling = Sampling {
            temperature: number("temperature")?,
            top_k: count("top_k")?,
            top_p: number("top_p")?,
            min_p: number("min_p")?,
            repeat_penalty: number("repeat_penalty")?,
            ..Sampling::default()
        };
        let generation = GenerationOptions {
            sampling,
            max_tokens: count("max_tokens")?,
            stop: plan.texts("stop")?.into_iter().map(str::to_owned).collect(),
            speculate: count("speculate")?,
            ..GenerationOptions::default()
        };
        Ok(LlmFields {
            conversation,
            generation,
            seed: u64::try_from(plan.integer("seed")?).ok(),
            history: plan.bool("history")?,
            parallel: count("parallel")?,
            trained_context: plan.model("model")?.context_length.and_then(|most| usize::try_from(most).ok()),
        })
    }

    /// Pictures that the node may hold on to.
    pub(super) fn pictures(&self) -> usize {
        self.conversation.pictures
    }

    /// Requests that are answered at once.
    pub(super) fn parallel(&self) -> usize {
        self.parallel
    }

    /// Chooses a seed where the graph sets none, and says so, for a run that shall be repeated.
    pub(super) fn resolve(&self, clock: &Clock) -> LlmSettings {
        let mut generation = self.generation.clone();
        generation.sampling.seed = self.seed.unwrap_or_else(|| {
            let since_epoch = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Short enough to be typed again.
            let seed = since_epoch.as_nanos() as u64 % 1_000_000_007;
            tracing::info!(seed, "seed chosen");
            seed
        });
        let mut conversation = self.conversation.clone();
        if let Some(most) = self.trained_context.filter(|&most| conversation.context > most) {
            tracing::warn!("context of {} tokens: the model has only {most}, which are used", conversation.context);
            conversation.context = most;
        }
        LlmSettings { conversation, generation, history: self.history }
    }
}
