//! The forward pass of a few rows: through every layer to logits, inside one workspace.
//!
//! The rows are a chunk of one sequence, or a few positions of each of several: weights are read once for all of them.
//! Each row is computed alone: rows are split over tasks, never summed over, so a row's result does not depend on the
//! rows that it stands among nor on the number of threads.

use std::ops::Range;

use nanomind_hal::Lane;
use nanomind_kernels::{self as kernels, Epilogue, KvView};

use super::config::LanguageConfig;
use super::kv_cache::KvCache;
use super::model::LanguageModel;
use super::segments::{Position, Window};
use super::weights::Layer;
use super::workspace::Workspace;
use crate::loader::Linear;

/// Rows that one task takes when work on rows is split over a lane.
const ROWS_PER_TASK: usize = 16;

/// Which rows of a pass need logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    None,
    Last,
    All,
}

/// The next positions of one sequence.
pub(super) struct Span<'a> {
    pub(super) cache: &'a mut KvCache,
    pub(super) window: Window<'a>,
    /// Position of the first row in the sequence.
    pub(super) first: usize,
}

impl Span<'_> {
    fn positions(&self) -> Range<usize> {
        self.first..self.first + self.window.len()
    }
}

/// Rows on their way through the model, span after span.
pub(super) struct Pass<'a, 'b> {
    model: &'a LanguageModel,
    lane: &'a Lane,
    workspace: &'a mut Workspace,
    spans: &'a mut [Span<'b>],
    rows: usize,
}

