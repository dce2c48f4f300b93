//! The forward pass of a few rows: through every layer to logits, on whichever backend holds the model.
//!
//! The rows are a chunk of one sequence, or a few positions of each of several: weights are read once for all of them.

use nanomind_hal::Lane;
use nanomind_kernels::backend::{Answer, Decoder, Pass, Span};
use nanomind_kernels::{Backend, BackendError, RopeTable};

use super::weights::Weights;
use crate::loader::ModelError;
use crate::tokenizer::TokenId;

/// Which rows of a pass need an answer.
#[derive(Debug)]
pub(super) enum Wanted<'a> {
    None,
    Last(Answer<'a>),
    All(Answer<'a>),
}

/// The weights of a model on a backend.
pub(super) struct Network<B: Backend> {
    backend: B,
    decoder: Decoder,
    weights: Weights<B>,
    rope: B::Rope,
}

impl<B: Backend> Network<B> {
    pub(super) fn new(
        backend: B,
        decoder: Decoder,
        weights: Weights<B>,
        rope: RopeTable,
        positions: usize,
    ) -> Result<Network<B>, ModelError> {
        let rope = backend.rope(rope, positions).map_err(|source| weights.refused("rope_freqs.weight", source))?;
        Ok(Network { backend, decoder, weights, rope })
    }

    pub(super) fn backend(&self) -> &B {
        &self.backend
    }

    pub(super) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// As [`Weights::embedding_row`].
    pub(super) fn embedding_row(&self, token: TokenId, out: &mut [f32]) {
        self.weights.embedding_row(&self.backend, token, out);
    }

    /// Computes all rows of `spans`, for which `workspace` has room, fills their positions of the caches, and gives the
    /// wanted answers.
    pub(super) fn run(
        &self,
        lane: &Lane,
        workspace: &mut B::Workspace,
        spans: &mut [Span<'_, B>],
        wanted: Wanted<'_>,
    ) -> Result<(), BackendError> {
        let rows: usize = spans.iter().map(|span| span.inputs.len()).sum();
        let (from, answer) = match wanted {
            Wanted::None => (rows, None),
            Wanted::Last(answer) => (rows - 1, Some(answer)),
            Wanted::All(answer) => (0, Some(answer)),
        };
        let layers = &self.weights.layers;
        let mut pass = self.backend.pass(lane, &self.decoder, &self.rope, workspace, spans);
        self.weights.with_table(&self.backend, |table| pass.embed(table));
        for (index, layer) in layers.iter().enumerate() {
            // The last layer's keys and values are wanted for every row, all else only for rows with an answer.
            let from = if index + 1 < layers.len() { 0 } else { from };
            pass.project(&layer.attention_norm, &layer.attention);
            pass.store(index);
            if from < rows {
                pass.attend(index, &layer.output, from);
                pass.feed_forward(&layer.feed_forward_norm, &layer.gate, &layer.down, from);
            }
        }
        match answer {
            Some(answer) => pass.head(&self.weights.output_norm, &self.weights.head, from, answer),
            None => pass.finish(),
        }
    }
}
