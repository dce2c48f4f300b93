//! What a pass is over: a decoder's sizes, and the rows of sequences that go through it.

use std::ops::Range;

use super::Backend;
use crate::KvFormat;

/// What the layers of a decoder have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoder {
    /// Values of a row of the residual stream.
    pub width: usize,
    /// Values of a row of the hidden layer.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Values of a head.
    pub head_dim: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// Added under the root of an RMS norm.
    pub norm_epsilon: f32,
}

impl Decoder {
    /// Values of all queries of a row.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Values of all keys of a row, or of all its values.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// What attention multiplies its products with.
    #[expect(clippy::cast_precision_loss, reason = "a head has few values")]
    pub(crate) fn attention_scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// The shape of one position of a key-value cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGeometry {
    /// Layers of the model.
    pub layers: usize,
    /// Key-value heads of a layer.
    pub kv_heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
}

impl KvGeometry {
    /// Bytes of keys and values that one position holds over all layers in `format`; `None` where heads are no whole
    /// number of its blocks.
    #[must_use]
    pub fn position_bytes(&self, format: KvFormat) -> Option<usize> {
        Some(2 * self.layers * self.kv_heads * format.head_bytes(self.head_dim)?)
    }
}

/// A box of a key-value cache: which layers, heads and positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRange {
    /// Layers of the model.
    pub layers: Range<usize>,
    /// Key-value heads.
    pub heads: Range<usize>,
    /// Positions in the sequence.
    pub positions: Range<usize>,
}

impl KvRange {
    /// All layers and heads of `geometry` over some positions.
    #[must_use]
    pub fn positions(geometry: KvGeometry, positions: Range<usize>) -> KvRange {
        KvRange { layers: 0..geometry.layers, heads: 0..geometry.kv_heads, positions }
    }

    /// Heads of all layers and positions: so many keys, and as many values.
    #[must_use]
    pub fn vectors(&self) -> usize {
        self.layers.len() * self.heads.len() * self.positions.len()
    }
}

/// What a row begins with.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A row of the embedding table.
    Token(u32),
    /// A row of its own, `[width]`.
    Row(&'a [f32]),
}

/// What the rows of a span begin with.
pub trait Inputs: Sync {
    /// How many rows there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What row `index`, which is below [`Inputs::len`], begins with.
    fn get(&self, index: usize) -> Input<'_>;
    /// Whether any row may be one of its own; without, all are tokens.
    fn has_rows(&self) -> bool;
}

/// The next positions of one sequence.
pub struct Span<'a, B: Backend> {
    /// Keys and values of the sequence, with room for the span.
    pub cache: &'a mut B::KvCache,
    /// What its rows begin with.
    pub inputs: &'a dyn Inputs,
    /// Position of the first row in the sequence.
    pub first: usize,
}

impl<B: Backend> Span<'_, B> {
    /// The positions of the rows.
    #[must_use]
    pub fn positions(&self) -> Range<usize> {
        self.first..self.first + self.inputs.len()
    }
}

/// Where tokens are looked up.
pub struct Table<'a, B: Backend> {
    /// Writes the row of a token to `[width]` values.
    pub host: &'a (dyn Fn(u32, &mut [f32]) + Sync),
    /// The weights that hold the same rows, where the backend has any: the head of a model whose head shares the table.
    pub device: Option<&'a B::Linear>,
}

/// What becomes of the logits of rows.
#[derive(Debug)]
pub enum Answer<'a> {
    /// They are written here, `[rows, vocab]`.
    Logits(&'a mut [f32]),
    /// The token of the largest is, of each row: the first of several.
    Picks(&'a mut [u32]),
}
