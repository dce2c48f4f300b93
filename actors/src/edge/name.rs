//! The name of an edge: both of its ends, as written in the graph.

use std::fmt;
use std::sync::Arc;

/// `mind.text → reply.text`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EdgeName {
    /// The producing node.
    pub from_node: Arc<str>,
    /// Its output port.
    pub from_port: Arc<str>,
    /// The consuming node.
    pub to_node: Arc<str>,
    /// Its input port.
    pub to_port: Arc<str>,
}

impl EdgeName {
    /// From `(node, port)` to `(node, port)`.
    pub fn new(from: (&str, &str), to: (&str, &str)) -> EdgeName {
        EdgeName { from_node: from.0.into(), from_port: from.1.into(), to_node: to.0.into(), to_port: to.1.into() }
    }
}

impl fmt::Display for EdgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} → {}.{}", self.from_node, self.from_port, self.to_node, self.to_port)
    }
}
