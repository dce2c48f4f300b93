//! What a prefill reads: token ids, and embedding rows that stay in the slot of their producer.

use std::ops::Range;

use nanomind_hal::tabm::SlotReader;
use nanomind_kernels::backend::{Input, Inputs};

use super::sequence::{HistoryEntry, RowKey};
use crate::tokenizer::TokenId;
use crate::vision::PictureDigest;

/// Rows of a slot, one after the other.
#[derive(Clone, Debug)]
pub struct RowRun {
    /// The slot.
    pub rows: SlotReader,
    /// Which of its rows.
    pub range: Range<usize>,
    /// What the rows of the slot were made of, where it is known.
    pub source: Option<PictureDigest>,
}

impl RowRun {
    /// All rows of a slot.
    pub fn whole(rows: SlotReader, source: Option<PictureDigest>) -> RowRun {
        RowRun { range: 0..rows.tokens(), rows, source }
    }

    /// Positions that the run takes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it takes none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    fn row(&self, index: usize) -> &[f32] {
        self.rows.row(self.range.start + index)
    }

    fn key(&self, index: usize) -> Option<RowKey> {
        self.source.map(|source| RowKey { source, index: self.range.start + index })
    }
}

/// A run of positions of a prompt.
#[derive(Clone, Copy)]
pub enum Segment<'a> {
    /// Token ids, looked up in the embedding table of the model.
    Tokens(&'a [TokenId]),
    /// Embedding rows, read in place; no byte of them is moved without arithmetic.
    Rows(&'a RowRun),
}

impl Segment<'_> {
    /// Positions that this segment takes.
    pub fn len(&self) -> usize {
        match self {
            Segment::Tokens(tokens) => tokens.len(),
            Segment::Rows(run) => run.len(),
        }
    }

    /// Whether this segment takes no position.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What each position will be remembered as.
    pub(super) fn entries(&self) -> impl Iterator<Item = HistoryEntry> {
        (0..self.len()).map(|index| self.entry(index))
    }

    fn entry(&self, index: usize) -> HistoryEntry {
        match self {
            Segment::Tokens(tokens) => HistoryEntry::Token(tokens[index]),
            Segment::Rows(run) => HistoryEntry::Row(run.key(index)),
        }
    }
}

/// Positions of all `segments` together.
pub(super) fn total(segments: &[Segment<'_>]) -> usize {
    segments.iter().map(Segment::len).sum()
}

/// The positions of a chunk: a window on a list of segments.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    segments: &'a [Segment<'a>],
    skip: usize,
    len: usize,
}

impl<'a> Window<'a> {
    /// `len` positions from position `skip` of `segments`, which must hold them.
    pub(super) fn new(segments: &'a [Segment<'a>], skip: usize, len: usize) -> Window<'a> {
        debug_assert!(skip + len <= total(segments), "window {skip}+{len} of {} positions", total(segments));
        Window { segments, skip, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What each position will be remembered as.
    pub(super) fn entries(&self) -> impl Iterator<Item = HistoryEntry> {
        self.segments.iter().flat_map(Segment::entries).skip(self.skip).take(self.len)
    }
}

#[cfg(feature = "gpu")]
impl Window<'_> {
    /// Counts the rows of slots, of `width` values each, as copied.
    pub(super) fn count_copied(&self, width: usize) {
        let (mut before, window) = (0, self.skip..self.skip + self.len);
        for segment in self.segments {
            let (first, end) = (before.max(window.start), (before + segment.len()).min(window.end));
            if let Segment::Rows(run) = segment
                && first < end
            {
                run.rows.count_copied(((end - first) * width * size_of::<f32>()) as u64);
            }
            before += segment.len();
        }
    }
}

impl Inputs for Window<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Input<'_> {
        let mut index = self.skip + index;
        for segment in self.segments {
            if index < segment.len() {
                return match segment {
                    Segment::Tokens(tokens) => Input::Token(tokens[index]),
                    Segment::Rows(run) => Input::Row(run.row(index)),
                };
            }
            index -= segment.len();
        }
        unreachable!("a window lies inside its segments")
    }

    fn has_rows(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Rows(_)))
    }
}

/// A segment that owns what it names, as a request holds it while it waits.
#[derive(Clone)]
pub enum PromptPart {
    /// Token ids.
    Tokens(Vec<TokenId>),
    /// Embedding rows in their producer's slot.
    Rows(RowRun),
}

impl PromptPart {
    /// This part as a borrowed segment.
    pub fn as_segment(&self) -> Segment<'_> {
        match self {
            PromptPart::Tokens(tokens) => Segment::Tokens(tokens),
            PromptPart::Rows(run) => Segment::Rows(run),
        }
    }

    /// What is left of `parts` without their first `positions`. Slots of which nothing is left are given back.
    pub fn skip(parts: Vec<PromptPart>, positions: usize) -> Vec<PromptPart> {
        let mut skipped = positions;
        let rest = |part: PromptPart| {
            let len = part.as_segment().len();
            let gone = skipped.min(len);
            skipped -= gone;
            (gone < len).then(|| part.without_first(gone))
        };
        parts.into_iter().filter_map(rest).collect()
    }

    fn without_first(self, positions: usize) -> PromptPart {
        match self {
            PromptPart::Tokens(mut tokens) => {
                tokens.drain(..positions);
                PromptPart::Tokens(tokens)
            }
            PromptPart::Rows(run) => {
                let range = run.range.start + positions..run.range.end;
                PromptPart::Rows(RowRun { range, ..run })
            }
        }
    }
}
