//! One mistake: what is wrong, where, and what to do about it.
use std::fmt;

use serde::Serialize;

use crate::source::Span;

/// How much a mistake matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The graph is wrong.
    Error,
    /// The graph is right, but this machine lacks an accelerator that it insists on.
    MissingDevice,
    /// The graph is right, but a model has still to be pulled.
    MissingModel,
    /// The graph runs, but probably not as meant.
    Warning,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What sort of mistake; its text is stable, for scripts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// The stable text, such as `graph::unknown-port`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => concat!("graph::", $text),)* }
            }
        }
    };
}

codes! {
    /// The text is no RON.
    Syntax = "syntax",
    /// The file or its nesting is larger than a graph may be.
    TooLarge = "too-large",
    /// The text is RON but not `Graph(…)`.
    NotAGraph = "not-a-graph",
    /// The graph has no nodes.
    Empty = "empty",
    /// A name that is not letters, digits, `_` and `-`.
    BadName = "bad-name",
    /// A field that `Graph`, `Include`, `Queue` or a policy does not have.
    UnknownSection = "unknown-section",
    /// A name that is given twice.
    Duplicate = "duplicate",
    /// A node kind that is not registered.
    UnknownKind = "unknown-kind",
    /// A field that the node kind does not have.
    UnknownField = "unknown-field",
    /// A field that must be set and is not.
    MissingField = "missing-field",
    /// A value of another type.
    WrongType = "wrong-type",
    /// A value out of its bounds.
    OutOfBounds = "out-of-bounds",
    /// A value that does not go with that of another field.
    Contradiction = "contradiction",
    /// A duration that cannot be read.
    BadDuration = "bad-duration",
    /// An amount of memory that cannot be read.
    BadAmount = "bad-amount",
    /// A word that is not among the possible ones.
    UnknownWord = "unknown-word",
    /// An edge of the wrong shape.
    BadEdge = "bad-edge",
    /// An edge, placement or restart that names no node.
    UnknownNode = "unknown-node",
    /// An edge that names no port of its node.
    UnknownPort = "unknown-port",
    /// An edge that starts at an input or ends in an output.
    PortDirection = "port-direction",
    /// An end without a port where the node has several.
    AmbiguousPort = "ambiguous-port",
    /// An edge between two types.
    TypeMismatch = "type-mismatch",
    /// An edge between embedding rows of two widths.
    WidthMismatch = "width-mismatch",
    /// A required input without an edge.
    Unconnected = "unconnected",
    /// An input with two edges.
    TwoWriters = "two-writers",
    /// A node that nothing can run: every input is latched.
    NeverFires = "never-fires",
    /// A cycle in which no node delays.
    Cycle = "cycle",
    /// A node that no sensor reaches or that reaches no sink.
    Unreachable = "unreachable",
    /// A graph without a sensor.
    NoSensor = "no-sensor",
    /// An accelerator name that means nothing.
    UnknownAccelerator = "unknown-accelerator",
    /// An accelerator that this machine does not have.
    MissingAccelerator = "missing-accelerator",
    /// A brick that no allowed accelerator can run.
    CannotRun = "cannot-run",
    /// A placement for a node that computes on no accelerator.
    NoPlacement = "no-placement",
    /// A model that is not on this machine.
    MissingModel = "missing-model",
    /// A model that is neither in the catalogue nor a file.
    UnknownModel = "unknown-model",
    /// A model file that cannot be used here.
    BadModel = "bad-model",
    /// More context than the model was trained for.
    LongContext = "long-context",
    /// More memory than there is.
    Memory = "memory",
    /// A parameter that is not declared.
    UnknownParameter = "unknown-parameter",
    /// A parameter that nothing uses.
    UnusedParameter = "unused-parameter",
    /// An included file that cannot be read.
    Include = "include",
    /// A file that includes itself.
    IncludeCycle = "include-cycle",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place with what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What to say.
    pub text: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What sort of mistake.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, one sentence.
    pub message: String,
    /// Where, the most telling place first.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
    /// What the mistake is about, for programs: the model to pull, the accelerator to plug in.
    pub subject: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self { code, severity, message: message.into(), labels: Vec::new(), help: None, subject: None }
    }

    pub(crate) fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    pub(crate) fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    pub(crate) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(match self.help {
            Some(before) => format!("{before}\n{}", help.into()),
            None => help.into(),
        });
        self
    }

    pub(crate) fn helps(self, helps: impl IntoIterator<Item = String>) -> Self {
        helps.into_iter().fold(self, Self::help)
    }

    pub(crate) fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    pub(crate) fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }
}
