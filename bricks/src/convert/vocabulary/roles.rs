//! The tokens with a part to play: beginning and end of text, unknown, padding, and what a sequence begins with.

use super::tokens::Tokens;
use crate::convert::error::InputError;
use crate::convert::json::{Folder, Json};
use crate::gguf::GgufWriter;
use crate::tokenizer::ends_by_its_text;

/// The parts, as configurations and as GGUF files call them.
const PARTS: [(&str, &str); 4] = [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")];

/// The tokens with a part to play.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// By GGUF's name.
    ids: Vec<(&'static str, u32)>,
    add_bos: bool,
    add_eos: bool,
}

/// What the post-processor puts around a text.
#[derive(Default)]
struct Around<'a> {
    /// Whether there was a post-processor that decides.
    known: bool,
    first: Option<&'a str>,
    last: Option<&'a str>,
}

impl Roles {
    /// Reads what tokenizer_config.json says by text, then config.json and generation_config.json by number.
    pub(super) fn read(
        folder: &Folder,
        root: &Json<'_>,
        settings: Option<&Json<'_>>,
        config: &Json<'_>,
        tokens: &Tokens,
    ) -> Result<Roles, InputError> {
        let around = Around::read(root)?;
        let generation = folder.json("generation_config.json")?;
        let generation = generation.as_ref().map(|file| file.root());
        let numbers: Vec<Json<'_>> =
            [Some(config.clone()), config.find("text_config"), generation.clone()].into_iter().flatten().collect();
        let mut roles = Roles::default();
        for (part, name) in PARTS {
            let by_text = settings.map(|settings| named(settings, part, tokens)).transpose()?.flatten();
            let id = match by_text {
                Some(id) => Some(id),
                None => numbered(&numbers, part, tokens)?,
            };
            roles.ids.extend(id.map(|id| (name, id)));
        }
        roles.add_bos = roles.puts(&around, around.first, "bos", root, settings, tokens)?;
        roles.add_eos = roles.puts(&around, around.last, "eos", root, settings, tokens)?;
        if let Some(generation) = generation {
            roles.add_other_end(&generation, tokens)?;
        }
        Ok(roles)
    }

    fn id(&self, name: &str) -> Option<u32> {
        self.ids.iter().find(|(known, _)| *known == name).map(|(_, id)| *id)
    }

    /// Whether a sequence gets the token of `part`: as the post-processor does it, else as the settings say.
    fn puts(
        &mut self,
        around: &Around<'_>,
        found: Option<&str>,
        part: &'static str,
        root: &Json<'_>,
        settings: Option<&Json<'_>>,
        tokens: &Tokens,
    ) -> Result<bool, InputError> {
        let field = || root.find("post_processor").unwrap_or_else(|| root.clone());
        let Some(text) = found else {
            let stated = settings.map(|settings| settings.find_bool(&format!("add_{part}_token"))).transpose()?;
            return Ok(!around.known && stated.flatten().unwrap_or(false));
        };
        let id = tokens.named(text).ok_or_else(|| field().unlike_found("tokens of the vocabulary", text))?;
        match self.id(part) {
            Some(known) if known == id => Ok(true),
            Some(known) => {
                let expected = format!("the {part} token {:?}", tokens.text(known));
                Err(field().unlike_found(expected, format!("{text:?}")))
            }
            None => {
                self.ids.push((part, id));
                Ok(true)
            }
        }
    }

    /// A token that generation ends at, although it is not the end of text and its text does not say so either, becomes
    /// the end of a turn.
    fn add_other_end(&mut self, generation: &Json<'_>, tokens: &Tokens) -> Result<(), InputError> {
        let Some(field) = generation.find("eos_token_id") else { return Ok(()) };
        let ids = if field.value().is_array() { field.items()? } else { vec![field] };
        let eos = self.id("eos");
        for json in ids {
            let id = below(&json, tokens)?;
            if eos != Some(id) && !ends_by_its_text(tokens.text(id)) {
                self.ids.push(("eot", id));
                break;
            }
        }
        Ok(())
    }

    /// The keys of the parts.
    pub(super) fn describe(&self, writer: GgufWriter) -> GgufWriter {
        let add = |writer: GgufWriter, (name, id): &(&str, u32)| {
            writer.metadata(format!("tokenizer.ggml.{name}_token_id"), *id)
        };
        let writer = self.ids.iter().fold(writer, add);
        writer
            .metadata("tokenizer.ggml.add_bos_token", self.add_bos)
            .metadata("tokenizer.ggml.add_eos_token", self.add_eos)
    }
}

/// The token that tokenizer_config.json names: a text, or an object with its content.
fn named(settings: &Json<'_>, part: &str, tokens: &Tokens) -> Result<Option<u32>, InputError> {
    let Some(field) = settings.find(&format!("{part}_token")) else { return Ok(None) };
    let content = match field.find("content") {
        Some(content) => content,
        None => field.clone(),
    };
    match tokens.named(content.as_str()?) {
        Some(id) => Ok(Some(id)),
        None => Err(content.unlike("a token of the vocabulary")),
    }
}

/// The first number that a configuration gives; of a list, its first.
fn numbered(configs: &[Json<'_>], part: &str, tokens: &Tokens) -> Result<Option<u32>, InputError> {
    let Some(field) = configs.iter().find_map(|config| config.find(&format!("{part}_token_id"))) else {
        return Ok(None);
    };
    let one = if field.value().is_array() { field.items()?.into_iter().next() } else { Some(field) };
    one.map(|one| below(&one, tokens)).transpose()
}

fn below(json: &Json<'_>, tokens: &Tokens) -> Result<u32, InputError> {
    match json.as_u32()? {
        id if (id as usize) < tokens.len() => Ok(id),
        _ => Err(json.unlike(format!("a token below {}", tokens.len()))),
    }
}

impl<'a> Around<'a> {
    fn read(root: &Json<'a>) -> Result<Around<'a>, InputError> {
        let Some(processor) = root.find("post_processor") else { return Ok(Around::default()) };
        let processors = match processor.find("processors") {
            Some(processors) => processors.items()?,
            None => vec![processor],
        };
        let mut around = Around::default();
        for processor in processors {
            match processor.get("type", "a text")?.as_str()? {
                "ByteLevel" => around.known = true,
                "TemplateProcessing" => {
                    let pieces = processor.get("single", "an array")?.items()?;
                    let special = |piece: Option<&Json<'a>>| {
                        let token = piece.and_then(|piece| piece.find("SpecialToken")?.find("id"));
                        token.map(|id| id.as_str()).transpose()
                    };
                    let (first, last) = (special(pieces.first())?, special(pieces.last())?);
                    let expected = 1 + usize::from(first.is_some()) + usize::from(last.is_some());
                    if pieces.len() != expected {
                        let single = processor.get("single", "an array")?;
                        return Err(single.unlike("at most one token before the text and one after it"));
                    }
                    around = Around { known: true, first, last };
                }
                _ => return Err(processor.unlike("ByteLevel or TemplateProcessing")),
            }
        }
        Ok(around)
    }
}
