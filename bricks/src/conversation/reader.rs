//! Whoever reads a conversation: a model with what belongs to it, and what its cache still holds.

use std::sync::Arc;

use super::error::ConversationError;
use crate::chat::ChatTemplate;
use crate::language::{
    Generation, GenerationOptions, LanguageModel, PromptPart, Relocation, Segment, Sequence, SequenceOptions,
};
use crate::tokenizer::Tokenizer;

/// A model that reads conversations. Without its cache it reads a whole conversation again, to the same answer.
pub struct Reader {
    model: Arc<LanguageModel>,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) template: Arc<ChatTemplate>,
    /// `None` before the first question, while a generation has it, and after one was lost.
    sequence: Option<Sequence>,
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(model: Arc<LanguageModel>, tokenizer: Arc<Tokenizer>, template: Arc<ChatTemplate>) -> Reader {
        Reader { model, tokenizer, template, sequence: None }
    }

    /// Reads `prompt` from where the cache differs from it, at least its last position.
    pub(super) fn read(
        &mut self,
        prompt: Vec<PromptPart>,
        sequence: SequenceOptions,
        options: &GenerationOptions,
    ) -> Result<Generation, ConversationError> {
        let mut sequence = match self.sequence.take() {
            Some(sequence) => sequence,
            None => Sequence::with_options(&self.model, sequence)?,
        };
        let segments: Vec<Segment<'_>> = prompt.iter().map(PromptPart::as_segment).collect();
        let reused = sequence.common_prefix(&segments).min(positions(&prompt).saturating_sub(1));
        sequence.truncate(reused);
        let rest = PromptPart::skip(prompt, reused);
        Generation::new(self.model.clone(), self.tokenizer.clone(), sequence, rest, options).map_err(|refused| {
            let (error, sequence) = *refused;
            self.sequence = Some(sequence);
            error.into()
        })
    }

    /// Reads with `model` from now on, another home of the same weights, and takes its cache along. A cache that cannot move
    /// is forgotten, and what it held is read again.
    pub fn relocate(&mut self, model: &Arc<LanguageModel>) {
        self.model = model.clone();
        self.sequence = self.sequence.take().and_then(|sequence| {
            let relocation = Relocation::new(model, &sequence).ok()?;
            relocation.finish(&sequence).ok()
        });
    }

    /// Takes the cache back from a generation, at whatever point it is.
    pub(super) fn take_back(&mut self, generation: Generation) {
        self.sequence = Some(generation.into_sequence());
    }
}

/// Positions that a prompt takes.
pub(super) fn positions(prompt: &[PromptPart]) -> usize {
    prompt.iter().map(|part| part.as_segment().len()).sum()
}
