//! A model and its sequences, by where they are computed: the one place where backends are told apart.

use std::ops::Range;
#[cfg(feature = "gpu")]
use std::sync::Arc;

use nanomind_hal::Lane;
#[cfg(feature = "gpu")]
use nanomind_kernels::backend::Gpu;
use nanomind_kernels::backend::{Answer, KvGeometry, Span};
use nanomind_kernels::{Backend, BackendError, Cpu, KvFormat};

use super::forward::{Network, Wanted};
use super::interchange::KvInterchange;
use super::model::{Logits, Reading};
use super::segments::{Segment, Window, total};
use super::sequence::Sequence;
use crate::tokenizer::TokenId;

/// A model on its backend.
pub(super) enum Placed {
    Cpu(Box<Network<Cpu>>),
    #[cfg(feature = "gpu")]
    Gpu(Box<Network<Gpu>>),
}

/// What a sequence has on the backend of its model.
pub(super) enum State {
    Cpu(Box<SequenceState<Cpu>>),
    #[cfg(feature = "gpu")]
    Gpu(Box<SequenceState<Gpu>>),
}

/// The same of whichever backend a value is on.
macro_rules! on_any {
    ($value:expr, $of:ident($inner:pat) => $body:expr) => {
        match $value {
            $of::Cpu($inner) => $body,
            #[cfg(feature = "gpu")]
            $of::Gpu($inner) => $body,
        }
    };
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
            #[cfg(feature = "gpu")]
            State::Gpu(_) => None,
        }
    }
}

#[cfg(feature = "gpu")]
impl Place for Gpu {
    fn of(state: &mut State) -> Option<&mut SequenceState<Gpu>> {
        match state {
            State::Gpu(state) => Some(state),
            State::Cpu(_) => None,
        }
    }
}

/// What a step gives: `Logits`, or the tokens of the largest ones alone, which are cheaper to bring to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Logits,
    Picks,
}

impl Placed {
    /// A sequence's state for `context` positions, computed in chunks of up to `chunk`.
    pub(super) fn state(
        &self,
        geometry: KvGeometry,
        kv_cache: KvFormat,
        context: usize,
        chunk: usize,
    ) -> Result<State, BackendError> {
        match self {
            Placed::Cpu(network) => Ok(State::Cpu(Box::new(network.state(geometry, kv_cache, context, chunk)?))),
            #[cfg(feature = "gpu")]
            Placed::Gpu(network) => Ok(State::Gpu(Box::new(network.state(geometry, kv_cache, context, chunk)?))),
        }
    }

    /// Whether `state` is on this backend, and of the same device.
    pub(super) fn takes(&self, state: &State) -> bool {
        match (self, state) {
            (Placed::Cpu(_), State::Cpu(_)) => true,
            #[cfg(feature = "gpu")]
            (Placed::Gpu(network), State::Gpu(state)) => {
                Arc::ptr_eq(network.backend().kernels(), state.backend.kernels())
            }
            #[cfg(feature = "gpu")]
            _ => false,
        }
    }

    /// In what form answers come where only the largest logit of a row matters.
    pub(super) fn greedy_form(&self) -> Form {
        match self {
            // The logits are in the host's memory as it is.
            Placed::Cpu(_) => Form::Logits,
            #[cfg(feature = "gpu")]
            Placed::Gpu(_) => Form::Picks,
        }
    }

    /// Computes the positions of `window`, which follow those of `sequence`; answers go to the places `answers` of what
    /// the sequence holds of their form.
    pub(super) fn read(
        &self,
        lane: &Lane,
        sequence: &mut Sequence,
        window: Window<'_>,
        wanted: Logits,
        form: Form,
        answers: Range<usize>,
    ) -> Result<(), BackendError> {
        match self {
            Placed::Cpu(network) => network.read(lane, sequence, window, wanted, form, answers),
            #[cfg(feature = "gpu")]
            Placed::Gpu(network) => {
                network.read(lane, sequence, window, wanted, form, answers)?;
                // Rows of slots were sent to the device.
                window.count_copied(network.decoder().width);
                Ok(())
            }
        }
    }

