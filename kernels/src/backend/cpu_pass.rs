//! The steps of a decoder on the CPU: rows of a chunk, or a few positions of each of several sequences, in one workspace.
//!
//! Weights are read once for all rows. Each row is computed alone: rows are split over tasks, never summed over, so a
//! row's result does not depend on the rows that it stands among nor on the number of threads.

use nanomind_hal::Lane;

use super::{Answer, BackendError, Cpu, CpuWorkspace, Decoder, Input, Linear, Pass, Span, Table};
use crate::{Epilogue, Isa, KvView, RopeTable, argmax, attention, matmul, matmul_many, rms_norm, rope};

/// Rows that one task takes when work on rows is split over a lane.
const ROWS_PER_TASK: usize = 16;

/// Rows on their way through a model on the CPU, span after span.
pub struct CpuPass<'a, 'b> {
    isa: Isa,
    lane: &'a Lane,
    decoder: &'a Decoder,
    workspace: &'a mut CpuWorkspace,
    spans: &'a mut [Span<'b, Cpu>],
    rows: usize,
    /// Whether rows of slots are still to join the residual stream: until then they are read where they are.
    apart: bool,
}

impl<'a, 'b> CpuPass<'a, 'b> {
    pub(super) fn new(
        isa: Isa,
        lane: &'a Lane,
        decoder: &'a Decoder,
        rope: &RopeTable,
        workspace: &'a mut CpuWorkspace,
        spans: &'a mut [Span<'b, Cpu>],
    ) -> CpuPass<'a, 'b> {
        workspace.angles.set_positions(rope, spans.iter().flat_map(Span::positions));
        let rows = spans.iter().map(|span| span.inputs.len()).sum();
        let apart = spans.iter().any(|span| span.inputs.has_rows());
        CpuPass { isa, lane, decoder, workspace, spans, rows, apart }
    }

    /// Projects the loaded activations and adds them to the residual of the rows from `from` on. Where rows join from
    /// their slots, the residual of such a row is the slot's row itself, which is read here for the last time.
    fn add_projection(&mut self, linear: &Linear, from: usize) {
        let (lane, width) = (self.lane, self.decoder.width);
        let joins_slots = std::mem::take(&mut self.apart);
        let (workspace, spans) = (&mut *self.workspace, &*self.spans);
        let rows = self.rows - from;
        let residual = &mut workspace.residual[from * width..self.rows * width];
        if linear.bias.is_none() && !joins_slots {
            matmul(lane, &linear.matrix, &workspace.activations, residual, Epilogue::Accumulate);
            return;
        }
        let projected = &mut workspace.normed[..rows * width];
        matmul(lane, &linear.matrix, &workspace.activations, projected, linear.epilogue());
        let projected = &*projected;
        for_rows(lane, residual, width, |row, out| {
            let projected = &projected[row * width..(row + 1) * width];
            match input(spans, from + row) {
                Input::Row(slot) if joins_slots => {
                    for ((out, slot), projected) in out.iter_mut().zip(slot).zip(projected) {
                        *out = slot + projected;
                    }
                }
                _ => {
                    for (out, projected) in out.iter_mut().zip(projected) {
                        *out += projected;
                    }
                }
            }
        });
    }
}

impl Pass<Cpu> for CpuPass<'_, '_> {
    fn embed(&mut self, table: &Table<'_, Cpu>) {
        let (spans, width) = (&*self.spans, self.decoder.width);
        for_rows(self.lane, &mut self.workspace.residual[..self.rows * width], width, |index, row| {
            if let Input::Token(token) = input(spans, index) {
                (table.host)(token, row);
            }
        });
    }

    fn project(&mut self, norm: &Vec<f32>, [query, key, value]: &[Linear; 3]) {
        let (lane, isa, rows) = (self.lane, self.isa, self.rows);
        let Decoder { width, norm_epsilon, .. } = *self.decoder;
        let (workspace, spans) = (&mut *self.workspace, &*self.spans);
        let matrices = [&query.matrix, &key.matrix, &value.matrix];
        if self.apart {
            let residual = &workspace.residual;
            let normed = &mut workspace.normed[..rows * width];
            for_rows(lane, normed, width, |row, out| {
                let input = match input(spans, row) {
                    Input::Row(slot) => slot,
                    Input::Token(_) => &residual[row * width..(row + 1) * width],
                };
                rms_norm(isa, input, norm, norm_epsilon, out);
            });
            workspace.activations.load_for(lane, normed, &matrices);
        } else {
            let residual = &workspace.residual[..rows * width];
            workspace.activations.load_rms_norm(lane, residual, norm, norm_epsilon, &matrices);
        }
        let query = query.product(&mut workspace.query[..rows * query.matrix.rows()]);
        let key = key.product(&mut workspace.key[..rows * key.matrix.rows()]);
        let value = value.product(&mut workspace.value[..rows * value.matrix.rows()]);
        matmul_many(lane, &workspace.activations, &mut [query, key, value]);
    }

