//! Attention over half-precision keys and values: causal over a cache, or over all positions.

use half::f16;
use nanomind_hal::Lane;

use crate::Isa;
use crate::cpu::{self, Sight};

/// The keys and values of one layer, each `[kv_heads][capacity][head_dim]` in half precision.
#[derive(Debug, Clone, Copy)]
pub struct KvView<'a> {
    keys: &'a [f16],
    values: &'a [f16],
    heads: usize,
    kv_heads: usize,
    capacity: usize,
    head_dim: usize,
}

impl<'a> KvView<'a> {
    /// A view of a layer's cache with room for `capacity` positions, read by `heads` query heads.
    ///
    /// # Panics
    /// `heads` is no multiple of `kv_heads`, or a buffer is not `kv_heads · capacity · head_dim` long.
    #[must_use]
    pub fn new(
        keys: &'a [f16],
        values: &'a [f16],
        heads: usize,
        kv_heads: usize,
        capacity: usize,
        head_dim: usize,
    ) -> KvView<'a> {
        assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{heads} heads do not share {kv_heads} evenly");
        let expected = kv_heads * capacity * head_dim;
        assert_eq!(keys.len(), expected, "{} key values, expected {expected}", keys.len());
        assert_eq!(values.len(), expected, "{} values, expected {expected}", values.len());
        KvView { keys, values, heads, kv_heads, capacity, head_dim }
    }

    /// Query heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Heads of keys and values.
    #[must_use]
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Positions that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Values of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    pub(crate) fn head(&self, head: usize) -> (&'a [f16], &'a [f16]) {
        let range = head * self.capacity * self.head_dim..(head + 1) * self.capacity * self.head_dim;
        (&self.keys[range.clone()], &self.values[range])
    }
}

/// Attention of the tokens at positions `first_position, first_position + 1, …`, whose keys and values are in the cache
/// already: token `i` sees the positions `0..=first_position + i`. `scale` is usually `1 / √head_dim`.
///
/// `queries` and `out` are `[tokens, heads, head_dim]`. Memory does not grow with the number of positions. A row is the
/// same bits however the tokens were cut into calls.
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
