//! How a prompt takes in the rows of a picture: runs of rows, and words of the template between them.

use std::ops::Range;
use std::sync::Arc;

use super::framing::TilePlan;

/// A part of a picture in a prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Span {
    /// These rows of the slot.
    Rows(Range<usize>),
    /// Text that stands between rows, in which special tokens are parsed (SmolVLM's `<row_1_col_1>`).
    Text(Arc<str>),
}

/// What the rows of a slot are, in the order in which a prompt takes them in. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowLayout {
    parts: Arc<Parts>,
}

#[derive(PartialEq, Eq, Debug)]
struct Parts {
    spans: Box<[Span]>,
    tile: Option<(usize, TilePlan)>,
}

impl RowLayout {
    /// All of `rows` rows, one after the other.
    pub fn whole(rows: usize) -> RowLayout {
        RowLayout::new([Span::Rows(0..rows)])
    }

    /// These parts, in the order of the prompt.
    pub fn new(spans: impl Into<Box<[Span]>>) -> RowLayout {
        RowLayout { parts: Arc::new(Parts { spans: spans.into(), tile: None }) }
    }

    /// The patch embeddings of square `tile` of a picture: a projector's input, not a prompt's.
    pub fn of_tile(rows: usize, tile: usize, plan: TilePlan) -> RowLayout {
        let spans = [Span::Rows(0..rows)].into();
        RowLayout { parts: Arc::new(Parts { spans, tile: Some((tile, plan)) }) }
    }

    /// The parts in the order of the prompt.
    pub fn spans(&self) -> &[Span] {
        &self.parts.spans
    }

    /// Which square of a picture the rows are the patch embeddings of, in the order in which squares are encoded, and
    /// how the picture was cut; `None` where they are something else.
    pub fn tile(&self) -> Option<(usize, TilePlan)> {
        self.parts.tile
    }
}
