//! Syntax errors: what ron says, in words that say what to do. Only ron decides what is an error; the glance at quotes
//! and brackets here is for the explanation.
use ron::error::SpannedError;

use crate::{
    Code, Diagnostic,
    source::{FileId, Span},
};

/// The error of a whole file.
pub(crate) fn of_file(text: &str, file: FileId, error: &SpannedError) -> Diagnostic {
    // ron's span is what it read last; the offending text follows it.
    let end = error.span.end;
    describe(text, file, &error.code, offset(text, end.line, end.col))
}

/// An error at a byte of the text.
pub(crate) fn describe(text: &str, file: FileId, code: &ron::Error, at: usize) -> Diagnostic {
    let at = at.min(text.len());
    let here = Span { file, start: at, end: at + text[at..].chars().next().map_or(0, char::len_utf8) };
    // The last character before, for what is missing there.
    let before = text[..at].trim_end();
    let start = before.char_indices().next_back().map_or(0, |(index, _)| index);
    let behind = Span { file, start, end: before.len() };
    let quote = || open_quote(text, at).map(|line| format!("is a closing quote missing in line {line}?"));
    let bracket = |diagnostic: Diagnostic| match open_bracket(text) {
        Some((start, bracket)) => {
            let span = Span { file, start, end: start + 1 };
            diagnostic.label(span, format!("this {bracket} is not closed"))
        }
        None => diagnostic,
    };
    let error = |message: String| Diagnostic::error(Code::Syntax, message);
    match code {
        ron::Error::ExpectedComma if text[at..].starts_with('=') => {
            error("expected a colon, found an equals sign".into())
                .label(here, "write : here")
                .help("fields are written name: value")
        }
        ron::Error::ExpectedComma if quote().is_some() => {
            error("expected a comma".into()).label(here, "before this").maybe_help(quote())
        }
        ron::Error::ExpectedComma => error("expected a comma".into()).label(behind, "a comma is missing after this"),
        ron::Error::Eof | ron::Error::ExpectedStringEnd => {
            bracket(error("the file ends too early".into()).label(behind, "the file ends here")).maybe_help(quote())
        }
        ron::Error::ExpectedArrayEnd | ron::Error::ExpectedMapEnd | ron::Error::ExpectedStructLikeEnd => {
            bracket(error(lower(code)).label(here, "before this"))
        }
        ron::Error::ExpectedChar | ron::Error::UnexpectedChar('\'') => {
            let quote = text[..at].rfind('\'').map_or(here, |start| Span { file, start, end: start + 1 });
            error("a text in single quotes".into())
                .label(quote, "this quote")
                .help("texts stand in double quotes: \"..\"")
        }
        ron::Error::ExceededRecursionLimit => {
            Diagnostic::error(Code::TooLarge, "brackets nest too deeply").label(here, "here")
        }
        _ => error(lower(code)).label(here, "here").maybe_help(quote()),
    }
}

/// ron's message, starting in lower case like every other one.
fn lower(code: &ron::Error) -> String {
    let message = code.to_string();
    let mut chars = message.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// The byte at ron's line and column, both from 1 and in characters.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[line_start.min(text.len())..];
    line_start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(index, _)| index)
}

/// The line, at or just before `at`, with an odd number of quotes.
fn open_quote(text: &str, at: usize) -> Option<usize> {
    let line = text[..at].matches('\n').count();
    let odd = |line: &str| line.replace("\\\\", "").replace("\\\"", "").matches('"').count() % 2 == 1;
    let lines = text.lines().enumerate().take(line + 1).skip(line.saturating_sub(1));
    lines.filter(|(_, line)| odd(line)).map(|(number, _)| number + 1).next()
}

/// The last bracket that is not closed, or that is closed by one of another kind.
fn open_bracket(text: &str) -> Option<(usize, char)> {
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => {
                while chars.next().map(|(_, c)| c).is_some_and(|c| match c {
                    '\\' => chars.next().is_some(),
                    c => c != '"',
                }) {}
            }
            '/' if chars.peek().is_some_and(|(_, next)| *next == '/') => {
                while chars.next().is_some_and(|(_, c)| c != '\n') {}
            }
            '(' | '[' | '{' => open.push((index, c)),
            ')' | ']' | '}' => {
                let (start, opened) = open.pop()?;
                if !matches!((opened, c), ('(', ')') | ('[', ']') | ('{', '}')) {
                    return Some((start, opened));
                }
            }
            _ => {}
        }
    }
    open.pop()
}
