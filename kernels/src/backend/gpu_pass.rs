//! The steps of a decoder on a device: recorded one after the other, submitted at once in the end.

use nanomind_hal::gpu::GpuError;

use super::gpu::GpuLinear;
use super::{Answer, BackendError, Decoder, Gpu, GpuWorkspace, Input, Pass, Span, Table};
use crate::gpu::{self, Kernels, Product, RopeAngles, Rows, Sight};

/// Rows on their way through a model on a device, span after span.
pub struct GpuPass<'a, 'b> {
    kernels: &'a Kernels,
    decoder: &'a Decoder,
    rope: &'a RopeAngles,
    workspace: &'a mut GpuWorkspace,
    spans: &'a mut [Span<'b, Gpu>],
    rows: usize,
    recorded: gpu::Pass<'a>,
    /// The first step that could not be recorded: nothing after it is.
    failed: Option<GpuError>,
}

impl<'a, 'b> GpuPass<'a, 'b> {
    pub(super) fn new(
        kernels: &'a Kernels,
        decoder: &'a Decoder,
        rope: &'a RopeAngles,
        workspace: &'a mut GpuWorkspace,
        spans: &'a mut [Span<'b, Gpu>],
    ) -> GpuPass<'a, 'b> {
        let rows = spans.iter().map(|span| span.inputs.len()).sum();
        GpuPass { kernels, decoder, rope, workspace, spans, rows, recorded: kernels.pass(), failed: None }
    }

    /// Records, unless something has failed.
    fn record(&mut self, steps: impl FnOnce(&mut Self) -> Result<(), GpuError>) {
        if self.failed.is_none()
            && let Err(error) = steps(self)
        {
            self.failed = Some(error);
        }
    }

    /// Sends what the rows begin with: tokens alone where the device can look them up, else whole rows.
    fn begin(&mut self, table: &Table<'_, Gpu>) -> Result<(), GpuError> {
        let (kernels, width) = (self.kernels, self.decoder.width);
        let GpuWorkspace { residual, tokens, staged, looked_up, .. } = &mut *self.workspace;
        let inputs = self.spans.iter().flat_map(|span| (0..span.inputs.len()).map(|row| span.inputs.get(row)));
        match table.device {
            Some(linear) if !self.spans.iter().any(|span| span.inputs.has_rows()) => {
                looked_up.clear();
                looked_up.extend(inputs.map(|input| match input {
                    Input::Token(token) => token,
                    Input::Row(_) => 0,
                }));
                tokens.write(kernels, 0, looked_up)?;
                self.recorded.embed(&linear.matrix, tokens, 0, residual.part(0..self.rows))
            }
            _ => {
                staged.resize(self.rows * width, 0.0);
                for (input, out) in inputs.zip(staged.chunks_exact_mut(width)) {
                    match input {
                        Input::Token(token) => (table.host)(token, out),
                        Input::Row(row) => out.copy_from_slice(row),
                    }
                }
                residual.write(kernels, 0, staged)
            }
        }
    }

    /// Attention of the rows of each span, as far as they are among those from `from` on.
    fn look(&mut self, layer: usize, from: usize) -> Result<(), GpuError> {
        let (width, scale) = (self.decoder.query_width(), self.decoder.attention_scale());
        let mut before = 0;
        for span in &*self.spans {
            let end = before + span.inputs.len();
            let rows = before.max(from)..end;
            if !rows.is_empty() {
                let queries = self.workspace.projected.part(rows.clone()).columns(0..width);
                let sight = Sight::Causal { first_position: span.first + rows.start - before };
                let out = self.workspace.attended.part(rows);
                self.recorded.attention(queries, &span.cache.layers[layer], sight, scale, out)?;
            }
            before = end;
        }
        Ok(())
    }
}

impl Pass<Gpu> for GpuPass<'_, '_> {
    fn embed(&mut self, table: &Table<'_, Gpu>) {
        self.record(|pass| pass.begin(table));
    }

