//! A RON text as a tree in which every value and every key knows its place. ron is the only parser: `RawValue` borrows
//! from the text, so the place of a value is how far its slice lies from the text's start.
use std::fmt;

use ron::value::RawValue;
use serde::{
    Deserialize,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    Code, Diagnostic,
    source::{FileId, Span},
    syntax,
};

/// Longest graph file, in bytes.
pub(crate) const LONGEST_FILE: usize = 1 << 20;
/// Deepest nesting of brackets.
pub(crate) const DEEPEST: usize = 32;

/// A word with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// Where a value came from when it does not stand where it is used: a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    /// The parameter.
    pub(crate) param: String,
    /// Where its value stands: in a file or on the command line.
    pub(crate) span: Span,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) span: Span,
    pub(crate) shape: Shape,
    pub(crate) origin: Option<Origin>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// `None`.
    Nothing,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    /// A value from the command line for a parameter without a type of its own; read as its field asks.
    Untyped(String),
    /// `[a, b]`.
    List(Vec<Tree>),
    /// `(a, b)`.
    Tuple(Vec<Tree>),
    /// `(a: b)`.
    Fields(Vec<(Word, Tree)>),
    /// `{a: b}`.
    Map(Vec<(Tree, Tree)>),
    /// `Name`, `Name(a, b)`, `Name(a: b)`.
    Named(Word, Body),
}

/// What follows a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Bare,
    Tuple(Vec<Tree>),
    Fields(Vec<(Word, Tree)>),
}

impl Tree {
    /// What it is, in words that a person uses.
    pub(crate) fn describe(&self) -> String {
        match &self.shape {
            Shape::Nothing => "None".to_owned(),
            Shape::Bool(value) => format!("{value}"),
            Shape::Integer(value) => format!("the number {value}"),
            Shape::Number(value) => format!("the number {value:?}"),
            Shape::Text(text) | Shape::Untyped(text) => format!("the text {}", shorten(text)),
            Shape::List(_) => "a list [..]".to_owned(),
            Shape::Tuple(_) => "a tuple (..)".to_owned(),
            Shape::Fields(_) => "fields (name: value)".to_owned(),
            Shape::Map(_) => "a map {..}".to_owned(),
            Shape::Named(name, Body::Bare) => format!("the word {}", name.text),
            Shape::Named(name, _) => format!("{}(..)", name.text),
        }
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() > 40 {
        format!("{:?}..", text.chars().take(40).collect::<String>())
    } else {
        format!("{text:?}")
    }
}

/// Reads a whole file.
///
/// # Errors
/// The one syntax error, boxed because a diagnostic is large.
pub(crate) fn parse(text: &str, file: FileId) -> Result<Tree, Box<Diagnostic>> {
    if text.len() > LONGEST_FILE {
        let message = format!("the file has {} bytes, and a graph has at most {LONGEST_FILE}", text.len());
        let start = Span { file, start: 0, end: 0 };
        return Err(Box::new(Diagnostic::error(Code::TooLarge, message).label(start, "")));
    }
    if text.trim().is_empty() {
        let start = Span { file, start: 0, end: 0 };
        return Err(Box::new(
            Diagnostic::error(Code::Empty, "the file is empty").label(start, "").help(crate::document::SKELETON),
        ));
    }
    let reader = Reader { text, file };
    // The first pass checks the syntax of everything, so that the passes over parts below meet no error of their own.
    let raw: &RawValue = ron::from_str(text).map_err(|error| Box::new(syntax::of_file(text, file, &error)))?;
    let extensions = ron::Deserializer::from_str(text).map(|de| !de.extensions().is_empty()).unwrap_or(false);
    if extensions {
        let head = Span { file, start: 0, end: text.find('\n').unwrap_or(text.len()) };
        return Err(Box::new(
            Diagnostic::error(Code::NotAGraph, "a graph is plain RON, without extensions")
                .label(head, "remove this line"),
        ));
    }
    reader.read(raw.get_ron(), 0)
}

struct Reader<'t> {
    text: &'t str,
    file: FileId,
}

impl<'t> Reader<'t> {
    /// Where `part` stands; it is a slice of the text.
    fn span(&self, part: &str) -> Span {
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        Span { file: self.file, start, end: (start + part.len()).min(self.text.len()) }
    }

