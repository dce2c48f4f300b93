//! The turns of a conversation: what was said, what is being answered, and what of it the cache still holds.

use std::sync::Arc;

use super::error::ConversationError;
use crate::chat::{ChatTemplate, Message, Role};
use crate::language::{DEFAULT_CHUNK, Generation, GenerationOptions, LanguageModel, PromptPart, Segment, Sequence};
use crate::tokenizer::{Special, TokenId, Tokenizer};

/// What happens when the conversation no longer fits into the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// The question is refused with [`ConversationError::ContextFull`].
    #[default]
    Refuse,
    /// The oldest question and its answer are forgotten, then the next ones; the system message stays.
    ForgetOldest,
}

/// How a conversation is held.
#[derive(Debug, Clone)]
pub struct ConversationOptions {
    /// The system message; `None` leaves it to the template.
    pub system: Option<String>,
    /// Positions that the conversation may take.
    pub context: usize,
    /// Positions that are computed at once.
    pub chunk: usize,
    /// What happens when they do not suffice.
    pub on_full: OnFull,
}

impl ConversationOptions {
    /// A conversation of `context` positions without a system message of its own.
    pub fn new(context: usize) -> ConversationOptions {
        ConversationOptions { system: None, context, chunk: DEFAULT_CHUNK, on_full: OnFull::default() }
    }
}

/// What of an answer reached whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// All of it.
    All,
    /// Only this beginning: the rest is forgotten.
    Part(String),
    /// Nothing: question and answer are forgotten.
    Nothing,
}

/// A chat over several turns. While a question is answered, its [`Generation`] holds the sequence.
pub struct Conversation {
    model: Arc<LanguageModel>,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    options: ConversationOptions,
    /// Settled questions and answers in turn.
    messages: Vec<Message>,
    /// The question that is being answered.
    asked: Option<Message>,
    /// `None` while a generation has it, or after one was lost.
    sequence: Option<Sequence>,
    forgotten: usize,
}

impl Conversation {
    /// A conversation in which nothing was said.
    pub fn new(
        model: Arc<LanguageModel>,
        tokenizer: Arc<Tokenizer>,
        template: Arc<ChatTemplate>,
        options: ConversationOptions,
    ) -> Conversation {
        Conversation {
            model,
            tokenizer,
            template,
            options,
            messages: Vec::new(),
            asked: None,
            sequence: None,
            forgotten: 0,
        }
    }

    /// Settled questions and answers, without the system message.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Questions that were forgotten, with their answers, because the context was full.
    pub fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// Whether a question is being answered.
    pub fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Asks. The generation reads only what the cache does not hold yet; give it back with [`Conversation::settle`].
    pub fn ask(&mut self, question: &str, options: &GenerationOptions) -> Result<Generation, ConversationError> {
        if self.is_busy() {
            return Err(ConversationError::Busy);
        }
        let asked = Message::new(Role::User, question);
        let (first, tokens) = self.fit(&asked)?;
        let sequence = match self.sequence.take() {
            Some(sequence) => sequence,
            None => Sequence::with_chunk(&self.model, self.options.context, self.options.chunk)?,
        };
        let generation = self.continue_with(sequence, &tokens, options)?;
        self.messages.drain(..first);
        self.forgotten += first / 2;
        self.asked = Some(asked);
        Ok(generation)
    }

    /// Takes the sequence back and remembers what was shown of the answer.
    pub fn settle(&mut self, generation: Generation, shown: Shown) {
        let text = match shown {
            Shown::All => Some(generation.text().to_owned()),
            Shown::Part(text) => Some(text),
            Shown::Nothing => None,
        };
        self.sequence = Some(generation.into_sequence());
        if let (Some(asked), Some(text)) = (self.asked.take(), text) {
            self.messages.extend([asked, Message::new(Role::Assistant, text)]);
        }
    }

    /// Forgets a question whose generation was lost. The next one reads the whole conversation again.
    pub fn abandon(&mut self) {
        self.asked = None;
    }

    /// Forgets everything that was said.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.asked = None;
    }

    /// The tokens of the conversation up to the answer to `asked`, and how many of the oldest messages had to be left
    /// out for them to fit.
    fn fit(&self, asked: &Message) -> Result<(usize, Vec<TokenId>), ConversationError> {
        let mut first = 0;
        loop {
            let tokens = self.render(&self.messages[first..], asked)?;
            let (needed, context) = (tokens.len(), self.options.context);
            if needed <= context {
                return Ok((first, tokens));
            }
            if self.options.on_full == OnFull::Refuse || first == self.messages.len() {
                return Err(ConversationError::ContextFull { needed, context });
            }
            first += 2;
        }
    }

    fn render(&self, messages: &[Message], asked: &Message) -> Result<Vec<TokenId>, ConversationError> {
        let system = self.options.system.as_deref().map(|text| Message::new(Role::System, text));
        let messages: Vec<Message> =
            system.into_iter().chain(messages.iter().cloned()).chain([asked.clone()]).collect();
        let text = self.template.render(&messages, true)?;
        Ok(self.tokenizer.encode_first(&text, Special::Parse))
    }

    /// Cuts the sequence back to what it shares with `tokens` and continues with the rest, at least the last token.
    fn continue_with(
        &mut self,
        mut sequence: Sequence,
        tokens: &[TokenId],
        options: &GenerationOptions,
    ) -> Result<Generation, ConversationError> {
        let reused = sequence.common_prefix(&[Segment::Tokens(tokens)]).min(tokens.len().saturating_sub(1));
        sequence.truncate(reused);
        let prompt = vec![PromptPart::Tokens(tokens[reused..].to_vec())];
        Generation::new(self.model.clone(), self.tokenizer.clone(), sequence, prompt, options).map_err(|refused| {
            let (error, sequence) = *refused;
            self.sequence = Some(sequence);
            error.into()
        })
    }
}
