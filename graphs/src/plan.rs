//! The plan: the proof that a graph is sound. Only [`crate::check`] makes one; whoever holds it need check nothing again.
use std::{fmt, path::Path, time::Duration};

use indexmap::IndexMap;
use serde::Serialize;
use thiserror::Error;

use crate::{
    Diagnostic, FieldValue, Firing, ModelFacts, NodeSpec, Placement, PortType, PowerPolicy, Queue, RestartPolicy, Role,
};

/// A graph that has been checked, with every default filled in.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    pub(crate) name: String,
    pub(crate) nodes: Vec<PlannedNode>,
    pub(crate) edges: Vec<PlannedEdge>,
    pub(crate) power: PowerPolicy,
    pub(crate) memory: MemoryEstimate,
    #[serde(skip)]
    pub(crate) warnings: crate::Report,
}

impl Plan {
    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The nodes in the order of the graph, those of includes first; [`Endpoint::node`] counts in it.
    pub fn nodes(&self) -> &[PlannedNode] {
        &self.nodes
    }

    /// The edges in the order of the graph.
    pub fn edges(&self) -> &[PlannedEdge] {
        &self.edges
    }

    /// What the governor aims for.
    pub fn power(&self) -> PowerPolicy {
        self.power
    }

    /// The same plan with another aim of the governor: nothing that was checked depends on it.
    #[must_use]
    pub fn with_power(self, power: PowerPolicy) -> Plan {
        Plan { power, ..self }
    }

    /// Memory that the graph takes at worst.
    pub fn memory(&self) -> &MemoryEstimate {
        &self.memory
    }

    /// What is odd about the graph but does not stop it.
    pub fn warnings(&self) -> &crate::Report {
        &self.warnings
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&PlannedNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The edges into the node at `index`, with their own indices.
    pub fn edges_into(&self, index: usize) -> impl Iterator<Item = (usize, &PlannedEdge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.to.node == index)
    }

    /// The edges out of the node at `index`, with their own indices.
    pub fn edges_from(&self, index: usize) -> impl Iterator<Item = (usize, &PlannedEdge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.from.node == index)
    }
}

/// Memory at worst, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// What each node or edge adds, largest first; weights that nodes share are counted once.
    pub shares: Vec<MemoryShare>,
    /// The sum.
    pub total: u64,
}

/// What one node or edge adds to the memory of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryShare {
    /// The node, or the edge as `a.x → b.y`.
    pub owner: String,
    /// What for: `weights of smollm2-135m`, `KV cache of 2048 tokens`.
    pub what: String,
    /// Bytes.
    pub bytes: u64,
}

/// A node of a plan.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PlannedNode {
    /// Its name, with the include that it came through: `mind`, `voice.mic`.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it stands in the flow.
    pub role: Role,
    /// Where it may run.
    pub placement: Placement,
    /// The accelerators of this machine that can run it and that its placement allows, preferred first; empty for a
    /// node that needs none.
    pub candidates: Vec<nanomind_hal::AcceleratorId>,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// Its fields, defaults filled in; an optional field that is not set is absent.
    pub values: IndexMap<String, FieldValue>,
    /// Facts of the models that its fields name, by field.
    pub models: IndexMap<String, ModelFacts>,
    /// Its specification, as registered.
    #[serde(skip)]
    pub spec: NodeSpec,
}

/// A node asked for a field that its own specification does not have, or as another type.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("node {node} ({kind}), field {field}: expected {expected}, found {found}")]
pub struct FieldError {
    /// The node.
    pub node: String,
    /// Its kind.
    pub kind: String,
    /// The field.
    pub field: String,
    /// What was asked for.
    pub expected: &'static str,
    /// What there is.
    pub found: &'static str,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident $optional:ident $variant:ident $expected:literal $out:ty => |$value:ident| $read:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When the kind has no such field or it has another type.
        pub fn $name(&self, field: &str) -> Result<$out, FieldError> {
            self.$optional(field)?.ok_or_else(|| self.field_error(field, $expected, "nothing"))
        }

        /// The same of an optional field: `None` when the graph leaves it unset.
        ///
        /// # Errors
        /// When the kind has no such field or it has another type.
        pub fn $optional(&self, field: &str) -> Result<Option<$out>, FieldError> {
            match self.values.get(field) {
                Some(FieldValue::$variant($value)) => Ok(Some($read)),
                Some(other) => Err(self.field_error(field, $expected, other.type_name())),
                None if self.spec.find_field(field).is_some() => Ok(None),
                None => Err(self.field_error(field, $expected, "no such field")),
            }
        }
    )*};
}

impl PlannedNode {
    getters! {
        /// A text field.
        text optional_text Text "text" &str => |value| value.as_str();
        /// A truth value.
        bool optional_bool Bool "bool" bool => |value| *value;
        /// A whole number; its bounds are those of the specification.
        integer optional_integer Integer "integer" i64 => |value| *value;
        /// A number; its bounds are those of the specification.
        number optional_number Number "number" f64 => |value| *value;
        /// A time span.
        duration optional_duration Duration "duration" Duration => |value| *value;
        /// An amount of memory in bytes.
        bytes optional_bytes Bytes "memory" u64 => |value| *value;
        /// A file or directory, relative to the working directory.
        path optional_path Path "path" &Path => |value| value.as_path();
        /// One of the field's words.
        choice optional_choice Choice "choice" &str => |value| value.as_str();
        /// A list.
        list optional_list List "list" &[FieldValue] => |value| value.as_slice();
    }

    /// A list of texts.
    ///
    /// # Errors
    /// When the kind has no such field or it has another type.
    pub fn texts(&self, field: &str) -> Result<Vec<&str>, FieldError> {
        self.optional_list(field)?
            .unwrap_or_default()
            .iter()
            .map(|value| match value {
                FieldValue::Text(text) => Ok(text.as_str()),
                other => Err(self.field_error(field, "list of text", other.type_name())),
            })
            .collect()
    }

    /// The facts of the model that a field names, its file among them.
    ///
    /// # Errors
    /// When the kind has no such field or it is no model.
    pub fn model(&self, field: &str) -> Result<&ModelFacts, FieldError> {
        self.models.get(field).ok_or_else(|| {
            let found = self.values.get(field).map_or("no such field", FieldValue::type_name);
            self.field_error(field, "model", found)
        })
    }

    fn field_error(&self, field: &str, expected: &'static str, found: &'static str) -> FieldError {
        FieldError { node: self.name.clone(), kind: self.kind.clone(), field: field.to_owned(), expected, found }
    }
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Endpoint {
    /// Index of the node in [`Plan::nodes`].
    pub node: usize,
    /// Its name.
    pub node_name: String,
    /// The port.
    pub port: String,
}

/// `node.port`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node_name, self.port)
    }
}

/// An edge of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedEdge {
    /// The output that it starts at.
    pub from: Endpoint,
    /// The input that it ends in.
    pub to: Endpoint,
    /// What flows through it, embedding widths resolved.
    pub ty: PortType,
    /// How much it holds and what happens when it is full.
    pub queue: Queue,
    /// What an arrival does.
    pub firing: Firing,
}

impl Plan {
    /// The warnings one by one.
    pub fn each_warning(&self) -> impl Iterator<Item = &Diagnostic> {
        self.warnings.diagnostics().iter()
    }
}