    fn read(&self, part: &'t str, depth: usize) -> Result<Tree, Box<Diagnostic>> {
        let fail = |error: ron::error::SpannedError| Box::new(self.part_error(part, &error.code));
        let mut de = ron::Deserializer::from_str(part).map_err(fail)?;
        // Without the comments and space around it.
        let start = part.len() - de.remainder().len();
        let ended = IgnoredAny::deserialize(&mut de);
        ended.map_err(|code| Box::new(self.part_error(part, &code)))?;
        let value = &part[start..part.len() - de.remainder().len()];
        let span = self.span(value);
        if depth > DEEPEST {
            let message = format!("brackets nest deeper than {DEEPEST} levels");
            return Err(Box::new(Diagnostic::error(Code::TooLarge, message).label(span.head(), "here")));
        }
        let Some((name, rest)) = name_before(value) else {
            return Ok(Tree { span, shape: self.shape(value, depth)?, origin: None });
        };
        let word = Word { text: name.trim_start_matches("r#").to_owned(), span: self.span(name) };
        // ron takes the space behind a lone name for a part of it.
        if ron::Deserializer::from_str(rest).is_ok_and(|de| de.remainder().is_empty()) {
            return Ok(Tree { span: word.span, shape: Shape::Named(word, Body::Bare), origin: None });
        }
        let shape = match self.shape(rest, depth)? {
            Shape::Tuple(values) => Shape::Named(word, Body::Tuple(values)),
            Shape::Fields(fields) => Shape::Named(word, Body::Fields(fields)),
            // ron lets only brackets follow a name.
            _ => return Err(Box::new(self.part_error(rest, &ron::Error::ExpectedStructLike))),
        };
        Ok(Tree { span, shape, origin: None })
    }

    /// Reads a value that has no name in front.
    fn shape(&self, value: &'t str, depth: usize) -> Result<Shape, Box<Diagnostic>> {
        let fail = |code: &ron::Error| Box::new(self.part_error(value, code));
        let mut de = ron::Deserializer::from_str(value).map_err(|error| fail(&error.code))?;
        let braces = de.remainder().starts_with('{');
        let raw = de::Deserializer::deserialize_any(&mut de, ShapeVisitor { braces }).map_err(|code| fail(&code))?;
        let read = |raw: &'t RawValue| self.read(raw.get_ron(), depth + 1);
        Ok(match raw {
            Raw::Leaf(shape) => shape,
            Raw::Sequence(values) => {
                let values = values.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
                if value.starts_with('[') { Shape::List(values) } else { Shape::Tuple(values) }
            }
            Raw::Fields(fields) => Shape::Fields(
                fields
                    .into_iter()
                    .map(|(name, raw)| Ok((Word { text: name.to_owned(), span: self.span(name) }, read(raw)?)))
                    .collect::<Result<Vec<_>, Box<Diagnostic>>>()?,
            ),
            Raw::Map(entries) => Shape::Map(
                entries
                    .into_iter()
                    .map(|(key, raw)| Ok((read(key)?, read(raw)?)))
                    .collect::<Result<Vec<_>, Box<Diagnostic>>>()?,
            ),
        })
    }

    fn part_error(&self, part: &str, code: &ron::Error) -> Diagnostic {
        syntax::describe(self.text, self.file, code, self.span(part).start)
    }
}

/// The name at the head of a value and what follows it, if the value starts with a name of ours.
fn name_before(value: &str) -> Option<(&str, &str)> {
    let starts_text = ["r\"", "r#\"", "r##", "b\"", "br", "b'"].iter().any(|prefix| value.starts_with(prefix));
    if starts_text || !value.starts_with(|first: char| first.is_alphabetic() || first == '_') {
        return None;
    }
    let mut de = ron::Deserializer::from_str(value).ok()?;
    let name = de::Deserializer::deserialize_identifier(&mut de, NameVisitor).ok()?;
    let reserved = ["true", "false", "None", "Some", "inf", "inff32", "inff64", "NaN", "NaNf32", "NaNf64"];
    if reserved.contains(&name) {
        return None;
    }
    Some((name, de.remainder()))
}

struct NameVisitor;

impl<'t> Visitor<'t> for NameVisitor {
    type Value = &'t str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'t str) -> Result<&'t str, E> {
        Ok(name)
    }
}

impl<'t> DeserializeSeed<'t> for NameVisitor {
    type Value = &'t str;

