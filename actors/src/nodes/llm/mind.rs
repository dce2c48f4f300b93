//! The state behind an `Llm` between two answers: what was said. It stays when the weights go.

use nanomind_bricks::language::Generation;
use nanomind_bricks::vision::Embeddings;
use nanomind_bricks::{ConversationError, History, Reader, Shown};

use super::fields::LlmSettings;
use crate::residence::Stage;
use crate::weights::LoadedModel;

/// Why a question cannot be answered; the node goes on with the next one.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    #[error("{0}")]
    NoTemplate(String),
}

/// A reader for each seat; none where nobody has read there since the weights were loaded, and while a job has it.
pub(super) type Readers = Vec<Option<Reader>>;

/// A stage of an `Llm`: with the weights go the readers, and with them the caches of keys and values.
pub(super) type MindStage = Stage<LoadedModel, Readers>;

/// Goes into a job whole and comes back with its result.
///
/// The slots of pictures that turns show stay with them. To let them go, encoder and projector would have to be loaded
/// again for each further question about a picture; and their memory is the pool's, which is made once and is not given
/// back with a slot.
pub(super) struct Mind {
    settings: LlmSettings,
    history: History,
}

impl Mind {
    pub(super) fn new(settings: LlmSettings) -> Mind {
        let history = History::new(settings.conversation.clone());
        Mind { settings, history }
    }

    /// The question as a generation that has read nothing yet.
    pub(super) fn ask(
        &mut self,
        reader: &mut Reader,
        question: &str,
        pictures: Vec<Embeddings>,
    ) -> Result<Generation, ConversationError> {
        self.history.ask(reader, question, pictures, &self.settings.generation)
    }

    /// Gives the reader its cache back; `shown` is what of the answer was sent.
    pub(super) fn settle(&mut self, reader: &mut Reader, generation: Generation, shown: Shown) {
        self.history.settle(reader, generation, shown);
        if !self.settings.history {
            // The next prompt still begins with what the cache holds; slots of pictures go back now.
            self.history.clear();
        }
    }
}

/// The reader that has been at work on a seat since the weights were loaded, or else a fresh one.
pub(super) fn reader(stage: &MindStage, seat: usize) -> Result<Reader, AskError> {
    let mut readers = stage.take().unwrap_or_default();
    let held = readers.get_mut(seat).and_then(Option::take);
    stage.put(readers);
    if let Some(reader) = held {
        return Ok(reader);
    }
    let LoadedModel { model, tokenizer, template } = &**stage.weights();
    let template = template.as_ref().map_err(|reason| AskError::NoTemplate(reason.to_string()))?;
    Ok(Reader::new(model.clone(), tokenizer.clone(), template.clone()))
}

/// Keeps the reader of a seat for as long as the weights are in memory.
pub(super) fn put_back(stage: &MindStage, seat: usize, reader: Reader) {
    let mut readers = stage.take().unwrap_or_default();
    if readers.len() <= seat {
        readers.resize_with(seat + 1, || None);
    }
    readers[seat] = Some(reader);
    stage.put(readers);
}
