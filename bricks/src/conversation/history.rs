//! The history of a conversation: what was said and shown, and what is being answered. It holds no weights and no cache.

use nanomind_kernels::KvFormat;

use super::error::ConversationError;
use super::prompt::{Said, prompt};
use super::reader::{Reader, positions};
use crate::chat::{Message, Role};
use crate::language::{Generation, GenerationOptions, PromptPart, SequenceOptions};
use crate::vision::{Embeddings, PictureDigest};

/// What happens when the conversation no longer fits into the context, or holds on to more pictures than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// The question is refused with [`ConversationError::ContextFull`] or [`ConversationError::TooManyPictures`].
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
    /// How keys and values are kept.
    pub kv_cache: KvFormat,
    /// What happens when they do not suffice.
    pub on_full: OnFull,
    /// Pictures whose slots the conversation may hold: what it reads again when the cache has lost them.
    pub pictures: usize,
}

impl ConversationOptions {
    /// A conversation of `context` positions and up to two pictures, without a system message of its own.
    pub fn new(context: usize) -> ConversationOptions {
        let SequenceOptions { context, chunk, kv_cache } = SequenceOptions::new(context);
        ConversationOptions { system: None, context, chunk, kv_cache, on_full: OnFull::default(), pictures: 2 }
    }

    /// What its sequence is made with.
    fn sequence(&self) -> SequenceOptions {
        SequenceOptions { context: self.context, chunk: self.chunk, kv_cache: self.kv_cache }
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

/// A question, and the pictures that were put before it.
#[derive(Debug)]
struct Asked {
    question: Message,
    /// None where the question is about pictures that were in sight already.
    pictures: Vec<Embeddings>,
}

impl Asked {
    fn said(&self) -> Said<'_> {
        Said { message: &self.question, pictures: &self.pictures }
    }
}

/// A question and its answer.
#[derive(Debug)]
pub struct Turn {
    asked: Asked,
    answer: Message,
}

impl Turn {
    /// The question.
    pub fn question(&self) -> &Message {
        &self.asked.question
    }

    /// The pictures that stand before the question. None where it is about those of an earlier turn.
    pub fn pictures(&self) -> &[Embeddings] {
        &self.asked.pictures
    }

    /// What was shown of the answer.
    pub fn answer(&self) -> &Message {
        &self.answer
    }
}

/// What was said in a conversation, apart from whoever reads it: a [`Reader`] of any life of the model goes on with it.
///
/// A question may be about pictures. They are put into the prompt before its words, unless they are in sight already: the
/// latest pictures of the conversation are these very ones. Slots of pictures are held for as long as their turn is
/// remembered, and no longer.
#[derive(Debug)]
pub struct History {
    options: ConversationOptions,
    /// Settled questions and answers.
    turns: Vec<Turn>,
    /// The question that is being answered.
    asked: Option<Asked>,
    forgotten: usize,
    /// Pictures of no known source so far.
    nameless: u64,
}

/// A prompt that fits, and what it takes.
struct Fit {
    /// Turns to forget.
    forget: usize,
    asked: Asked,
    prompt: Vec<PromptPart>,
}

impl History {
    /// A conversation in which nothing was said.
    pub fn new(options: ConversationOptions) -> History {
        History { options, turns: Vec::new(), asked: None, forgotten: 0, nameless: 0 }
    }

    /// Settled questions and answers in turn, without the system message.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Questions that were forgotten, with their answers, because the context was full or pictures were too many.
    pub fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// Whether a question is being answered.
    pub fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// Asks `question` about `pictures`, in their order, and has `reader` answer it. The generation reads only what the
    /// reader's cache does not hold yet; give it back with [`History::settle`].
    ///
    /// # Errors
    /// The question cannot be asked; all is as it was before.
    pub fn ask(
        &mut self,
        reader: &mut Reader,
        question: &str,
        mut pictures: Vec<Embeddings>,
        options: &GenerationOptions,
    ) -> Result<Generation, ConversationError> {
        if self.is_busy() {
            return Err(ConversationError::Busy);
        }
        self.name(&mut pictures);
        let Fit { forget, asked, prompt } = self.fit(reader, &Message::new(Role::User, question), &pictures)?;
        let generation = reader.read(prompt, self.options.sequence(), options)?;
        self.turns.drain(..forget);
        self.forgotten += forget;
        self.asked = Some(asked);
        Ok(generation)
    }

