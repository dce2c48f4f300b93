//! Ports of a node: what flows through them and when an arrival makes the node run.
use std::fmt;

use serde::Serialize;

/// The number format of one element of a tensor or an embedding row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// 32-bit float.
    F32,
    /// 16-bit float (IEEE half).
    F16,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
}

impl ElementType {
    /// Bytes that one element takes.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::U8 => "u8",
        })
    }
}

/// How wide an embedding row is, in elements.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// Known when the node is registered.
    Fixed(u32),
    /// Read from the model that the named field refers to; a plan holds [`Width::Fixed`] in its place.
    OfModel {
        /// The field, of type [`crate::FieldType::Model`].
        field: String,
        /// Which of the model's widths it is.
        which: ModelWidth,
    },
    /// The node takes rows of any width.
    Any,
}

/// Which of a model file's widths a port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelWidth {
    /// Rows as the language model takes and makes them (its hidden width).
    Embedding,
    /// Rows as the vision or audio encoder makes them.
    Encoder,
    /// Rows as the projector makes them.
    Projection,
}

impl fmt::Display for ModelWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedding => "embedding width",
            Self::Encoder => "encoder width",
            Self::Projection => "projection width",
        })
    }
}

/// What flows through a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortType {
    /// One picture.
    Image,
    /// A piece of sound.
    Audio,
    /// A piece of text; several pieces of one request make one text.
    Text,
    /// Token ids.
    Tokens,
    /// Embedding rows `[tokens, width]`, carried in token-aware slots.
    Embeddings {
        /// Width of a row.
        width: Width,
        /// Element format of a row.
        element: ElementType,
    },
    /// Something happened; carries no data but its request.
    Event,
    /// Boxes with labels and scores.
    Detections,
    /// Any other array.
    Tensor {
        /// Element format.
        element: ElementType,
        /// Extent of each axis; `None` is any.
        shape: Vec<Option<u32>>,
    },
}

impl PortType {
    /// Embedding rows in F32 as wide as the language model in field `field`.
    pub fn embeddings_of(field: &str) -> Self {
        let width = Width::OfModel { field: field.to_owned(), which: ModelWidth::Embedding };
        Self::Embeddings { width, element: ElementType::F32 }
    }

    /// Whether an output of this type may feed an input of type `input`; widths not yet known fit anything.
    pub fn fits(&self, input: &Self) -> bool {
        match (self, input) {
            (
                Self::Embeddings { width: Width::Fixed(a), element: x },
                Self::Embeddings { width: Width::Fixed(b), element: y },
            ) => a == b && x == y,
            (Self::Embeddings { element: x, .. }, Self::Embeddings { element: y, .. }) => x == y,
            (Self::Tensor { element: x, shape: a }, Self::Tensor { element: y, shape: b }) => {
                x == y && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_none() || b.is_none() || a == b)
            }
            (a, b) => a == b,
        }
    }

    /// The type's name without its parameters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Audio => "Audio",
            Self::Text => "Text",
            Self::Tokens => "Tokens",
            Self::Embeddings { .. } => "Embeddings",
            Self::Event => "Event",
            Self::Detections => "Detections",
            Self::Tensor { .. } => "Tensor",
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(width) => write!(f, "{width}"),
            Self::OfModel { field, which } => write!(f, "{which} of `{field}`"),
            Self::Any => f.write_str("any width"),
        }
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embeddings { width, element } => write!(f, "Embeddings({width}, {element})"),
            Self::Tensor { element, shape } => {
                write!(f, "Tensor({element}, [")?;
                for (axis, extent) in shape.iter().enumerate() {
                    let comma = if axis == 0 { "" } else { ", " };
                    match extent {
                        Some(extent) => write!(f, "{comma}{extent}")?,
                        None => write!(f, "{comma}any")?,
                    }
                }
                f.write_str("])")
            }
            other => f.write_str(other.name()),
        }
    }
}

/// What an arrival on an input does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Firing {
    /// Runs the node.
    Trigger,
    /// Is kept until the next one; does not run the node.
    Latched,
    /// Waits until every joined input has a packet of the same request.
    Joined,
}

impl fmt::Display for Firing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trigger => "trigger",
            Self::Latched => "latched",
            Self::Joined => "joined",
        })
    }
}

/// An input or output of a node kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PortSpec {
    /// Name, unique among the inputs or among the outputs of its node.
    pub name: String,
    /// What flows through it.
    pub ty: PortType,
    /// What an arrival does (inputs; an output has [`Firing::Trigger`], without meaning).
    pub firing: Firing,
    /// Whether a graph must connect it (inputs only).
    pub required: bool,
    /// Whether several edges may end in it (inputs only).
    pub many: bool,
    /// The integer field that says how many packets with slots the node holds on to, beside those that it works on
    /// (inputs only). A request may bring as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keeps: Option<String>,
    /// The integer field that, where a graph sets it, says how many rows a slot holds (outputs only); without it, slots
    /// hold as many as the model makes at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// What it is for, one sentence.
    pub doc: String,
}

impl PortSpec {
    /// A port that triggers its node when something arrives, and that must be connected if it is an input.
    pub fn new(name: impl Into<String>, ty: PortType, doc: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ty,
            firing: Firing::Trigger,
            required: true,
            many: false,
            keeps: None,
            rows: None,
            doc: doc.into(),
        }
    }

    /// The input keeps its last value instead of running the node.
    pub fn latched(mut self) -> Self {
        self.firing = Firing::Latched;
        self
    }

    /// The input waits for the other joined inputs of the same request.
    pub fn joined(mut self) -> Self {
        self.firing = Firing::Joined;
        self
    }

    /// A graph may leave the input unconnected.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Several edges may end in the input; what comes by them is taken in the order of the edges in the graph.
    pub fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// The node holds on to as many packets as the integer field `field` says, so that whoever makes their slots has
    /// enough of them.
    pub fn keeps(mut self, field: impl Into<String>) -> Self {
        self.keeps = Some(field.into());
        self
    }

    /// The slots of the output hold as many rows as the integer field `field` says, where a graph sets it.
    pub fn rows(mut self, field: impl Into<String>) -> Self {
        self.rows = Some(field.into());
        self
    }
}
