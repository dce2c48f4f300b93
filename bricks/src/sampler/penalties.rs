//! The last tokens of a sequence, and what they take from the logits.

use std::collections::{HashMap, VecDeque};

use super::sampling::Sampling;
use crate::tokenizer::TokenId;

/// The last `limit` tokens, with the count of each.
#[derive(Debug, Clone)]
pub(super) struct Window {
    limit: usize,
    tokens: VecDeque<TokenId>,
    counts: HashMap<TokenId, u32>,
}

impl Window {
    pub(super) fn new(limit: usize) -> Window {
        Window { limit, tokens: VecDeque::new(), counts: HashMap::new() }
    }

    pub(super) fn push(&mut self, token: TokenId) {
        if self.limit == 0 {
            return;
        }
        if self.tokens.len() == self.limit
            && let Some(oldest) = self.tokens.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
        self.tokens.push_back(token);
        *self.counts.entry(token).or_default() += 1;
    }

    /// Applies the penalties in place. Each token is changed once, so the order of the counts does not matter.
    pub(super) fn penalise(&self, sampling: &Sampling, logits: &mut [f32]) {
        for (&token, &count) in &self.counts {
            let Some(logit) = logits.get_mut(token as usize) else { continue };
            if *logit > 0.0 {
                *logit /= sampling.repeat_penalty;
            } else {
                *logit *= sampling.repeat_penalty;
            }
            *logit -= count as f32 * sampling.frequency_penalty + sampling.presence_penalty;
        }
    }
}
