//! How a tokenizer cuts text into words: recognised by what tokenizer.json says, never guessed.

use crate::convert::error::InputError;
use crate::convert::json::Json;
use crate::tokenizer::PreTokenizer;

/// One step of a pre-tokenizer.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// Each digit alone.
    Digits,
    /// At the matches of a regular expression.
    Split(&'a str),
    /// To the byte alphabet, cut by GPT-2's expression or not.
    Bytes { cut: bool },
    /// Anything else.
    Unknown,
}

/// The words of a byte-level tokenizer. One that is not known is an error that shows what was found.
///
/// StarCoder's are SmolLM's; llama.cpp has two names for the same rule.
pub(super) fn detect(root: &Json<'_>) -> Result<PreTokenizer, InputError> {
    let field = root.get("pre_tokenizer", "the rule that cuts text into words")?;
    let steps = match field.find("pretokenizers") {
        Some(steps) => steps.items()?,
        None => vec![field.clone()],
    };
    let steps = steps.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let known = PreTokenizer::ALL.into_iter().find(|words| match (words, steps.as_slice()) {
        (PreTokenizer::Gpt2, [Step::Bytes { cut: true }]) => true,
        (PreTokenizer::SmolLm, [Step::Digits, Step::Bytes { cut: true }]) => true,
        (words, [Step::Split(regex), Step::Bytes { cut: false }]) => words.regex() == Some(*regex),
        _ => false,
    });
    let Some(words) = known else {
        let names = PreTokenizer::ALL.map(PreTokenizer::name).join(", ");
        return Err(field.unlike(format!("the words of one of {names}")));
    };
    check_normalizer(root, words)?;
    check_whole_words(root, words)?;
    Ok(words)
}

fn step<'a>(json: &Json<'a>) -> Result<Step<'a>, InputError> {
    let flag = |name: &str, default: bool| Ok::<_, InputError>(json.find_bool(name)?.unwrap_or(default));
    Ok(match json.get("type", "a text")?.as_str()? {
        "Digits" if flag("individual_digits", false)? => Step::Digits,
        "ByteLevel" if !flag("add_prefix_space", true)? => Step::Bytes { cut: flag("use_regex", true)? },
        "Split" => {
            let regex = json.find("pattern").and_then(|pattern| pattern.find("Regex"));
            // The expressions match every character, so that keeping the matches only keeps all of the text.
            match (regex, json.find_str("behavior")?, flag("invert", false)?) {
                (Some(regex), Some("Isolated"), false) | (Some(regex), Some("Removed"), true) => {
                    Step::Split(regex.as_str()?)
                }
                _ => Step::Unknown,
            }
        }
        _ => Step::Unknown,
    })
}

/// Readers compose the text (NFC) where the words are Qwen 2's, and do nothing to it elsewhere.
fn check_normalizer(root: &Json<'_>, words: PreTokenizer) -> Result<(), InputError> {
    let expected = if words == PreTokenizer::Qwen2 { Some("NFC") } else { None };
    let found = root.find("normalizer");
    let name = found.as_ref().and_then(|normalizer| normalizer.value().get("type")?.as_str());
    match (expected, &found) {
        (None, None) => Ok(()),
        (Some(_), _) if name == expected => Ok(()),
        (Some(expected), None) => Err(root.missing("normalizer", &format!("{expected}, as {} has it", words.name()))),
        (_, Some(found)) => Err(found.unlike(format!("{}, as {} has it", expected.unwrap_or("none"), words.name()))),
    }
}

/// Readers take a word that is a token whole, whatever its merges, where the words are Llama 3's.
fn check_whole_words(root: &Json<'_>, words: PreTokenizer) -> Result<(), InputError> {
    let model = root.get("model", "an object")?;
    let expected = words.takes_words_whole();
    if model.find_bool("ignore_merges")?.unwrap_or(false) == expected {
        return Ok(());
    }
    let expected = format!("{expected}, as {} has it", words.name());
    match model.find("ignore_merges") {
        Some(found) => Err(found.unlike(expected)),
        None => Err(model.missing("ignore_merges", &expected)),
    }
}

/// Whether a SentencePiece tokenizer puts a space before the text, in any of the ways in which tokenizer.json says so.
pub(super) fn leading_space(root: &Json<'_>) -> Result<bool, InputError> {
    match (root.find("normalizer"), root.find("pre_tokenizer")) {
        (Some(normalizer), None) => prepending(&normalizer),
        (None, Some(words)) => metaspace(&words),
        (None, None) => Err(root.missing("normalizer", "SentencePiece's spelling of spaces")),
        (Some(_), Some(words)) => Err(words.unlike("none beside a normalizer")),
    }
}

/// `Prepend ▁`, if at all, then `Replace " " ▁`.
fn prepending(normalizer: &Json<'_>) -> Result<bool, InputError> {
    let steps = match normalizer.find("normalizers") {
        Some(steps) => steps.items()?,
        None => vec![normalizer.clone()],
    };
    let is = |json: &Json<'_>, name: &str, value: &str| json.value().get(name).and_then(|v| v.as_str()) == Some(value);
    let prepends = |json: &Json<'_>| is(json, "type", "Prepend") && is(json, "prepend", "▁");
    let replaces = |json: &Json<'_>| {
        let pattern = json.find("pattern").is_some_and(|pattern| is(&pattern, "String", " "));
        is(json, "type", "Replace") && is(json, "content", "▁") && pattern
    };
    match steps.as_slice() {
        [first, second] if prepends(first) && replaces(second) => Ok(true),
        [only] if replaces(only) => Ok(false),
        _ => Err(normalizer.unlike("SentencePiece's spelling of spaces: Prepend ▁, Replace \" \" by ▁")),
    }
}

/// The newer spelling: `Metaspace` before merging, without cutting.
fn metaspace(words: &Json<'_>) -> Result<bool, InputError> {
    let unlike = || words.unlike("Metaspace of ▁ that does not split");
    let is_metaspace = words.find_str("type")? == Some("Metaspace") && words.find_str("replacement")? == Some("▁");
    if !is_metaspace || words.find_bool("split")?.unwrap_or(true) {
        return Err(unlike());
    }
    match words.find_str("prepend_scheme")? {
        Some("first" | "always") => Ok(true),
        Some("never") => Ok(false),
        _ => Err(unlike()),
    }
}