    /// Gives the reader its cache back and remembers what was shown of the answer.
    pub fn settle(&mut self, reader: &mut Reader, generation: Generation, shown: Shown) {
        let text = match shown {
            Shown::All => Some(generation.text().to_owned()),
            Shown::Part(text) => Some(text),
            Shown::Nothing => None,
        };
        reader.take_back(generation);
        if let (Some(asked), Some(text)) = (self.asked.take(), text) {
            self.turns.push(Turn { asked, answer: Message::new(Role::Assistant, text) });
        }
    }

    /// Forgets a question whose generation was lost. The next one reads the whole conversation again.
    pub fn abandon(&mut self) {
        self.asked = None;
    }

    /// Forgets everything that was said and shown. What the cache holds of it is reused where the next prompt begins alike.
    pub fn clear(&mut self) {
        self.turns.clear();
        self.asked = None;
    }

    /// Rows of no known source are like no others, but they stay the same rows from turn to turn.
    fn name(&mut self, pictures: &mut [Embeddings]) {
        for picture in pictures.iter_mut().filter(|picture| picture.source.is_none()) {
            picture.source = Some(PictureDigest::nameless(self.nameless));
            self.nameless += 1;
        }
    }

    /// The prompt up to the answer to `question`, with as many of the oldest turns left out as it takes to fit.
    fn fit(&self, reader: &Reader, question: &Message, pictures: &[Embeddings]) -> Result<Fit, ConversationError> {
        let ConversationOptions { context, on_full, pictures: most, .. } = self.options;
        for forget in 0..=self.turns.len() {
            let turns = &self.turns[forget..];
            let pictures = if are_in_sight(turns, pictures) { Vec::new() } else { pictures.to_vec() };
            let found = turns.iter().map(|turn| turn.pictures().len()).sum::<usize>() + pictures.len();
            let is_last = on_full == OnFull::Refuse || forget == self.turns.len();
            if found > most {
                if is_last {
                    return Err(ConversationError::TooManyPictures { found, most });
                }
                continue;
            }
            let asked = Asked { question: question.clone(), pictures };
            let prompt = self.render(reader, turns, &asked)?;
            let needed = positions(&prompt);
            if needed <= context {
                return Ok(Fit { forget, asked, prompt });
            }
            if is_last {
                return Err(ConversationError::ContextFull { needed, context });
            }
        }
        unreachable!("the last round returns")
    }

    fn render(&self, reader: &Reader, turns: &[Turn], asked: &Asked) -> Result<Vec<PromptPart>, ConversationError> {
        let system = self.options.system.as_deref().map(|text| Message::new(Role::System, text));
        let mut said: Vec<Said<'_>> = system.iter().map(|message| Said { message, pictures: &[] }).collect();
        said.extend(turns.iter().flat_map(|turn| [turn.asked.said(), Said { message: &turn.answer, pictures: &[] }]));
        said.push(asked.said());
        prompt(&reader.template, &reader.tokenizer, &said)
    }
}

/// Whether the latest pictures of `turns` are these, so that the model looks at them without being shown them again. With
/// another picture in between it would take that one for what is asked about.
fn are_in_sight(turns: &[Turn], pictures: &[Embeddings]) -> bool {
    let latest = turns.iter().map(Turn::pictures).rfind(|shown| !shown.is_empty()).unwrap_or_default();
    !pictures.is_empty()
        && latest.iter().map(|picture| picture.source).eq(pictures.iter().map(|picture| picture.source))
}
