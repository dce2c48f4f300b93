//! The specification of a node kind: its ports, fields, needs and documentation.
use std::fmt;

use nanomind_hal::{AcceleratorKind, Phase};
use serde::{Serialize, Serializer};

use crate::{FieldSpec, PortSpec};

/// Where a node stands in the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Brings data in; mints requests.
    Sensor,
    /// Computes on an accelerator or on the control thread.
    Brick,
    /// Takes data out.
    Sink,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sensor => "sensor",
            Self::Brick => "brick",
            Self::Sink => "sink",
        })
    }
}

/// Memory that a node of a kind needs at worst, beside its edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryNeed {
    /// So many bytes, whatever its fields say.
    Fixed(u64),
    /// The weights of a model, and its KV cache if the node keeps one.
    Model {
        /// The field that names the model.
        field: String,
        /// The field that holds the context length in tokens, if the node keeps a KV cache.
        context: Option<String>,
        /// The field that holds how many such caches it keeps, if they may be several.
        sequences: Option<String>,
        /// The choice that says in which format the KV cache is kept, if the node leaves that open.
        kv_format: Option<String>,
    },
}

/// A field whose large values go only with one value of another field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Demand {
    /// The field, of type [`crate::FieldType::Integer`].
    pub field: String,
    /// Up to this value it demands nothing.
    pub above: i64,
    /// The other field, of type [`crate::FieldType::Bool`].
    pub other: String,
    /// What that must be then.
    pub value: bool,
    /// Why, one sentence.
    pub reason: String,
}

/// A node kind. Whoever implements a node makes one of these and registers it beside the constructor.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeSpec {
    /// Name in a graph, such as `Camera`.
    pub kind: String,
    /// Where it stands in the flow.
    pub role: Role,
    /// What it does, one sentence.
    pub summary: String,
    /// Inputs in order.
    pub inputs: Vec<PortSpec>,
    /// Outputs in order.
    pub outputs: Vec<PortSpec>,
    /// Fields in order.
    pub fields: Vec<FieldSpec>,
    /// Fields that do not go with all values of others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub demands: Vec<Demand>,
    /// Kinds of accelerator that can run it; empty: it needs none.
    #[serde(serialize_with = "serialize_kinds")]
    pub runs_on: Vec<AcceleratorKind>,
    /// What it does there, beside what every accelerator does: an accelerator that lacks one of these phases cannot run it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Memory at worst.
    pub memory: MemoryNeed,
    /// The field, of type [`crate::FieldType::Bytes`], that says how much more it may fill with what it keeps to use again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Whether its outputs are of an earlier time than its inputs, so that a cycle through it is sound.
    pub delays: bool,
    /// Whether a sink only looks on: what it takes is answered by another sink of the graph, if there is one.
    pub onlooker: bool,
    /// `nodes:` and `edges:` of a graph that shows it at work, without the enclosing `Graph(…)`.
    pub example: String,
}

impl NodeSpec {
    /// A kind without ports, fields or needs.
    pub fn new(role: Role, kind: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            role,
            summary: summary.into(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            fields: Vec::new(),
            demands: Vec::new(),
            runs_on: Vec::new(),
            phases: Vec::new(),
            memory: MemoryNeed::Fixed(0),
            cache: None,
            delays: false,
            onlooker: false,
            example: String::new(),
        }
    }

    /// A kind that brings data in.
    pub fn sensor(kind: impl Into<String>, summary: impl Into<String>) -> Self {
        Self::new(Role::Sensor, kind, summary)
    }

    /// A kind that computes.
    pub fn brick(kind: impl Into<String>, summary: impl Into<String>) -> Self {
        Self::new(Role::Brick, kind, summary)
    }

    /// A kind that takes data out.
    pub fn sink(kind: impl Into<String>, summary: impl Into<String>) -> Self {
        Self::new(Role::Sink, kind, summary)
    }

    /// Adds an input.
    pub fn input(mut self, port: PortSpec) -> Self {
        self.inputs.push(port);
        self
    }

    /// Adds an output.
    pub fn output(mut self, port: PortSpec) -> Self {
        self.outputs.push(port);
        self
    }

    /// Adds a field.
    pub fn field(mut self, field: FieldSpec) -> Self {
        self.fields.push(field);
        self
    }

    /// Says that a field does not go with all values of another.
    pub fn demand(mut self, demand: Demand) -> Self {
        self.demands.push(demand);
        self
    }

    /// Says which kinds of accelerator can run it.
    pub fn runs_on(mut self, kinds: &[AcceleratorKind]) -> Self {
        self.runs_on = kinds.to_vec();
        self
    }

    /// Says what it does on an accelerator, beside what every one does.
    pub fn phases(mut self, phases: &[Phase]) -> Self {
        self.phases = phases.to_vec();
        self
    }

    /// Says what memory it needs at worst.
    pub fn memory(mut self, need: MemoryNeed) -> Self {
        self.memory = need;
        self
    }

    /// It keeps what it may use again, in so much memory as the field `field` says.
    pub fn cache(mut self, field: impl Into<String>) -> Self {
        self.cache = Some(field.into());
        self
    }

    /// Its outputs are of an earlier time than its inputs, so a cycle may pass through it.
    pub fn delays(mut self) -> Self {
        self.delays = true;
        self
    }

    /// As a sink it only looks on: a request ends at another sink of the graph, if there is one.
    pub fn onlooker(mut self) -> Self {
        self.onlooker = true;
        self
    }

    /// `nodes:` and `edges:` of a graph that shows it at work; a test holds that it validates.
    pub fn example(mut self, graph_lines: impl Into<String>) -> Self {
        self.example = graph_lines.into();
        self
    }

    /// The input of that name.
    pub fn find_input(&self, name: &str) -> Option<&PortSpec> {
        self.inputs.iter().find(|port| port.name == name)
    }

    /// The output of that name.
    pub fn find_output(&self, name: &str) -> Option<&PortSpec> {
        self.outputs.iter().find(|port| port.name == name)
    }

    /// The field of that name.
    pub fn find_field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name == name)
    }
}

fn serialize_kinds<S: Serializer>(kinds: &[AcceleratorKind], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(kinds.iter().map(|kind| kind.name()))
}