    fn project(&mut self, norm: &Rows, projections: &[GpuLinear; 3]) {
        self.record(|pass| {
            let GpuWorkspace { residual, projected, .. } = &*pass.workspace;
            let normed = gpu::Input::RmsNormed(residual.part(0..pass.rows), norm, pass.decoder.norm_epsilon);
            let mut column = 0;
            let products = projections.each_ref().map(|linear| {
                let columns = column..column + linear.matrix.rows();
                column = columns.end;
                let out = projected.part(0..pass.rows).columns(columns);
                Product { matrix: &linear.matrix, epilogue: linear.epilogue(), out }
            });
            pass.recorded.products(normed, &products)
        });
    }

    fn store(&mut self, layer: usize) {
        self.record(|pass| {
            let (query, kv) = (pass.decoder.query_width(), pass.decoder.kv_width());
            let columns = [0..query, query..query + kv, query + kv..query + 2 * kv];
            let mut before = 0;
            for span in &*pass.spans {
                let end = before + span.inputs.len();
                let parts = columns.clone().map(|columns| pass.workspace.projected.part(before..end).columns(columns));
                pass.recorded.rotate_and_store(parts, pass.rope, span.first, &span.cache.layers[layer])?;
                before = end;
            }
            Ok(())
        });
    }

    fn attend(&mut self, layer: usize, output: &GpuLinear, from: usize) {
        self.record(|pass| {
            pass.look(layer, from)?;
            let attended = gpu::Input::Rows(pass.workspace.attended.part(from..pass.rows));
            let residual = pass.workspace.residual.part(from..pass.rows);
            pass.recorded.product(attended, &output.matrix, output.accumulate(), residual)
        });
    }

    fn feed_forward(&mut self, norm: &Rows, [gate, up]: &[GpuLinear; 2], down: &GpuLinear, from: usize) {
        self.record(|pass| {
            let rows = 0..pass.rows - from;
            let GpuWorkspace { residual, hidden, spare, .. } = &*pass.workspace;
            let (residual, hidden, spare) =
                (residual.part(from..pass.rows), hidden.part(rows.clone()), spare.part(rows));
            let normed = gpu::Input::RmsNormed(residual, norm, pass.decoder.norm_epsilon);
            let biases = [gate.bias.as_ref(), up.bias.as_ref()];
            pass.recorded.gate(normed, [&gate.matrix, &up.matrix], biases, hidden, spare)?;
            pass.recorded.product(gpu::Input::Rows(hidden), &down.matrix, down.accumulate(), residual)
        });
    }

    fn head(mut self, norm: &Rows, head: &GpuLinear, from: usize, answer: Answer<'_>) -> Result<(), BackendError> {
        let (rows, vocab) = (self.rows - from, self.decoder.vocab);
        let fetched = matches!(answer, Answer::Logits(_));
        self.record(|pass| {
            pass.workspace.make_logits(pass.kernels, rows, vocab, fetched)?;
            let GpuWorkspace { residual, logits, picks: (picks, picked), fetched, .. } = &*pass.workspace;
            let normed = gpu::Input::RmsNormed(residual.part(from..pass.rows), norm, pass.decoder.norm_epsilon);
            let Some(logits) = logits.as_ref().map(|logits| logits.part(0..rows)) else { return Ok(()) };
            pass.recorded.product(normed, &head.matrix, head.epilogue(), logits)?;
            match (&answer, fetched) {
                (Answer::Logits(_), Some(fetched)) => pass.recorded.fetch_rows(logits, fetched, 0),
                _ => {
                    pass.recorded.argmax(logits, picks, 0)?;
                    pass.recorded.fetch_tokens(picks, 0, rows, picked, 0);
                }
            }
            Ok(())
        });
        let GpuPass { recorded, failed, workspace, .. } = self;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let done = recorded.finish()?;
        match (answer, &workspace.fetched) {
            (Answer::Logits(out), Some(fetched)) => fetched.values(done, &mut out[..rows * vocab])?,
            (Answer::Picks(out), _) => workspace.picks.1.tokens(done, &mut out[..rows])?,
            (Answer::Logits(_), None) => unreachable!("there is a way for logits that are fetched"),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), BackendError> {
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(self.recorded.finish()?.wait()?),
        }
    }
}
