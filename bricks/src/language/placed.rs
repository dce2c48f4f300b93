//! A model and its sequences, by where they are computed: the one place where backends are told apart.

use std::ops::Range;

use nanomind_hal::Lane;
use nanomind_kernels::backend::{KvGeometry, Span};
use nanomind_kernels::{Backend, Cpu, KvFormat, ShapeError};

use super::forward::{Network, Wanted};
use super::interchange::KvInterchange;
use super::model::Reading;
use super::segments::{Segment, Window, total};
use super::sequence::Sequence;
use crate::tokenizer::TokenId;

/// A model on its backend.
pub(super) enum Placed {
    Cpu(Network<Cpu>),
}

/// What a sequence has on the backend of its model.
pub(super) enum State {
    Cpu(SequenceState<Cpu>),
}

/// Keys and values of a sequence, and the memory in which it computes.
pub(super) struct SequenceState<B: Backend> {
    backend: B,
    cache: B::KvCache,
    workspace: B::Workspace,
}

/// A backend that models are placed on.
pub(super) trait Place: Backend {
    /// What a sequence has on this backend; `None` where it is on another.
    fn of(state: &mut State) -> Option<&mut SequenceState<Self>>;
}

impl Place for Cpu {
    fn of(state: &mut State) -> Option<&mut SequenceState<Cpu>> {
        match state {
            State::Cpu(state) => Some(state),
        }
    }
}

impl Placed {
    /// A sequence's state for `context` positions, computed in chunks of up to `chunk`.
    pub(super) fn state(
        &self,
        geometry: KvGeometry,
        kv_cache: KvFormat,
        context: usize,
        chunk: usize,
    ) -> Result<State, ShapeError> {
        match self {
            Placed::Cpu(network) => network.state(geometry, kv_cache, context, chunk).map(State::Cpu),
        }
    }

    /// Whether `state` is on this backend.
    pub(super) fn takes(&self, state: &State) -> bool {
        match (self, state) {
            (Placed::Cpu(_), State::Cpu(_)) => true,
        }
    }

    /// Computes the positions of `window`, which follow those of `sequence`, and writes the wanted logits to `logits` of the
    /// sequence's.
    pub(super) fn read(
        &self,
        lane: &Lane,
        sequence: &mut Sequence,
        window: Window<'_>,
        wanted: Wanted,
        logits: Range<usize>,
    ) {
        match self {
            Placed::Cpu(network) => network.read(lane, sequence, window, wanted, logits),
        }
    }

    /// Computes the next positions of all `readings`; the logits go to the first sequence's.
    pub(super) fn read_batch(&self, lane: &Lane, readings: &mut [Reading<'_>]) {
        match self {
            Placed::Cpu(network) => network.read_batch(lane, readings),
        }
    }

    /// Writes the embedding of `token`, which must be below the vocabulary size, to `out`, `[width]`.
    pub(super) fn embedding_row(&self, token: TokenId, out: &mut [f32]) {
        match self {
            Placed::Cpu(network) => network.embedding_row(token, out),
        }
    }
}

impl State {
    /// Writes the state of `range` into `state`.
    pub(super) fn export(&self, state: &mut KvInterchange) {
        match self {
            State::Cpu(own) => own.export(state),
        }
    }

    /// Takes `state` to its place.
    pub(super) fn import(&mut self, state: &KvInterchange) {
        match self {
            State::Cpu(own) => own.import(state),
        }
    }
}

impl<B: Backend> SequenceState<B> {
    fn export(&self, state: &mut KvInterchange) {
        self.backend.read_kv(&self.cache, &state.range, &mut state.keys, &mut state.values);
    }

    fn import(&mut self, state: &KvInterchange) {
        self.backend.write_kv(&mut self.cache, &state.range, &state.keys, &state.values);
    }
}

/// The steps of a model that belong to one sequence, or to several.
impl<B: Place> Network<B> {
    fn state(
        &self,
        geometry: KvGeometry,
        kv_cache: KvFormat,
        context: usize,
        chunk: usize,
    ) -> Result<SequenceState<B>, ShapeError> {
        let backend = self.backend().clone();
        let cache = backend.kv_cache(geometry, kv_cache, context)?;
        let workspace = backend.workspace(self.decoder(), chunk)?;
        Ok(SequenceState { backend, cache, workspace })
    }

    fn read(&self, lane: &Lane, sequence: &mut Sequence, window: Window<'_>, wanted: Wanted, logits: Range<usize>) {
        let first = sequence.len();
        let Sequence { state, logits: all, .. } = sequence;
        let SequenceState { cache, workspace, .. } = own::<B>(state);
        self.run(lane, workspace, &mut [Span { cache, inputs: &window, first }], wanted, &mut all[logits]);
        sequence.append(window);
    }

    fn read_batch(&self, lane: &Lane, readings: &mut [Reading<'_>]) {
        let segments: Vec<[Segment<'_>; 1]> =
            readings.iter().map(|reading| [Segment::Tokens(reading.tokens)]).collect();
        let windows: Vec<Window<'_>> = segments.iter().map(|segment| Window::new(segment, 0, total(segment))).collect();
        let mut lent = None;
        let mut spans: Vec<Span<'_, B>> = Vec::with_capacity(readings.len());
        for (reading, window) in readings.iter_mut().zip(&windows) {
            let first = reading.sequence.len();
            let Sequence { state, logits, .. } = &mut *reading.sequence;
            let SequenceState { cache, workspace, .. } = own::<B>(state);
            lent.get_or_insert((workspace, logits));
            spans.push(Span { cache, inputs: window, first });
        }
        let Some((workspace, logits)) = lent else { return };
        let rows = windows.iter().map(Window::len).sum();
        self.backend().make_room(self.decoder(), workspace, rows);
        logits.resize(rows * self.decoder().vocab, 0.0);
        self.run(lane, workspace, &mut spans, Wanted::All, logits);
        for (reading, window) in readings.iter_mut().zip(windows) {
            reading.sequence.append(window);
        }
    }
}

/// What a checked sequence has on the backend of its model.
fn own<B: Place>(state: &mut State) -> &mut SequenceState<B> {
    B::of(state).expect("a sequence is checked to be on the backend of its model")
}