    /// Computes the next positions of all `readings`; the answers go to the first sequence.
    pub(super) fn read_batch(&self, lane: &Lane, readings: &mut [Reading<'_>], form: Form) -> Result<(), BackendError> {
        on_any!(self, Placed(network) => network.read_batch(lane, readings, form))
    }

    /// Writes the embedding of `token`, which must be below the vocabulary size, to `out`, `[width]`.
    pub(super) fn embedding_row(&self, token: TokenId, out: &mut [f32]) {
        on_any!(self, Placed(network) => network.embedding_row(token, out))
    }
}

impl State {
    /// Writes the keys and values of its range into `state`.
    pub(super) fn export(&self, state: &mut KvInterchange) -> Result<(), BackendError> {
        on_any!(self, State(own) => own.export(state))
    }

    /// Takes `state` to its place.
    pub(super) fn import(&mut self, state: &KvInterchange) -> Result<(), BackendError> {
        on_any!(self, State(own) => own.import(state))
    }
}

impl<B: Backend> SequenceState<B> {
    fn export(&self, state: &mut KvInterchange) -> Result<(), BackendError> {
        self.backend.read_kv(&self.cache, &state.range, &mut state.keys, &mut state.values)
    }

    fn import(&mut self, state: &KvInterchange) -> Result<(), BackendError> {
        self.backend.write_kv(&mut self.cache, &state.range, &state.keys, &state.values)
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
    ) -> Result<SequenceState<B>, BackendError> {
        let backend = self.backend().clone();
        let cache = backend.kv_cache(geometry, kv_cache, context)?;
        let workspace = backend.workspace(self.decoder(), chunk)?;
        Ok(SequenceState { backend, cache, workspace })
    }

    fn read(
        &self,
        lane: &Lane,
        sequence: &mut Sequence,
        window: Window<'_>,
        wanted: Logits,
        form: Form,
        answers: Range<usize>,
    ) -> Result<(), BackendError> {
        let (first, vocab) = (sequence.len(), self.decoder().vocab);
        let Sequence { state, logits, picks, .. } = sequence;
        let SequenceState { cache, workspace, .. } = own::<B>(state);
        let answer = match form {
            Form::Logits => Answer::Logits(&mut logits[answers.start * vocab..answers.end * vocab]),
            Form::Picks => Answer::Picks(&mut picks[answers]),
        };
        let wanted = match wanted {
            Logits::None => Wanted::None,
            Logits::Last => Wanted::Last(answer),
            Logits::All => Wanted::All(answer),
        };
        self.run(lane, workspace, &mut [Span { cache, inputs: &window, first }], wanted)?;
        sequence.append(window);
        Ok(())
    }

    fn read_batch(&self, lane: &Lane, readings: &mut [Reading<'_>], form: Form) -> Result<(), BackendError> {
        let segments: Vec<[Segment<'_>; 1]> =
            readings.iter().map(|reading| [Segment::Tokens(reading.tokens)]).collect();
        let windows: Vec<Window<'_>> = segments.iter().map(|segment| Window::new(segment, 0, total(segment))).collect();
        let rows = windows.iter().map(Window::len).sum();
        let mut lent = None;
        let mut spans: Vec<Span<'_, B>> = Vec::with_capacity(readings.len());
        for (reading, window) in readings.iter_mut().zip(&windows) {
            let first = reading.sequence.len();
            if lent.is_none() {
                reading.sequence.make_room(rows, self.decoder().vocab, form);
            }
            let Sequence { state, logits, picks, .. } = &mut *reading.sequence;
            let SequenceState { cache, workspace, .. } = own::<B>(state);
            lent.get_or_insert((workspace, logits, picks));
            spans.push(Span { cache, inputs: window, first });
        }
        let Some((workspace, logits, picks)) = lent else { return Ok(()) };
        self.backend().make_room(self.decoder(), workspace, rows)?;
        let answer = match form {
            Form::Logits => Answer::Logits(logits),
            Form::Picks => Answer::Picks(picks),
        };
        self.run(lane, workspace, &mut spans, Wanted::All(answer))?;
        for (reading, window) in readings.iter_mut().zip(windows) {
            reading.sequence.append(window);
        }
        Ok(())
    }
}

/// What a checked sequence has on the backend of its model.
fn own<B: Place>(state: &mut State) -> &mut SequenceState<B> {
    B::of(state).expect("a sequence is checked to be on the backend of its model")
}