    fn deserialize<D: de::Deserializer<'t>>(self, deserializer: D) -> Result<&'t str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

/// A value whose parts are still text.
enum Raw<'t> {
    Leaf(Shape),
    Sequence(Vec<&'t RawValue>),
    Fields(Vec<(&'t str, &'t RawValue)>),
    Map(Vec<(&'t RawValue, &'t RawValue)>),
}

struct ShapeVisitor {
    braces: bool,
}

impl<'t> Visitor<'t> for ShapeVisitor {
    type Value = Raw<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(Shape::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(Shape::Integer(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(i64::try_from(value).map_or(Shape::Number(value as f64), Shape::Integer)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(Shape::Number(value)))
    }

    fn visit_f32<E: de::Error>(self, value: f32) -> Result<Raw<'t>, E> {
        // Through text, so that 0.7 stays 0.7.
        Ok(Raw::Leaf(Shape::Number(value.to_string().parse().unwrap_or(f64::from(value)))))
    }

    fn visit_char<E: de::Error>(self, value: char) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(Shape::Text(value.to_string())))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(Shape::Text(value.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw<'t>, E> {
        Ok(Raw::Sequence(Vec::new()))
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw<'t>, E> {
        Ok(Raw::Leaf(Shape::Nothing))
    }

    fn visit_some<D: de::Deserializer<'t>>(self, deserializer: D) -> Result<Raw<'t>, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut access: A) -> Result<Raw<'t>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Raw::Sequence(values))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<Raw<'t>, A::Error> {
        if self.braces {
            let mut entries = Vec::new();
            while let Some(entry) = access.next_entry()? {
                entries.push(entry);
            }
            return Ok(Raw::Map(entries));
        }
        let mut fields = Vec::new();
        while let Some(name) = access.next_key_seed(NameVisitor)? {
            fields.push((name, access.next_value()?));
        }
        Ok(Raw::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        parse(text, FileId(0)).unwrap_or_else(|diagnostic| panic!("{}", diagnostic.message))
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let text =
            "// head\nGraph( /* a */ name: \"x\", // tail\n nodes: { \"mind\": Llm(context: 2_048, t: 0.7), },\n)";
        let Shape::Named(graph, Body::Fields(fields)) = tree(text).shape else { panic!("no Graph(..)") };
        let at = |span: Span| &text[span.start..span.end];
        assert_eq!(at(graph.span), "Graph");
        assert_eq!(at(fields[0].0.span), "name");
        assert_eq!(at(fields[0].1.span), "\"x\"");
        let Shape::Map(nodes) = &fields[1].1.shape else { panic!("no nodes") };
        assert_eq!(at(nodes[0].0.span), "\"mind\"");
        let Shape::Named(kind, Body::Fields(values)) = &nodes[0].1.shape else { panic!("no Llm(..)") };
        assert_eq!(at(kind.span), "Llm");
        assert_eq!(at(values[0].0.span), "context");
        assert_eq!(at(values[0].1.span), "2_048");
        assert_eq!(values[0].1.shape, Shape::Integer(2048));
        assert_eq!(values[1].1.shape, Shape::Number(0.7));
    }

    #[test]
    fn every_shape_is_told_apart() {
        let shapes = |text: &str| match tree(text).shape {
            Shape::List(values) => values.into_iter().map(|value| value.shape).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let found = shapes(
            "[true, -3, 1e3, \"a\\nb\", r#\"raw\"#, None, Some(4), Auto /* here */, Pin(\"gpu\"), Stdout(), Stdout ( ), (1, 2), ()]",
        );
        assert_eq!(found[0], Shape::Bool(true));
        assert_eq!(found[1], Shape::Integer(-3));
        assert_eq!(found[2], Shape::Number(1000.0));
        assert_eq!(found[3], Shape::Text("a\nb".into()));
        assert_eq!(found[4], Shape::Text("raw".into()));
        assert_eq!(found[5], Shape::Nothing);
        assert_eq!(found[6], Shape::Integer(4));
        assert!(matches!(&found[7], Shape::Named(name, Body::Bare) if name.text == "Auto"));
        assert!(matches!(&found[8], Shape::Named(_, Body::Tuple(values)) if values.len() == 1));
        assert!(matches!(&found[9], Shape::Named(_, Body::Tuple(values)) if values.is_empty()));
        assert!(matches!(&found[10], Shape::Named(_, Body::Tuple(values)) if values.is_empty()));
        assert!(matches!(&found[11], Shape::Tuple(values) if values.len() == 2));
        assert!(matches!(&found[12], Shape::Tuple(values) if values.is_empty()));
    }

    #[test]
    fn a_lone_name_ends_where_it_ends() {
        for text in ["{ \"*\": Auto }", "{ \"*\": Auto // so\n}", "{\"*\":Auto}"] {
            let Shape::Map(entries) = tree(text).shape else { panic!("{text}") };
            assert_eq!(&text[entries[0].1.span.start..entries[0].1.span.end], "Auto", "{text}");
        }
    }

    #[test]
    fn hostile_texts_give_a_diagnostic() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let deeper = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let long = "x".repeat(LONGEST_FILE + 1);
        let texts =
            ["", "(", "Graph(", "\u{0}", "1..5", "{1:2", "Graph(a: 'x)", &deep, &deeper, &long, "Some(Some(", "b\"x\""];
        for text in texts {
            // `1..5` and the byte text are values to ron, and to us at worst an error.
            let _ = parse(text, FileId(0)).map_err(|diagnostic| assert!(!diagnostic.labels.is_empty()));
        }
        for text in [deep.as_str(), &deeper, &long, "Graph(", "1..5", "b\"x\""] {
            assert!(parse(text, FileId(0)).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }

    #[test]
    fn places_are_right_beside_wide_characters() {
        let text = "Graph(name: \"größe\", é: 1)";
        let Shape::Named(_, Body::Fields(fields)) = tree(text).shape else { panic!("no Graph(..)") };
        assert_eq!(&text[fields[1].0.span.start..fields[1].0.span.end], "é");
        assert!(parse("Graph(name: \"größe\" nodes: {})", FileId(0)).is_err());
    }
}
