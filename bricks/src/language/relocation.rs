//! A sequence on its way to another home of its model: from one accelerator's memory to another's, while it goes on.
//!
//! Most of the state is copied while steps are still taken where the sequence is, a few positions between two of them;
//! what is left then is little, and moves when the sequence does.

use std::sync::Arc;

use nanomind_kernels::backend::KvRange;

use super::generation::Generation;
use super::interchange::KvError;
use super::model::LanguageModel;
use super::sequence::{Sequence, SequenceError, SequenceOptions};

/// Why a sequence cannot move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelocationError {
    /// There is no room for it where it is to go.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// It is a sequence of another model.
    #[error(transparent)]
    State(#[from] KvError),
}

/// A copy of a sequence that is being made for `model`, another home of the weights that the sequence was computed with.
pub struct Relocation {
    model: Arc<LanguageModel>,
    copy: Sequence,
}

impl Relocation {
    /// Makes room for a copy of `source`, as large and kept in the same format, at `model`.
    ///
    /// # Errors
    /// There is no room.
    pub fn new(model: &Arc<LanguageModel>, source: &Sequence) -> Result<Relocation, RelocationError> {
        let options =
            SequenceOptions { context: source.context(), chunk: source.chunk(), kv_cache: source.kv_format() };
        Ok(Relocation { model: model.clone(), copy: Sequence::with_options(model, options)? })
    }

    /// Where the sequence goes.
    pub fn model(&self) -> &Arc<LanguageModel> {
        &self.model
    }

    /// Positions of `source` that are still to be copied. Positions that were forgotten and read again otherwise count as
    /// not copied.
    pub fn left(&self, source: &Sequence) -> usize {
        source.len() - self.alike(source)
    }

    /// Copies up to `most` more positions of `source`. Gives the bytes of keys and values that were copied.
    ///
    /// # Errors
    /// `source` is a sequence of another model.
    pub fn copy(&mut self, source: &Sequence, most: usize) -> Result<usize, RelocationError> {
        let from = self.alike(source);
        let to = source.len().min(from.saturating_add(most));
        if from == to {
            return Ok(0);
        }
        let state = source.export_kv(KvRange::positions(source.kv_geometry(), from..to))?;
        self.copy.import_kv(&state)?;
        self.copy.adopt(&source.history()[..to])?;
        Ok(state.bytes())
    }

    /// Copies what is left, and gives the sequence at its new home: with all that `source` holds, and the last
    /// answers.
    ///
    /// # Errors
    /// As [`Relocation::copy`].
    pub fn finish(mut self, source: &Sequence) -> Result<Sequence, RelocationError> {
        self.copy(source, usize::MAX)?;
        self.copy.truncate(source.len());
        self.copy.logits.clone_from(&source.logits);
        self.copy.picks.clone_from(&source.picks);
        Ok(self.copy)
    }

    /// How many leading positions hold the same inputs here and there, and so the same keys and values.
    fn alike(&self, source: &Sequence) -> usize {
        let pairs = self.copy.history().iter().zip(source.history());
        pairs.take_while(|(here, there)| here.is_same_as(there)).count()
    }
}

impl Generation {
    /// Goes on with the model that `relocation` leads to: the next step is taken there, as it would have been here.
    ///
    /// # Errors
    /// The sequence cannot move; the request comes back as it was.
    pub fn relocate(mut self, relocation: Relocation) -> Result<Generation, Box<(RelocationError, Generation)>> {
        let model = relocation.model().clone();
        match relocation.finish(&self.sequence) {
            Ok(sequence) => {
                (self.model, self.sequence) = (model, sequence);
                Ok(self)
            }
            Err(error) => Err(Box::new((error, self))),
        }
    }
}
