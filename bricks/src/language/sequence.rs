//! One sequence of positions: its key-value cache, what it has read, and the workspace in which it computes.

use nanomind_kernels::backend::{KvGeometry, KvRange};
use nanomind_kernels::{BackendError, KvFormat, KvLayout, ShapeError};

use super::config::LanguageConfig;
use super::interchange::{KvError, KvInterchange};
use super::model::LanguageModel;
use super::placed::{Form, State};
use super::segments::{Segment, Window};
use crate::tokenizer::TokenId;
use crate::vision::PictureDigest;

/// Positions that are computed at once unless the caller says otherwise.
pub const DEFAULT_CHUNK: usize = 256;

/// Why a sequence could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// No position fits.
    #[error("context of {context} and chunk of {chunk} positions: expected both to be at least 1")]
    Empty {
        /// Positions asked for.
        context: usize,
        /// Chunk asked for.
        chunk: usize,
    },
    /// The model was not trained on so long a context.
    #[error("context of {asked} positions: expected at most the model's {trained}")]
    ContextTooLong {
        /// Positions asked for.
        asked: usize,
        /// Positions of the model.
        trained: usize,
    },
    /// Heads of the model are no whole number of blocks of the cache's format.
    #[error(transparent)]
    Heads(ShapeError),
    /// The device does not keep such keys and values, or is lost.
    #[error(transparent)]
    Device(BackendError),
    /// The cache or the workspace does not fit into memory.
    #[error(
        "context of {context} positions needs {bytes} bytes of key-value cache and workspace, which the system refuses"
    )]
    OutOfMemory {
        /// Positions asked for.
        context: usize,
        /// Bytes that they take.
        bytes: u64,
    },
}

/// What stands at a position of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryEntry {
    /// A token.
    Token(TokenId),
    /// An embedding row, by what it is known by; `None`: nothing can be compared with it.
    Row(Option<RowKey>),
}

impl HistoryEntry {
    /// Whether both surely stand for the same input of the model.
    pub fn is_same_as(&self, other: &HistoryEntry) -> bool {
        match (self, other) {
            (HistoryEntry::Token(a), HistoryEntry::Token(b)) => a == b,
            (HistoryEntry::Row(Some(a)), HistoryEntry::Row(Some(b))) => a == b,
            _ => false,
        }
    }
}

/// What an embedding row is known by. Rows of the same key are the same row, whichever slot they are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// What the row was made of, and by whom.
    pub source: PictureDigest,
    /// Which of the rows of that source it is.
    pub index: usize,
}

/// What a sequence is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceOptions {
    /// Positions of the key-value cache.
    pub context: usize,
    /// Positions that are computed at once.
    pub chunk: usize,
    /// How keys and values are kept.
    pub kv_cache: KvFormat,
}

impl SequenceOptions {
    /// Up to `context` positions in half precision, computed in chunks of up to [`DEFAULT_CHUNK`].
    pub fn new(context: usize) -> SequenceOptions {
        SequenceOptions { context, chunk: DEFAULT_CHUNK, kv_cache: KvFormat::F16 }
    }
}

/// The state of one sequence. It belongs to the model that it was made for; any lane may compute its next step.
pub struct Sequence {
    pub(super) state: State,
    /// Logits of the last step that asked for them.
    pub(super) logits: Vec<f32>,
    /// Of a step that wanted no more than those, the tokens with the largest logits, one a row; else empty.
    pub(super) picks: Vec<TokenId>,
    geometry: KvGeometry,
    layout: KvLayout,
    history: Vec<HistoryEntry>,
    chunk: usize,
    width: usize,
}

impl Sequence {
    /// A sequence of up to `context` positions, with what else [`SequenceOptions::new`] says.
    pub fn new(model: &LanguageModel, context: usize) -> Result<Sequence, SequenceError> {
        Sequence::with_options(model, SequenceOptions::new(context))
    }

    /// As [`Sequence::new`] with a workspace for chunks of up to `chunk` positions.
    pub fn with_chunk(model: &LanguageModel, context: usize, chunk: usize) -> Result<Sequence, SequenceError> {
        Sequence::with_options(model, SequenceOptions { chunk, ..SequenceOptions::new(context) })
    }

