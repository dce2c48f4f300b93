//! One graph file as its author wrote it: sections, nodes and edges with their places, parameters filled in.
mod edge;
mod include;
mod params;
mod policies;
mod sections;

pub(crate) use edge::EdgeDecl;
pub(crate) use include::IncludeDecl;
pub(crate) use params::Given;
pub(crate) use policies::{PlacementDecl, RestartDecl, power};

use crate::{
    PowerPolicy,
    tree::{Tree, Word},
};

/// Most nodes of a graph, includes counted.
pub(crate) const MOST_NODES: usize = 1024;
/// Most edges of a graph, includes counted.
pub(crate) const MOST_EDGES: usize = 4096;

/// A graph file.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// `name:`, empty if it is missing.
    pub(crate) name: String,
    pub(crate) includes: Vec<IncludeDecl>,
    pub(crate) nodes: Vec<NodeDecl>,
    pub(crate) edges: Vec<EdgeDecl>,
    pub(crate) placement: Vec<(Word, PlacementDecl)>,
    pub(crate) restart: Vec<(Word, RestartDecl)>,
    pub(crate) power: Option<PowerPolicy>,
    /// Whether a section is misspelt and `edges:` is missing, so that nothing is certain about the edges.
    pub(crate) edges_misspelt: bool,
    /// The word `Graph`.
    pub(crate) head: crate::Span,
}

/// A node as written.
#[derive(Debug)]
pub(crate) struct NodeDecl {
    pub(crate) name: Word,
    pub(crate) kind: Word,
    pub(crate) fields: Vec<(Word, Tree)>,
    /// A value without a field name, as in `Llm("scene.gguf")`.
    pub(crate) nameless: Option<Tree>,
}

pub(crate) use sections::{SKELETON, read};
