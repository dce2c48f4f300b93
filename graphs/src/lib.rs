//! The graph language: document, diagnostics, port types, checks, plan, pictures. Opens no file, starts no thread.
#![forbid(unsafe_code)]

mod check;
mod diagnostic;
mod document;
mod field;
mod findings;
mod names;
mod node;
mod overrides;
pub mod picture;
mod placement;
mod plan;
mod port;
mod queue;
mod reference;
mod registry;
mod report;
mod source;
mod suggest;
mod surroundings;
mod syntax;
mod tree;
mod units;
mod values;

pub use check::{check, outline};
pub use diagnostic::{Code, Diagnostic, Label, Severity};
pub use field::{FieldSpec, FieldType, FieldValue, Presence};
pub use node::{MemoryNeed, NodeSpec, Role};
pub use overrides::Overrides;
pub use placement::{Placement, PowerPolicy, RestartPolicy};
pub use plan::{Endpoint, FieldError, MemoryEstimate, MemoryShare, Plan, PlannedEdge, PlannedNode};
pub use port::{ElementType, Firing, ModelWidth, PortSpec, PortType, Width};
pub use queue::{Queue, QueuePolicy};
pub use reference::{UnknownKind, example_graph, reference};
pub use registry::{Registry, SpecError};
pub use report::{Drawing, Report};
pub use source::{Location, Source, Span};
pub use surroundings::{LoadError, Loader, Machine, ModelCatalogue, ModelFacts, ModelProblem, NoFiles, Surroundings};
pub use units::{parse_memory, show_bytes as show_memory};
