//! A chat template, ready to render.

use std::fmt;
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use serde::Serialize;

use super::date::strftime;
use super::error::{ChatError, Raised};
use super::generation_tags;
use super::json::Dumps;
use super::message::Message;
use crate::gguf::{Gguf, GgufError, GgufProblem};

/// ChatML, for files without a template.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + \
                      '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' \
                      }}{% endif %}";
const TEMPLATE_KEY: &str = "tokenizer.chat_template";
const NAME: &str = "chat_template";
/// Steps of the engine, one more for each 64 bytes that it makes: far beyond any conversation that fits a context.
const FUEL: u64 = 20_000_000;

/// Where the template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    File,
    Fallback,
}

/// What may be rendered besides the messages.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions<'a> {
    /// Ends with the beginning of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Tools as JSON schemas, for templates that know them; empty is none.
    pub tools: &'a [serde_json::Value],
    /// What `strftime_now` tells the model, in UTC. Without it the function is not defined, and templates that ask take
    /// a date of their own, so that equal messages give equal text.
    pub now: Option<SystemTime>,
}

/// Turns messages into a prompt.
pub struct ChatTemplate {
    file: String,
    environment: Environment<'static>,
    bos: String,
    eos: String,
    origin: Origin,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("file", &self.file).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// The template of a model file, or ChatML where the file has none ([`ChatTemplate::is_fallback`] tells).
    pub fn from_gguf(gguf: &Gguf) -> Result<ChatTemplate, ChatError> {
        let bos = token_text(gguf, "tokenizer.ggml.bos_token_id")?;
        let eos = token_text(gguf, "tokenizer.ggml.eos_token_id")?;
        match gguf.find_str(TEMPLATE_KEY)? {
            Some(source) => ChatTemplate::build(gguf.file(), source, &bos, &eos, Origin::File),
            None => {
                tracing::info!(file = gguf.file(), "the file has no chat template: ChatML is used");
                ChatTemplate::build(gguf.file(), CHATML, &bos, &eos, Origin::Fallback)
            }
        }
    }

    /// A template from its text. `file` is its name in messages; `bos` and `eos` are the texts of those tokens.
    pub fn from_source(file: &str, source: &str, bos: &str, eos: &str) -> Result<ChatTemplate, ChatError> {
        ChatTemplate::build(file, source, bos, eos, Origin::File)
    }

    fn build(file: &str, source: &str, bos: &str, eos: &str, origin: Origin) -> Result<ChatTemplate, ChatError> {
        let syntax_error =
            |source: Error| ChatError::Syntax { file: file.to_owned(), line: source.line().unwrap_or(1), source };
        let mut environment = environment().map_err(syntax_error)?;
        let source = generation_tags::neutralise(source);
        environment.add_template_owned(NAME, source).map_err(syntax_error)?;
        Ok(ChatTemplate { file: file.to_owned(), environment, bos: bos.to_owned(), eos: eos.to_owned(), origin })
    }

    /// Whether the file had no template and ChatML stands in for it.
    pub fn is_fallback(&self) -> bool {
        self.origin == Origin::Fallback
    }

    /// The prompt for `messages`, ending with the beginning of the assistant's turn if asked.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ChatError> {
        self.render_with(messages, &RenderOptions { add_generation_prompt, ..RenderOptions::default() })
    }

    /// The prompt for messages of any form that the template knows, with tools and date.
    pub fn render_with<M: Serialize>(&self, messages: &[M], options: &RenderOptions<'_>) -> Result<String, ChatError> {
        let tools = if options.tools.is_empty() { Value::from(()) } else { Value::from(Serde(options.tools)) };
        let mut context = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => options.add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => tools,
            documents => (),
        };
        if let Some(now) = options.now {
            let function = Value::from_function(move |format: &str| strftime(now, format));
            context = context! { strftime_now => function, ..context };
        }
        let rendered = self.environment.get_template(NAME).and_then(|template| template.render(context));
        rendered.map_err(|error| ChatError::from_render(&self.file, FUEL, error))
    }
}

/// Jinja as Hugging Face sets it up, with bounded work.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: &str| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()).with_source(Raised(message.to_owned())))
    });
    environment.add_filter("tojson", tojson);
    Ok(environment)
}

/// `json.dumps` with the options that Hugging Face's filter has.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let separators = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: expected two separators")),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let dumps = Dumps {
        // A template cannot ask for gigabytes of spaces.
        indent: indent.map(|indent| indent.min(64)),
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        separators,
    };
    options.assert_all_used()?;
    let json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "tojson: not JSON").with_source(error))?;
    Ok(dumps.write(&json))
}

/// The text of the token that `key` names; empty without the key.
fn token_text(gguf: &Gguf, key: &str) -> Result<String, GgufError> {
    let Some(id) = gguf.find_u32(key)? else { return Ok(String::new()) };
    let tokens = gguf.get_array("tokenizer.ggml.tokens")?;
    let Some(token) = tokens.iter().nth(id as usize) else {
        let expected = format!("a token below {}", tokens.len());
        return Err(gguf.error(key, GgufProblem::Inconsistent { expected, found: id.to_string() }));
    };
    token.as_str().map(str::to_owned).map_err(|problem| gguf.error("tokenizer.ggml.tokens", problem))
}
