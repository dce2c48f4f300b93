//! A conversation: its history, and the one model that reads it.

use std::sync::Arc;

use super::error::ConversationError;
use super::history::{ConversationOptions, History, Shown, Turn};
use super::reader::Reader;
use crate::chat::ChatTemplate;
use crate::language::{Generation, GenerationOptions, LanguageModel};
use crate::tokenizer::Tokenizer;
use crate::vision::Embeddings;

/// A chat over several turns with a model that stays in memory. While a question is answered, its [`Generation`] holds the
/// sequence. [`History`] is the same without the model.
pub struct Conversation {
    history: History,
    reader: Reader,
}

impl Conversation {
    /// A conversation in which nothing was said.
    pub fn new(
        model: Arc<LanguageModel>,
        tokenizer: Arc<Tokenizer>,
        template: Arc<ChatTemplate>,
        options: ConversationOptions,
    ) -> Conversation {
        Conversation { history: History::new(options), reader: Reader::new(model, tokenizer, template) }
    }

    /// Settled questions and answers in turn, without the system message.
    pub fn turns(&self) -> &[Turn] {
        self.history.turns()
    }

    /// Questions that were forgotten, with their answers, because the context was full or pictures were too many.
    pub fn forgotten(&self) -> usize {
        self.history.forgotten()
    }

    /// Whether a question is being answered.
    pub fn is_busy(&self) -> bool {
        self.history.is_busy()
    }

    /// As [`History::ask`], with the conversation's model.
    ///
    /// # Errors
    /// The question cannot be asked; all is as it was before.
    pub fn ask(
        &mut self,
        question: &str,
        pictures: Vec<Embeddings>,
        options: &GenerationOptions,
    ) -> Result<Generation, ConversationError> {
        self.history.ask(&mut self.reader, question, pictures, options)
    }

    /// Takes the sequence back and remembers what was shown of the answer.
    pub fn settle(&mut self, generation: Generation, shown: Shown) {
        self.history.settle(&mut self.reader, generation, shown);
    }

    /// Forgets a question whose generation was lost. The next one reads the whole conversation again.
    pub fn abandon(&mut self) {
        self.history.abandon();
    }

    /// Forgets everything that was said and shown. What the cache holds of it is reused where the next prompt begins alike.
    pub fn clear(&mut self) {
        self.history.clear();
    }
}
