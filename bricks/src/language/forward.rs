//! The forward pass of a few rows: through every layer to logits, on whichever backend holds the model.
//!
//! The rows are a chunk of one sequence, or a few positions of each of several: weights are read once for all of them.

use nanomind_hal::Lane;
use nanomind_kernels::backend::{Decoder, Pass, Span};
use nanomind_kernels::{Backend, RopeTable};

use super::weights::Weights;
use crate::loader::ModelError;
use crate::tokenizer::TokenId;

/// Which rows of a pass need logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    None,
    Last,
    All,
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
    ) -> Result<Network<B>, ModelError> {
        let rope = backend.rope(rope).map_err(|source| weights.refused("rope_freqs.weight", source))?;
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

    /// Computes all rows of `spans`, for which `workspace` has room, fills their positions of the caches, and writes the
    /// wanted logits to `logits`, one `[vocab]` a wanted row.
    pub(super) fn run(
        &self,
        lane: &Lane,
        workspace: &mut B::Workspace,
        spans: &mut [Span<'_, B>],
        wanted: Wanted,
        logits: &mut [f32],
    ) {
        let rows: usize = spans.iter().map(|span| span.inputs.len()).sum();
        let layers = &self.weights.layers;
        let mut pass = self.backend.pass(lane, &self.decoder, &self.rope, workspace, spans);
        self.weights.with_table(|table| pass.embed(&table));
        for (index, layer) in layers.iter().enumerate() {
            // The last layer's keys and values are wanted for every row, all else only for rows with logits.
            let from = match wanted {
                Wanted::All => 0,
                _ if index + 1 < layers.len() => 0,
                Wanted::Last => rows - 1,
                Wanted::None => rows,
            };
            pass.project_attention(&layer.attention_norm, &layer.query, &layer.key, &layer.value);
            pass.store(index);
            if from < rows {
                pass.attend(index, &layer.output, from);
                pass.feed_forward(&layer.feed_forward_norm, &layer.gate, &layer.up, &layer.down, from);
            }
        }
        let from = match wanted {
            Wanted::None => return,
            Wanted::Last => rows - 1,
            Wanted::All => 0,
        };
        pass.head(&self.weights.output_norm, &self.weights.head, from, logits);
    }
}
