//! The graph language: document, diagnostics, port types, checks, plan, pictures. Opens no file, starts no thread.
//!
//! ```ron
//! Graph(
//!     name: "camera-assistant",
//!     include: [Include(file: "voice.ron", as: "voice", params: { "rate": 16000 })],  // its nodes: "voice.mic", ..
//!     // `file: "sources/${source}.ron"` lets a parameter choose among files that take the same parameters.
//!     params: { "device": "/dev/video0", "seed": None },      // None: unset until --set gives it a value
//!     nodes: {
//!         "camera": Camera(device: "$device", every: "1s"),   // "$name": a whole value, "..${name}..": inside a text,
//!         "eye":    VisionEncoder(model: "scene-mmproj.gguf"),    // "$$": a dollar sign
//!         "mind":   Llm(model: "scene.gguf"),
//!     },
//!     edges: [
//!         ("camera", "eye", Latest),                          // a node alone: its only output or input
//!         ("eye.rows", "mind.image", Queue(policy: Block, packets: 4, tokens: 512), Latched),
//!     ],
//!     placement: { "eye": Prefer(["npu", "gpu", "cpu"]), "mind": Pin("cpu:0"), "*": Auto },
//!     restart: { "*": OnFailure(max: 3, within: "1min") },    // or Never, Always(..)
//!     power: Adaptive(high: 0.50, low: 0.20),                 // or AlphaRule(…), Performance, Balanced, PowerSaver
//! )
//! ```
//!
//! Behind the two ends of an edge stand, in any order and each at most once, a queue policy (`Block`, `Latest`,
//! `DropOldest`, `DropNewest`, or `Queue(..)` with a policy and capacities) and a firing rule (`Trigger`, `Latched`,
//! `Joined`). What an edge does not say is taken from the port's type and the input's specification.
//!
//! `power` says what the run aims for: latency (`Performance`), energy (`PowerSaver`: one brick after the other, and standby
//! until something happens), or both (`Balanced`). `AlphaRule(high, low)` goes from the first to the last as the battery
//! empties, with frame rate and work in proportion between the two levels; `Adaptive(high, low)` does so by what is asked of
//! the run too. See [`PowerPolicy`].
//!
//! [`check`] reads a [`Source`] against its [`Surroundings`] and makes the [`Plan`], or the [`Report`] of every mistake.
//! Node kinds are [`NodeSpec`]s in a [`Registry`]; whoever registers one gets the same diagnostics for it.
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
mod power_text;
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
pub use node::{Demand, MemoryNeed, NodeSpec, Role};
pub use overrides::Overrides;
pub use placement::{Placement, PowerPolicy, RestartPolicy};
pub use plan::{Endpoint, FieldError, MemoryEstimate, MemoryShare, Plan, PlannedEdge, PlannedNode};
pub use port::{ElementType, Firing, ModelWidth, PortSpec, PortType, Width};
pub use power_text::read_power;
pub use queue::{Queue, QueuePolicy};
pub use reference::{UnknownKind, example_graph, reference};
pub use registry::{Registry, SpecError};
pub use report::{Drawing, Report};
pub use source::{Location, Source, Span};
pub use suggest::nearest as nearest_word;
pub use surroundings::{LoadError, Loader, Machine, ModelCatalogue, ModelFacts, ModelProblem, NoFiles, Surroundings};
pub use units::{parse_memory, parse_time, show_bytes as show_memory, show_duration as show_time};