    fn store(&mut self, layer: usize) {
        let Decoder { heads, kv_heads, head_dim, .. } = *self.decoder;
        let (lane, isa) = (self.lane, self.isa);
        let workspace = &mut *self.workspace;
        let angles = &workspace.angles;
        for (rows_of, count) in [(&mut workspace.query, heads), (&mut workspace.key, kv_heads)] {
            let width = count * head_dim;
            for_tasks(lane, &mut rows_of[..self.rows * width], width, |row, slice| {
                rope(isa, slice, count, head_dim, angles, row);
            });
        }
        let (width, mut before) = (self.decoder.kv_width(), 0);
        for span in &mut *self.spans {
            let (layout, rows) = (span.cache.layout(), span.inputs.len());
            let sides = span.cache.layer_mut(layer).into_iter().zip([&workspace.key, &workspace.value]);
            for ((side, kept), rows_of) in sides {
                let rows_of = &rows_of[before * width..(before + rows) * width];
                layout.store(lane, isa, side, span.first, rows_of, kept);
            }
            before += rows;
        }
    }

    fn attend(&mut self, layer: usize, output: &Linear, from: usize) {
        let (heads, scale, width) = (self.decoder.heads, self.decoder.attention_scale(), self.decoder.query_width());
        let (lane, isa, spans) = (self.lane, self.isa, &*self.spans);
        let queries = &self.workspace.query[from * width..self.rows * width];
        let attended = &mut self.workspace.attended[from * width..self.rows * width];
        // Queries of rows that follow each other in `span`, the first of them its row `row`.
        let attend = |lane: &Lane, span: &Span<'_, Cpu>, row: usize, queries: &[f32], out: &mut [f32]| {
            let (keys, values) = span.cache.layer(layer);
            let view = KvView::new(span.cache.layout(), heads, keys, values);
            attention(lane, isa, queries, &view, span.first + row, scale, out);
        };
        match spans {
            [span] => attend(lane, span, from, queries, attended),
            // Each row on a thread of its own: heads of one row are too few to keep threads busy evenly.
            _ if spans.len() >= lane.threads() => lane.for_each_chunk_mut(attended, width, |index, out| {
                let (span, row) = locate(spans, from + index);
                attend(&Lane::single(), &spans[span], row, &queries[index * width..(index + 1) * width], out);
            }),
            _ => {
                for (index, out) in attended.chunks_exact_mut(width).enumerate() {
                    let (span, row) = locate(spans, from + index);
                    attend(lane, &spans[span], row, &queries[index * width..(index + 1) * width], out);
                }
            }
        }
        self.workspace.activations.load_for(lane, attended, &[&output.matrix]);
        self.add_projection(output, from);
    }

    fn feed_forward(&mut self, norm: &Vec<f32>, [gate, up]: &[Linear; 2], down: &Linear, from: usize) {
        let lane = self.lane;
        let Decoder { width, feed_forward, norm_epsilon, .. } = *self.decoder;
        let workspace = &mut *self.workspace;
        let rows = self.rows - from;
        let residual = &workspace.residual[from * width..self.rows * width];
        let matrices = [&gate.matrix, &up.matrix];
        workspace.activations.load_rms_norm(lane, residual, norm, norm_epsilon, &matrices);
        let gate_rows = &mut workspace.gate[..rows * feed_forward];
        let up_rows = &mut workspace.up[..rows * feed_forward];
        matmul_many(lane, &workspace.activations, &mut [gate.product(gate_rows), up.product(up_rows)]);
        workspace.activations.load_silu_mul(lane, gate_rows, up_rows, &[&down.matrix]);
        self.add_projection(down, from);
    }

    fn head(self, norm: &Vec<f32>, head: &Linear, from: usize, answer: Answer<'_>) -> Result<(), BackendError> {
        let Decoder { width, vocab, norm_epsilon, .. } = *self.decoder;
        let CpuWorkspace { residual, activations, logits: own, .. } = self.workspace;
        let residual = &residual[from * width..self.rows * width];
        activations.load_rms_norm(self.lane, residual, norm, norm_epsilon, &[&head.matrix]);
        let multiply = |out: &mut [f32]| matmul(self.lane, &head.matrix, activations, out, head.epilogue());
        match answer {
            Answer::Logits(logits) => multiply(logits),
            Answer::Picks(picks) => {
                own.resize((self.rows - from) * vocab, 0.0);
                multiply(own);
                for (pick, logits) in picks.iter_mut().zip(own.chunks_exact(vocab)) {
                    *pick = u32::try_from(argmax(self.isa, logits)).unwrap_or(u32::MAX);
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Which of `spans` row `row` of a pass belongs to, and which of that span's rows it is.
fn locate(spans: &[Span<'_, Cpu>], row: usize) -> (usize, usize) {
    let mut row = row;
    for (index, span) in spans.iter().enumerate() {
        if row < span.inputs.len() {
            return (index, row);
        }
        row -= span.inputs.len();
    }
    unreachable!("a row of a pass lies in one of its spans")
}

/// What row `row` of a pass begins with.
fn input<'a>(spans: &[Span<'a, Cpu>], row: usize) -> Input<'a> {
    let (span, row) = locate(spans, row);
    spans[span].inputs.get(row)
}

/// Calls `work` for each row of `data`, several rows a task.
fn for_rows(lane: &Lane, data: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    for_tasks(lane, data, width, |first, rows| {
        for (index, row) in rows.chunks_exact_mut(width).enumerate() {
            work(first + index, row);
        }
    });
}

/// Calls `work` with the index of its first row for runs of up to [`ROWS_PER_TASK`] rows; few rows stay on this thread.
fn for_tasks(lane: &Lane, data: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let run = ROWS_PER_TASK * width;
    if data.len() <= run {
        work(0, data);
    } else {
        lane.for_each_chunk_mut(data, run, |task, rows| work(task * ROWS_PER_TASK, rows));
    }
}
