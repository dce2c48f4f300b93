//! The tokens of a tokenizer: texts by number, what each is for, and what fills the gaps.

use std::collections::HashMap;

use crate::convert::error::InputError;
use crate::convert::json::Json;
use crate::tokenizer::TokenKind;

/// The tokens of a vocabulary, as many as the embedding table has rows.
pub(super) struct Tokens {
    texts: Vec<String>,
    kinds: Vec<TokenKind>,
    ids: HashMap<String, u32>,
    /// Texts of added tokens as tokenizer.json writes them.
    added: HashMap<String, u32>,
}

/// A token that was added to the vocabulary of the model.
struct Added<'a> {
    place: Json<'a>,
    id: u32,
    content: &'a str,
    special: bool,
}

impl Tokens {
    /// Reads `model.vocab` and the added tokens of tokenizer.json (`root`) and tokenizer_config.json (`settings`).
    pub(super) fn read(
        root: &Json<'_>,
        settings: Option<&Json<'_>>,
        size: usize,
        is_sentence_piece: bool,
    ) -> Result<Tokens, InputError> {
        let mut texts: Vec<Option<String>> = vec![None; size];
        let mut kinds = vec![TokenKind::Unused; size];
        let vocabulary = root.get("model", "an object")?.get("vocab", "the numbers of the tokens")?;
        let entries = vocabulary.value().as_object().ok_or_else(|| vocabulary.unlike("an object"))?;
        for (text, id) in entries {
            let at = id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id < size);
            let Some(at) = at else {
                let expected = format!("numbers below {size}, the rows of the embedding table");
                return Err(vocabulary.unlike_found(expected, format!("{id} for the token {text:?}")));
            };
            if let Some(other) = &texts[at] {
                let found = format!("{at} for {text:?} and for {other:?}");
                return Err(vocabulary.unlike_found("a number of its own for each token", found));
            }
            texts[at] = Some(text.clone());
            kinds[at] = if is_sentence_piece && is_byte(text) { TokenKind::Byte } else { TokenKind::Normal };
        }
        let mut added = HashMap::new();
        for token in all_added(root, settings)? {
            let Some(place) = texts.get_mut(token.id as usize) else {
                return Err(token.place.unlike(format!("an id below {size}, the rows of the embedding table")));
            };
            if place.as_ref().is_some_and(|text| text != token.content) {
                let expected =
                    format!("{:?}, which has this number in `model.vocab`", place.clone().unwrap_or_default());
                return Err(token.place.unlike_found(expected, format!("{:?}", token.content)));
            }
            added.insert(token.content.to_owned(), token.id);
            let is_control = token.special || looks_special(token.content);
            // llama.cpp searches text for them as they are, not as SentencePiece spells them.
            let text = if is_control { token.content.to_owned() } else { token.content.replace('▁', " ") };
            *place = Some(text);
            kinds[token.id as usize] = if is_control { TokenKind::Control } else { TokenKind::UserDefined };
        }
        // As llama.cpp names the rows that no token has.
        let fill = |(id, text): (usize, Option<String>)| text.unwrap_or_else(|| format!("[PAD{id}]"));
        let texts: Vec<String> = texts.into_iter().enumerate().map(fill).collect();
        let mut ids = HashMap::with_capacity(size);
        for (id, text) in texts.iter().enumerate() {
            if let Some(other) = ids.insert(text.clone(), id as u32) {
                let found = format!("{text:?} for {other} and for {id}");
                return Err(vocabulary.unlike_found("a text of its own for each token", found));
            }
        }
        Ok(Tokens { texts, kinds, ids, added })
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn text(&self, id: u32) -> &str {
        &self.texts[id as usize]
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.texts.clone()
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// The number of a token by the text that configurations know it by.
    pub(super) fn named(&self, content: &str) -> Option<u32> {
        self.added.get(content).or_else(|| self.ids.get(content)).copied()
    }

    pub(super) fn kind(&self, id: u32) -> TokenKind {
        self.kinds[id as usize]
    }

    /// The numbers that GGUF has for the kinds.
    pub(super) fn kinds(&self) -> Vec<i32> {
        let number = |kind: &TokenKind| match kind {
            TokenKind::Normal => 1,
            TokenKind::Unknown => 2,
            TokenKind::Control => 3,
            TokenKind::UserDefined => 4,
            TokenKind::Unused => 5,
            TokenKind::Byte => 6,
        };
        self.kinds.iter().map(number).collect()
    }
}

/// The added tokens of both files; tokenizer_config.json has them by number.
fn all_added<'a>(root: &Json<'a>, settings: Option<&Json<'a>>) -> Result<Vec<Added<'a>>, InputError> {
    let mut all = Vec::new();
    for place in root.find("added_tokens").map(|tokens| tokens.items()).transpose()?.unwrap_or_default() {
        let id = place.get("id", "an integer")?.as_u32()?;
        all.push(read_added(place, id)?);
    }
    let decoder = settings.and_then(|settings| settings.find("added_tokens_decoder"));
    if let Some(decoder) = decoder {
        let entries = decoder.value().as_object().ok_or_else(|| decoder.unlike("an object"))?;
        for key in entries.keys() {
            let place = decoder.get(key, "an added token")?;
            let id = key.parse().map_err(|_| decoder.unlike_found("numbers of tokens", format!("{key:?}")))?;
            all.push(read_added(place, id)?);
        }
    }
    Ok(all)
}

fn read_added<'a>(place: Json<'a>, id: u32) -> Result<Added<'a>, InputError> {
    let content = place.get("content", "a text")?;
    let special = place.find_bool("special")?.unwrap_or(false);
    match content.as_str()? {
        "" => Err(content.unlike("a text that is not empty")),
        content => Ok(Added { place, id, content, special }),
    }
}

/// The token of one byte, `<0x0A>`.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// What is a control token although its model forgot to say so, by llama.cpp's rule.
fn looks_special(text: &str) -> bool {
    let within = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || within("<|", "|>")
        || within("<｜", "｜>")
        || within("<unused", ">")
}