impl<'a, 'b> Pass<'a, 'b> {
    /// A pass over all rows of `spans`, for which `workspace` has room.
    pub(super) fn new(
        model: &'a LanguageModel,
        lane: &'a Lane,
        workspace: &'a mut Workspace,
        spans: &'a mut [Span<'b>],
    ) -> Pass<'a, 'b> {
        let rows = spans.iter().map(|span| span.window.len()).sum();
        Pass { model, lane, workspace, spans, rows }
    }

    /// Computes the rows, fills their positions of the caches, and writes the wanted logits to `logits_at..` of the
    /// workspace, one `[vocab]` a wanted row.
    pub(super) fn run(&mut self, wanted: Wanted, logits_at: usize) {
        let layers = self.model.weights().layers.len();
        let positions = self.spans.iter().flat_map(Span::positions);
        self.workspace.angles.set_positions(self.model.rope(), positions);
        self.embed();
        for index in 0..layers {
            // The last layer's keys and values are wanted for every row, all else only for rows with logits.
            let from = match wanted {
                Wanted::All => 0,
                _ if index + 1 < layers => 0,
                Wanted::Last => self.rows - 1,
                Wanted::None => self.rows,
            };
            self.layer(index, from);
        }
        match wanted {
            Wanted::None => {}
            Wanted::Last => self.head(self.rows - 1, logits_at),
            Wanted::All => self.head(0, logits_at),
        }
    }

    /// Looks the tokens up; rows of a slot stay where they are.
    fn embed(&mut self) {
        let (model, spans) = (self.model, &*self.spans);
        let width = model.config().width;
        for_rows(self.lane, &mut self.workspace.residual[..self.rows * width], width, |index, row| {
            if let Position::Token(token) = position(spans, index) {
                model.weights().embedding_row(token, row);
            }
        });
    }

    fn layer(&mut self, index: usize, from: usize) {
        let layer = &self.model.weights().layers[index];
        self.project_attention_inputs(index, layer);
        self.store_keys_and_values(index);
        if from == self.rows {
            return;
        }
        self.attend(index, layer, from);
        self.add_projection(&layer.output, from, index == 0 && self.has_slot_rows());
        self.feed_forward(layer, from);
    }

    /// Norm, then queries, keys and values of every row.
    fn project_attention_inputs(&mut self, index: usize, layer: &Layer) {
        let (lane, isa, rows) = (self.lane, self.model.isa(), self.rows);
        let LanguageConfig { width, norm_epsilon, .. } = *self.model.config();
        let has_slot_rows = self.has_slot_rows();
        let (workspace, spans) = (&mut *self.workspace, &*self.spans);
        let matrices = [&layer.query.matrix, &layer.key.matrix, &layer.value.matrix];
        if index == 0 && has_slot_rows {
            let residual = &workspace.residual;
            let normed = &mut workspace.normed[..rows * width];
            for_rows(lane, normed, width, |row, out| {
                let input = match position(spans, row) {
                    Position::Row(slot) => slot,
                    Position::Token(_) => &residual[row * width..(row + 1) * width],
                };
                kernels::rms_norm(isa, input, &layer.attention_norm, norm_epsilon, out);
            });
            workspace.activations.load_for(lane, normed, &matrices);
        } else {
            let residual = &workspace.residual[..rows * width];
            workspace.activations.load_rms_norm(lane, residual, &layer.attention_norm, norm_epsilon, &matrices);
        }
        let query = layer.query.product(&mut workspace.query[..rows * layer.query.matrix.rows()]);
        let key = layer.key.product(&mut workspace.key[..rows * layer.key.matrix.rows()]);
        let value = layer.value.product(&mut workspace.value[..rows * layer.value.matrix.rows()]);
        kernels::matmul_many(lane, &workspace.activations, &mut [query, key, value]);
    }

    /// Rotates queries and keys, and writes keys and values to their positions of the caches.
    fn store_keys_and_values(&mut self, index: usize) {
        let LanguageConfig { heads, kv_heads, head_dim, .. } = *self.model.config();
        let (lane, isa) = (self.lane, self.model.isa());
        let workspace = &mut *self.workspace;
        let angles = &workspace.angles;
        for (rows_of, count) in [(&mut workspace.query, heads), (&mut workspace.key, kv_heads)] {
            let width = count * head_dim;
            for_tasks(lane, &mut rows_of[..self.rows * width], width, |row, slice| {
                kernels::rope(isa, slice, count, head_dim, angles, row);
            });
        }
        let (width, mut before) = (kv_heads * head_dim, 0);
        for span in &mut *self.spans {
            let (layout, rows) = (span.cache.layout(), span.window.len());
            let sides = span.cache.layer_mut(index).into_iter().zip([&workspace.key, &workspace.value]);
            for ((side, kept), rows_of) in sides {
                let rows_of = &rows_of[before * width..(before + rows) * width];
                layout.store(lane, isa, side, span.first, rows_of, kept);
            }
            before += rows;
        }
    }

    /// Attention of the rows from `from` on over every position up to their own, loaded for the output projection.
    fn attend(&mut self, index: usize, layer: &Layer, from: usize) {
        let LanguageConfig { heads, head_dim, .. } = *self.model.config();
        let (lane, isa, spans, width) = (self.lane, self.model.isa(), &*self.spans, heads * head_dim);
        let queries = &self.workspace.query[from * width..self.rows * width];
        let attended = &mut self.workspace.attended[from * width..self.rows * width];
        // Queries of rows that follow each other in `span`, the first of them its row `row`.
        let attend = |lane: &Lane, span: &Span<'_>, row: usize, queries: &[f32], out: &mut [f32]| {
            let (keys, values) = span.cache.layer(index);
            let view = KvView::new(span.cache.layout(), heads, keys, values);
            kernels::attention(lane, isa, queries, &view, span.first + row, 1.0 / (head_dim as f32).sqrt(), out);
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
        self.workspace.activations.load_for(lane, attended, &[&layer.output.matrix]);
    }

    fn feed_forward(&mut self, layer: &Layer, from: usize) {
        let lane = self.lane;
        let LanguageConfig { width, feed_forward, norm_epsilon, .. } = *self.model.config();
        let workspace = &mut *self.workspace;
        let rows = self.rows - from;
        let residual = &workspace.residual[from * width..self.rows * width];
        let matrices = [&layer.gate.matrix, &layer.up.matrix];
        workspace.activations.load_rms_norm(lane, residual, &layer.feed_forward_norm, norm_epsilon, &matrices);
        let (gate, up) = (&mut workspace.gate[..rows * feed_forward], &mut workspace.up[..rows * feed_forward]);
        kernels::matmul_many(lane, &workspace.activations, &mut [layer.gate.product(gate), layer.up.product(up)]);
        workspace.activations.load_silu_mul(lane, gate, up, &[&layer.down.matrix]);
        self.add_projection(&layer.down, from, false);
    }

    /// Projects the loaded activations and adds them to the residual of the rows from `from` on. Where rows join from
    /// their slots, the residual of such a row is the slot's row itself, which is read here for the last time.
    fn add_projection(&mut self, linear: &Linear, from: usize, joins_slots: bool) {
        let width = self.model.config().width;
        let lane = self.lane;
        let (workspace, spans) = (&mut *self.workspace, &*self.spans);
        let rows = self.rows - from;
        let residual = &mut workspace.residual[from * width..self.rows * width];
        if linear.bias.is_none() && !joins_slots {
            kernels::matmul(lane, &linear.matrix, &workspace.activations, residual, Epilogue::Accumulate);
            return;
        }
        let projected = &mut workspace.normed[..rows * width];
        kernels::matmul(lane, &linear.matrix, &workspace.activations, projected, linear.epilogue());
        let projected = &*projected;
        for_rows(lane, residual, width, |row, out| {
            let projected = &projected[row * width..(row + 1) * width];
            match position(spans, from + row) {
                Position::Row(slot) if joins_slots => {
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

    /// Final norm and head of the rows from `from` on.
    fn head(&mut self, from: usize, logits_at: usize) {
        let (lane, weights) = (self.lane, self.model.weights());
        let LanguageConfig { width, vocab, norm_epsilon, .. } = *self.model.config();
        let workspace = &mut *self.workspace;
        let rows = self.rows - from;
        let residual = &workspace.residual[from * width..self.rows * width];
        let head = &weights.head;
        workspace.activations.load_rms_norm(lane, residual, &weights.output_norm, norm_epsilon, &[&head.matrix]);
        let logits = &mut workspace.logits[logits_at..logits_at + rows * vocab];
        kernels::matmul(lane, &head.matrix, &workspace.activations, logits, head.epilogue());
    }

    /// Whether any row is read from a slot.
    fn has_slot_rows(&self) -> bool {
        self.spans.iter().any(|span| span.window.has_rows())
    }
}

/// Which of `spans` row `row` of a pass belongs to, and which of that span's rows it is.
fn locate(spans: &[Span<'_>], row: usize) -> (usize, usize) {
    let mut row = row;
    for (index, span) in spans.iter().enumerate() {
        if row < span.window.len() {
            return (index, row);
        }
        row -= span.window.len();
    }
    unreachable!("a row of a pass lies in one of its spans")
}

/// What row `row` of a pass reads.
fn position<'a>(spans: &[Span<'a>], row: usize) -> Position<'a> {
    let (span, row) = locate(spans, row);
    spans[span].window.get(row)
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
