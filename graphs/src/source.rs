//! Source texts and places in them.
use std::sync::Arc;

use serde::Serialize;

/// A graph's text and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path as the person gave it; includes are read relative to its directory.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// A text with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// Which of the files of one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u32);

/// A stretch of a file, in bytes, end excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub(crate) file: FileId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// The empty stretch at its start.
    pub(crate) fn head(self) -> Self {
        Self { end: self.start, ..self }
    }
}

/// A place as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that the place covers.
    pub length: usize,
}

/// The files of one check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Arc<Source>>);

impl Sources {
    pub(crate) fn add(&mut self, source: Source) -> FileId {
        let id = FileId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(Arc::new(source));
        id
    }

    pub(crate) fn get(&self, file: FileId) -> Option<&Arc<Source>> {
        self.0.get(file.0 as usize)
    }

    pub(crate) fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| source.name.as_str())
    }

    pub(crate) fn locate(&self, span: Span) -> Location {
        let text = self.get(span.file).map_or("", |source| source.text.as_str());
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Location {
            file: self.name(span.file).to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            length: text.get(span.start..span.end).map_or(0, |covered| covered.chars().count()),
        }
    }
}
