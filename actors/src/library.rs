//! The node library: every kind of node that a graph may name, with the code that makes one.

use std::rc::Rc;

use indexmap::IndexMap;
use nanomind_graphs::{NodeSpec, PlannedNode, Registry, SpecError};

use crate::error::NodeError;
use crate::node::Node;

/// Makes a node of one kind from its plan. Called again for every restart.
pub type Constructor = Rc<dyn Fn(&PlannedNode) -> Result<Box<dyn Node>, NodeError>>;

/// Kinds of nodes: their specifications, which the check of a graph reads, and their constructors, which the runtime
/// calls.
#[derive(Clone, Default)]
pub struct NodeLibrary {
    registry: Registry,
    constructors: IndexMap<String, Constructor>,
}

impl NodeLibrary {
    /// A library without any kind.
    pub fn empty() -> NodeLibrary {
        NodeLibrary::default()
    }

    /// The kinds that come with nanomind.
    ///
    /// # Errors
    /// Never in a released version: a test registers them all.
    pub fn standard() -> Result<NodeLibrary, SpecError> {
        let mut library = NodeLibrary::empty();
        crate::nodes::register_all(&mut library)?;
        Ok(library)
    }

    /// Adds a kind. A graph that names it is checked against `spec` with the same diagnostics as for any other kind.
    ///
    /// # Errors
    /// When the specification contradicts itself or the kind exists already.
    pub fn register<N: Node + 'static>(
        &mut self,
        spec: NodeSpec,
        constructor: impl Fn(&PlannedNode) -> Result<N, NodeError> + 'static,
    ) -> Result<(), SpecError> {
        self.register_boxed(spec, move |plan| Ok(Box::new(constructor(plan)?) as Box<dyn Node>))
    }

    /// As [`NodeLibrary::register`], of nodes that only their trait is known of.
    pub(crate) fn register_boxed(
        &mut self,
        spec: NodeSpec,
        constructor: impl Fn(&PlannedNode) -> Result<Box<dyn Node>, NodeError> + 'static,
    ) -> Result<(), SpecError> {
        let kind = spec.kind.clone();
        self.registry.register(spec)?;
        self.constructors.insert(kind, Rc::new(constructor));
        Ok(())
    }

    /// The specifications, for a check or a reference.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn constructor(&self, kind: &str) -> Option<Constructor> {
        self.constructors.get(kind).cloned()
    }
}
