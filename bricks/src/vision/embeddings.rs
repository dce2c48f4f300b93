//! Embeddings on their way from brick to brick: rows in a slot, what they were made of, and how a prompt reads them.

use nanomind_hal::tabm::SlotReader;

use super::digest::PictureDigest;
use super::layout::RowLayout;

/// Rows of embeddings, read in place. A clone is another reader of the same slot.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// The rows.
    pub rows: SlotReader,
    /// What they were made of: rows of the same source are the same rows. `None`: nothing can be compared with them.
    pub source: Option<PictureDigest>,
    /// How a prompt takes them in.
    pub layout: RowLayout,
}

impl Embeddings {
    /// Rows that are read from the first to the last.
    pub fn whole(rows: SlotReader, source: Option<PictureDigest>) -> Embeddings {
        let layout = RowLayout::whole(rows.tokens());
        Embeddings { rows, source, layout }
    }
}