    /// A sequence made as `options` say. Its chunk is at most its context.
    pub fn with_options(model: &LanguageModel, options: SequenceOptions) -> Result<Sequence, SequenceError> {
        let (SequenceOptions { context, chunk, kv_cache }, config) = (options, model.config());
        if context == 0 || chunk == 0 {
            return Err(SequenceError::Empty { context, chunk });
        }
        if context > config.context_length {
            return Err(SequenceError::ContextTooLong { asked: context, trained: config.context_length });
        }
        let chunk = chunk.min(context);
        let bytes = || memory_bytes(config, kv_cache, context, chunk).unwrap_or(u64::MAX);
        let refused = || SequenceError::OutOfMemory { context, bytes: bytes() };
        let geometry = config.kv_geometry();
        let layout = KvLayout::new(kv_cache, geometry.kv_heads, context, geometry.head_dim);
        let made = layout
            .map_err(BackendError::from)
            .and_then(|layout| Ok((layout, model.placed().state(geometry, kv_cache, context, chunk)?)));
        let (layout, state) = made.map_err(|error| match error {
            BackendError::Shape(error @ ShapeError::UnevenHead { .. }) => SequenceError::Heads(error),
            error if error.is_out_of_memory() => refused(),
            error => SequenceError::Device(error),
        })?;
        let logits = bytemuck::allocation::try_zeroed_vec(config.vocab).map_err(|_| refused())?;
        let mut history = Vec::new();
        history.try_reserve_exact(context).map_err(|_| refused())?;
        Ok(Sequence { state, logits, picks: Vec::new(), geometry, layout, history, chunk, width: config.width })
    }

    /// Positions read so far.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Positions that fit.
    pub fn context(&self) -> usize {
        self.layout.capacity()
    }

    /// Positions still free.
    pub fn remaining(&self) -> usize {
        self.context() - self.len()
    }

    /// Positions that are computed at once.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// What stands at each position.
    pub fn history(&self) -> &[HistoryEntry] {
        &self.history
    }

    /// Bytes of address space that the key-value cache takes when full.
    pub fn cache_bytes(&self) -> usize {
        2 * self.geometry.layers * self.layout.bytes()
    }

    /// Forgets every position from `position` on; does nothing when there are none.
    pub fn truncate(&mut self, position: usize) {
        self.history.truncate(position);
    }

    /// How many leading positions hold exactly the first of `prompt`: what it need not compute again.
    pub fn common_prefix(&self, prompt: &[Segment<'_>]) -> usize {
        let wanted = prompt.iter().flat_map(Segment::entries);
        self.history.iter().zip(wanted).take_while(|(held, wanted)| held.is_same_as(wanted)).count()
    }

    /// The logits of the last step that asked for them, `[vocab]` (or `[tokens, vocab]` after a prefill of all).
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// As [`Sequence::logits`], for samplers that work in place.
    pub fn logits_mut(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// How keys and values are kept.
    pub fn kv_format(&self) -> KvFormat {
        self.layout.format()
    }

    /// The shape of the key-value cache.
    pub fn kv_geometry(&self) -> KvGeometry {
        self.geometry
    }

    /// Copies part of the key-value state out, in canonical form.
    pub fn export_kv(&self, range: KvRange) -> Result<KvInterchange, KvError> {
        let mut state = KvInterchange::of(self.geometry, range, self.len())?;
        self.state.export(&mut state)?;
        Ok(state)
    }

    /// Writes key-value state into its place. Positions become part of the sequence only by [`Sequence::adopt`].
    pub fn import_kv(&mut self, state: &KvInterchange) -> Result<(), KvError> {
        state.check(self.geometry, self.context())?;
        Ok(self.state.import(state)?)
    }

    /// Declares that the cache now holds `history`, after all of its key-value state was imported.
    pub fn adopt(&mut self, history: &[HistoryEntry]) -> Result<(), KvError> {
        if history.len() > self.context() {
            return Err(KvError::OutOfRange { axis: "positions", start: 0, end: history.len(), limit: self.context() });
        }
        self.history.clear();
        self.history.extend_from_slice(history);
        Ok(())
    }

    /// Makes room for the answers of `rows` rows in one form; there are none in the other then.
    pub(super) fn make_room(&mut self, rows: usize, vocab: usize, form: Form) {
        self.picks.clear();
        match form {
            Form::Logits => self.logits.resize(rows.max(1) * vocab, 0.0),
            Form::Picks => self.picks.resize(rows, 0),
        }
    }

    /// Records that the positions of `window` were computed.
    pub(super) fn append(&mut self, window: Window<'_>) {
        self.history.extend(window.entries());
    }

    /// Width of the model that this was made for.
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// Bytes that a sequence takes when its context is full: key-value cache and workspace. `None` where the model's heads are
/// no whole number of the format's blocks.
pub fn memory_bytes(config: &LanguageConfig, kv_cache: KvFormat, context: usize, chunk: usize) -> Option<u64> {
    let cache = config.kv_geometry().position_bytes(kv_cache)? as u64 * context as u64;
    let row = 2 * config.width + 2 * (config.heads + config.kv_heads) * config.head_dim + 2 * config.feed_forward;
    Some(cache + 4 * (row as u64 * chunk as u64 + config.vocab as u64))
}
