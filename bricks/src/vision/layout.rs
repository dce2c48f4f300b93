//! How a prompt takes in the rows of a picture: runs of rows, and words of the template between them.

use std::ops::Range;
use std::sync::Arc;

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
    spans: Arc<[Span]>,
}

impl RowLayout {
    /// All of `rows` rows, one after the other.
    pub fn whole(rows: usize) -> RowLayout {
        RowLayout { spans: [Span::Rows(0..rows)].into() }
    }

    /// The parts in the order of the prompt.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
}
