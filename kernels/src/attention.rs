//! Attention over kept keys and values: causal over a cache, or over all positions.

use nanomind_hal::Lane;

use crate::cpu::{self, Sight};
use crate::{Isa, KvFormat, KvLayout};

/// The keys and values of one layer, and the query heads that read them.
#[derive(Debug, Clone, Copy)]
pub struct KvView<'a> {
    layout: KvLayout,
    heads: usize,
    keys: &'a [u8],
    values: &'a [u8],
}

impl<'a> KvView<'a> {
    /// A view of a layer's keys and values, both of `layout`, read by `heads` query heads.
    ///
    /// # Panics
    /// `heads` is no multiple of the layout's heads, or a buffer is not [`KvLayout::bytes`] long.
    #[must_use]
    pub fn new(layout: KvLayout, heads: usize, keys: &'a [u8], values: &'a [u8]) -> KvView<'a> {
        let (kv_heads, expected) = (layout.heads(), layout.bytes());
        assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{heads} heads do not share {kv_heads} evenly");
        assert_eq!(keys.len(), expected, "{} bytes of keys, expected {expected}", keys.len());
        assert_eq!(values.len(), expected, "{} bytes of values, expected {expected}", values.len());
        KvView { layout, heads, keys, values }
    }

    /// How keys and values are kept.
    #[must_use]
    pub fn format(&self) -> KvFormat {
        self.layout.format()
    }

    /// Query heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Heads of keys and values.
    #[must_use]
    pub fn kv_heads(&self) -> usize {
        self.layout.heads()
    }

    /// Positions that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.layout.capacity()
    }

    /// Values of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.layout.head_dim()
    }

    /// Keys and values of one head.
    pub(crate) fn head(&self, head: usize) -> (&'a [u8], &'a [u8]) {
        (self.layout.head(head, self.keys), self.layout.head(head, self.values))
    }

    /// Bytes of a block of positions of one head.
    pub(crate) fn block_bytes(&self) -> usize {
        self.layout.block_bytes()
    }
}

/// Attention of the tokens at positions `first_position, first_position + 1, …`, whose keys and values are in the cache
/// already: token `i` sees the positions `0..=first_position + i`. `scale` is usually `1 / √head_dim`.
///
/// `queries` and `out` are `[tokens, heads, head_dim]`. A row is the same bits however the tokens were cut into calls and
/// on however many threads. Memory does not grow with the number of positions, but for a few tokens on several threads:
/// there it takes `head_dim + 16` values for each head, token and 256 positions.
///
/// # Panics
/// The shapes differ, or the positions exceed the cache.
pub fn attention(
    lane: &Lane,
    isa: Isa,
    queries: &[f32],
    kv: &KvView<'_>,
    first_position: usize,
    scale: f32,
    out: &mut [f32],
) {
    cpu::attend(lane, isa, queries, kv, Sight::Causal { first_position }, scale, out);
}

/// Attention in both directions, as in vision encoders: every token sees the positions `0..positions`. Otherwise as
/// [`attention()`].
///
/// # Panics
/// The shapes differ, there is no position, or `positions` exceed the view.
pub fn attention_to_all(
    lane: &Lane,
    isa: Isa,
    queries: &[f32],
    kv: &KvView<'_>,
    positions: usize,
    scale: f32,
    out: &mut [f32],
) {
    cpu::attend(lane, isa, queries, kv, Sight::All { positions }, scale, out);
}
