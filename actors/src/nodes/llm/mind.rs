//! The state behind an `Llm` between two answers: the conversation, and a spare sequence for questions with embeddings.

use std::sync::Arc;

use nanomind_bricks::language::{Generation, PromptPart, RowRun, Sequence, StepError};
use nanomind_bricks::vision::Embeddings;
use nanomind_bricks::{ChatError, Message, Role, Special, TokenId};
use nanomind_bricks::{Conversation, ConversationError, Shown};

use super::fields::LlmSettings;
use crate::weights::LoadedModel;

/// Stands for the embeddings while the template is applied. A private-use character: no tokenizer or template gives it
/// a meaning, and a question that holds it is refused.
const MARK: char = '\u{F8FF}';

/// Why a question cannot be answered; the node goes on with the next one.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    #[error(transparent)]
    Chat(#[from] ChatError),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Sequence(#[from] nanomind_bricks::language::SequenceError),
    #[error("{0}")]
    NoTemplate(String),
    #[error("expected a chat template that shows the question once, found the mark of its embeddings {found} times")]
    Mark { found: usize },
}

/// Goes into a job whole and comes back with its result.
pub(super) struct Mind {
    loaded: Arc<LoadedModel>,
    settings: LlmSettings,
    conversation: Option<Conversation>,
    spare: Option<Sequence>,
    /// Whether the answer in the making belongs to the conversation.
    conversing: bool,
}

impl Mind {
    pub(super) fn new(loaded: Arc<LoadedModel>, settings: LlmSettings) -> Mind {
        let conversation = loaded.template.as_ref().ok().map(|template| {
            let (model, tokenizer) = (loaded.model.clone(), loaded.tokenizer.clone());
            Conversation::new(model, tokenizer, template.clone(), settings.conversation.clone())
        });
        Mind { loaded, settings, conversation, spare: None, conversing: true }
    }

    /// The question as a generation that has read nothing yet.
    pub(super) fn ask(&mut self, question: &str, rows: Vec<Embeddings>) -> Result<Generation, AskError> {
        self.conversing = rows.is_empty();
        if !self.conversing {
            return self.ask_with_rows(question, rows);
        }
        let history = self.settings.history;
        let conversation = self.conversation.as_mut().ok_or_else(|| no_template(&self.loaded))?;
        if !history {
            conversation.clear();
        }
        Ok(conversation.ask(question, &self.settings.generation)?)
    }

    /// Takes the sequence back; `shown` is what of the answer was sent.
    pub(super) fn settle(&mut self, generation: Generation, shown: Shown) {
        match &mut self.conversation {
            Some(conversation) if self.conversing => conversation.settle(generation, shown),
            _ => self.spare = Some(generation.into_sequence()),
        }
    }

    /// The rows stand where the question begins, inside the user's turn.
    fn ask_with_rows(&mut self, question: &str, rows: Vec<Embeddings>) -> Result<Generation, AskError> {
        let template = self.loaded.template.as_ref().map_err(|_| no_template(&self.loaded))?;
        let system = self.settings.conversation.system.as_deref().map(|text| Message::new(Role::System, text));
        let asked = Message::new(Role::User, format!("{MARK}{question}"));
        let messages: Vec<Message> = system.into_iter().chain([asked]).collect();
        let text = template.render(&messages, true)?;
        let Some((before, after)) = text.split_once(MARK).filter(|(_, after)| !after.contains(MARK)) else {
            return Err(AskError::Mark { found: text.matches(MARK).count() });
        };
        let tokenizer = &self.loaded.tokenizer;
        let mut prompt = vec![tokens(tokenizer.encode_first(before, Special::Parse))];
        prompt.extend(rows.into_iter().map(|seen| PromptPart::Rows(RowRun::whole(seen.rows, seen.source))));
        prompt.push(tokens(tokenizer.encode(after, Special::Parse)));
        let mut sequence = match self.spare.take() {
            Some(sequence) => sequence,
            None => {
                let options = &self.settings.conversation;
                Sequence::with_chunk(&self.loaded.model, options.context, options.chunk)?
            }
        };
        sequence.truncate(0);
        let (model, tokenizer) = (self.loaded.model.clone(), tokenizer.clone());
        Generation::new(model, tokenizer, sequence, prompt, &self.settings.generation).map_err(|refused| {
            let (error, sequence) = *refused;
            self.spare = Some(sequence);
            error.into()
        })
    }
}

fn tokens(tokens: Vec<TokenId>) -> PromptPart {
    PromptPart::Tokens(tokens)
}

fn no_template(loaded: &LoadedModel) -> AskError {
    let reason = loaded.template.as_ref().err().map(ToString::to_string).unwrap_or_default();
    AskError::NoTemplate(reason)
}
