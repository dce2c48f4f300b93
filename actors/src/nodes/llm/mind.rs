//! The state behind an `Llm` between two answers: its conversation.

use std::sync::Arc;

use nanomind_bricks::language::Generation;
use nanomind_bricks::vision::Embeddings;
use nanomind_bricks::{Conversation, ConversationError, Shown};

use super::fields::LlmSettings;
use crate::weights::LoadedModel;

/// Why a question cannot be answered; the node goes on with the next one.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    #[error("{0}")]
    NoTemplate(String),
}

/// Goes into a job whole and comes back with its result.
pub(super) struct Mind {
    settings: LlmSettings,
    /// None for a model without a chat template, with the reason.
    conversation: Result<Conversation, String>,
}

impl Mind {
    pub(super) fn new(loaded: Arc<LoadedModel>, settings: LlmSettings) -> Mind {
        let conversation = match &loaded.template {
            Ok(template) => {
                let (model, tokenizer) = (loaded.model.clone(), loaded.tokenizer.clone());
                Ok(Conversation::new(model, tokenizer, Arc::clone(template), settings.conversation.clone()))
            }
            Err(reason) => Err(reason.to_string()),
        };
        Mind { settings, conversation }
    }

    /// The question as a generation that has read nothing yet.
    pub(super) fn ask(&mut self, question: &str, pictures: Vec<Embeddings>) -> Result<Generation, AskError> {
        let conversation = self.conversation.as_mut().map_err(|reason| AskError::NoTemplate(reason.clone()))?;
        Ok(conversation.ask(question, pictures, &self.settings.generation)?)
    }

    /// Takes the sequence back; `shown` is what of the answer was sent.
    pub(super) fn settle(&mut self, generation: Generation, shown: Shown) {
        let Ok(conversation) = &mut self.conversation else { return };
        conversation.settle(generation, shown);
        if !self.settings.history {
            // The next prompt still begins with what the cache holds; slots of pictures go back now.
            conversation.clear();
        }
    }
}
