//! The prompt of a conversation: the template's text as tokens, with the rows of pictures where their message begins.

use super::error::ConversationError;
use crate::chat::{ChatTemplate, Message};
use crate::language::{PromptPart, RowRun};
use crate::tokenizer::{Special, Tokenizer};
use crate::vision::{Embeddings, Span};

/// Stands for a picture while the template is applied: most templates know text only. Unicode keeps this code point for
/// uses inside a program; no text has it, and where one does all the same it is shown as U+FFFD.
const MARK: char = '\u{FDD0}';

/// A message with the pictures that stand before its words.
pub(super) struct Said<'a> {
    pub(super) message: &'a Message,
    pub(super) pictures: &'a [Embeddings],
}

/// What the model reads up to the next answer.
pub(super) fn prompt(
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    said: &[Said<'_>],
) -> Result<Vec<PromptPart>, ConversationError> {
    let messages: Vec<Message> = said.iter().map(Said::marked).collect();
    let text = template.render(&messages, true)?;
    let pictures: Vec<&Embeddings> = said.iter().flat_map(|said| said.pictures).collect();
    let found = text.matches(MARK).count();
    if found != pictures.len() {
        return Err(ConversationError::PicturePlaces { expected: pictures.len(), found });
    }
    let mut parts = Parts { tokenizer, done: Vec::new(), text: String::new() };
    let mut texts = text.split(MARK);
    parts.text.push_str(texts.next().unwrap_or_default());
    for (picture, after) in pictures.into_iter().zip(texts) {
        parts.show(picture);
        parts.text.push_str(after);
    }
    parts.end_text();
    Ok(parts.done)
}

impl Said<'_> {
    /// The message with a mark for each picture, as the template gets it.
    fn marked(&self) -> Message {
        let Message { role, content } = self.message;
        let mut marked: String = std::iter::repeat_n(MARK, self.pictures.len()).collect();
        marked.extend(content.chars().map(|c| if c == MARK { char::REPLACEMENT_CHARACTER } else { c }));
        Message::new(*role, marked)
    }
}

/// The prompt in the making. Texts that follow each other become tokens together, as if no picture had been marked.
struct Parts<'a> {
    tokenizer: &'a Tokenizer,
    done: Vec<PromptPart>,
    text: String,
}

impl Parts<'_> {
    fn show(&mut self, picture: &Embeddings) {
        for span in picture.layout.spans() {
            match span {
                Span::Text(text) => self.text.push_str(text),
                Span::Rows(range) => {
                    self.end_text();
                    let (rows, range) = (picture.rows.clone(), range.clone());
                    self.done.push(PromptPart::Rows(RowRun { rows, range, source: picture.source }));
                }
            }
        }
    }

    fn end_text(&mut self) {
        let tokens = match self.done.is_empty() {
            true => self.tokenizer.encode_first(&self.text, Special::Parse),
            false => self.tokenizer.encode(&self.text, Special::Parse),
        };
        self.text.clear();
        if !tokens.is_empty() || self.done.is_empty() {
            self.done.push(PromptPart::Tokens(tokens));
        }
    }
}
