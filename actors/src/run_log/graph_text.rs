//! The text of a graph with everything that it was checked with, so that it can be checked again elsewhere.

use std::cell::RefCell;

use nanomind_graphs::{LoadError, Loader, Overrides, Source};
use serde::{Deserialize, Serialize};

/// A graph as it was written, with the files that it includes and what the command line set over it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct GraphText {
    /// The graph's file.
    pub graph: TextFile,
    /// The files that it includes, by the paths by which they were asked for.
    pub includes: Vec<TextFile>,
    /// Parameters that were set over the graph's: names and values.
    pub params: Vec<(String, String)>,
    /// Placements that were set over the graph's: nodes and accelerators.
    pub placements: Vec<(String, String)>,
}

/// A file that was read.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct TextFile {
    /// Its path, as it was given.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl GraphText {
    /// The graph's file, to be checked.
    pub fn source(&self) -> Source {
        Source::new(self.graph.path.clone(), self.graph.text.clone())
    }

    /// What is set over it.
    pub fn overrides(&self) -> Overrides {
        Overrides { params: self.params.clone(), placements: self.placements.clone() }
    }
}

/// Gives the included files that were kept.
impl Loader for GraphText {
    fn read(&self, path: &str, limit: usize) -> Result<String, LoadError> {
        let file = self.includes.iter().find(|file| file.path == path);
        let file = file.ok_or_else(|| LoadError::NotFound { beside: Vec::new() })?;
        if file.text.len() > limit {
            return Err(LoadError::TooLong { limit });
        }
        Ok(file.text.clone())
    }
}

/// Keeps the text of every file that a check reads through it.
#[derive(Debug)]
pub struct KeepingLoader<'l, L> {
    loader: &'l L,
    kept: RefCell<Vec<TextFile>>,
}

impl<'l, L: Loader> KeepingLoader<'l, L> {
    /// Keeps what `loader` reads.
    pub fn new(loader: &'l L) -> KeepingLoader<'l, L> {
        KeepingLoader { loader, kept: RefCell::default() }
    }

    /// The graph that was checked, with the files that were read meanwhile.
    pub fn into_text(self, source: &Source, overrides: &Overrides) -> GraphText {
        GraphText {
            graph: TextFile { path: source.name.clone(), text: source.text.clone() },
            includes: self.kept.into_inner(),
            params: overrides.params.clone(),
            placements: overrides.placements.clone(),
        }
    }
}

impl<L: Loader> Loader for KeepingLoader<'_, L> {
    fn read(&self, path: &str, limit: usize) -> Result<String, LoadError> {
        let text = self.loader.read(path, limit)?;
        let mut kept = self.kept.borrow_mut();
        if kept.iter().all(|file| file.path != path) {
            kept.push(TextFile { path: path.to_owned(), text: text.clone() });
        }
        Ok(text)
    }
}
