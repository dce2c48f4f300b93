//! The steps of a transformer, as a pass records them.

use nanomind_hal::gpu::GpuError;

use super::kv_cache::{KvCache, RopeAngles};
use super::matrix::Matrix;
use super::pass::{Pass, word};
use super::product::fours;
use super::rows::{Rows, Tokens, View};
use super::shader::Shader;

/// Positions that one workgroup attends to where there are few queries.
const STRETCH: usize = 256;

/// Stretches that attention is cut into at most, …
const STRETCHES: usize = 64;

/// … as long as so few heads of tokens would leave a device idle.
const FEW_QUERIES: usize = 512;

/// Which positions a token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Token `i` sees the positions `0..=first_position + i`, its own the last of them.
    Causal {
        /// The position of the first token.
        first_position: usize,
    },
    /// All see the positions `0..positions`.
    All {
        /// How many there are.
        positions: usize,
    },
}

/// What is done value by value.
enum Elements<'a> {
    /// `out += left`.
    Adds,
    /// `out = silu(left) · right`.
    Gates(View<'a>),
    /// `out = silu(out) · left`.
    GatesOut,
}

impl Pass<'_> {
    /// Looks rows of a table up: row `i` of `out` is that of the token at place `first + i`.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or there are not so many tokens.
    pub fn embed(&mut self, table: &Matrix, tokens: &Tokens, first: usize, out: View<'_>) -> Result<(), GpuError> {
        assert_eq!(table.cols(), out.width(), "rows of a table and their places");
        assert!(first + out.rows() <= tokens.count(), "{} tokens at {first} of {}", out.rows(), tokens.count());
        let (layout, output) = (table.layout(), fours(out));
        for shard in table.shards() {
            let [codes, bits, scales] = table.parts(shard).map(word);
            let parameters = [
                word(shard.first),
                word(shard.rows),
                word(layout.chunks()),
                codes,
                bits,
                scales,
                word(first),
                output[0],
                output[1],
            ];
            let buffers = [&*shard.place.buffer, tokens.buffer(), out.buffer()];
            let groups = [layout.chunks().div_ceil(64), out.rows(), 1];
            self.step(Shader::Embed(table.format()), &buffers, &parameters, groups)?;
        }
        Ok(())
    }

    /// Root mean square norm of each row, as [`crate::rms_norm`].
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or input and output are of the same [`Rows`].
    pub fn rms_norm(&mut self, x: View<'_>, gain: &Rows, eps: f32, out: View<'_>) -> Result<(), GpuError> {
        self.norm(x, gain, None, eps, out)
    }

    /// Layer norm of each row, as [`crate::layer_norm`].
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or input and output are of the same [`Rows`].
    pub fn layer_norm(
        &mut self,
        x: View<'_>,
        gain: &Rows,
        bias: &Rows,
        eps: f32,
        out: View<'_>,
    ) -> Result<(), GpuError> {
        self.norm(x, gain, Some(bias), eps, out)
    }

    fn norm(&mut self, x: View<'_>, gain: &Rows, bias: Option<&Rows>, eps: f32, out: View<'_>) -> Result<(), GpuError> {
        assert_eq!((x.rows(), x.width(), gain.width()), (out.rows(), out.width(), out.width()), "rows to norm");
        assert!(bias.is_none_or(|bias| bias.width() == out.width()), "a bias for each column");
        assert_ne!(x.buffer().id(), out.buffer().id(), "a norm into its own input");
        let parameters = [
            word(x.width()),
            word(x.at()),
            word(x.stride()),
            word(out.at()),
            word(out.stride()),
            u32::from(bias.is_some()),
            eps.to_bits(),
            word(gain.at()),
            bias.map_or(0, |bias| word(bias.at())),
        ];
        let bias = bias.map_or(&self.kernels().nothing, Rows::buffer);
        self.step(Shader::Norm, &[x.buffer(), gain.buffer(), bias, out.buffer()], &parameters, [x.rows(), 1, 1])
    }

    /// `out = silu(gate) · up`, for gates whose weights could not be interleaved.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or an input and the output are of the same [`Rows`].
    pub fn silu_mul(&mut self, gate: View<'_>, up: View<'_>, out: View<'_>) -> Result<(), GpuError> {
        assert_ne!(gate.buffer().id(), out.buffer().id(), "a gate into itself");
        self.elements(gate, Elements::Gates(up), out)
    }

    /// `out += x`.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or both are of the same [`Rows`].
    pub fn add(&mut self, x: View<'_>, out: View<'_>) -> Result<(), GpuError> {
        self.elements(x, Elements::Adds, out)
    }

    /// `out = silu(out) · up`.
    pub(super) fn gate_in_place(&mut self, up: View<'_>, out: View<'_>) -> Result<(), GpuError> {
        self.elements(up, Elements::GatesOut, out)
    }

    fn elements(&mut self, left: View<'_>, what: Elements<'_>, out: View<'_>) -> Result<(), GpuError> {
        let (right, number) = match what {
            Elements::Adds => (None, 0),
            Elements::Gates(right) => (Some(right), 1),
            Elements::GatesOut => (None, 2),
        };
        for x in [Some(left), right].into_iter().flatten() {
            assert_eq!((x.rows(), x.width()), (out.rows(), out.width()), "rows to work on");
            assert_ne!(x.buffer().id(), out.buffer().id(), "rows into their own input");
        }
        let parameters = [
            word(out.width()),
            word(left.at()),
            word(left.stride()),
            right.map_or(0, |right| word(right.at())),
            right.map_or(0, |right| word(right.stride())),
            word(out.at()),
            word(out.stride()),
            number,
        ];
        let right = right.map_or(&self.kernels().nothing, |right| right.buffer());
        let groups = [out.width().div_ceil(128), out.rows(), 1];
        self.step(Shader::Elements, &[left.buffer(), right, out.buffer()], &parameters, groups)
    }

    /// Rotates queries where they are, and writes rotated keys and values to the cache: row `i` is at position
    /// `first_position + i`. The three are columns of the same rows of one [`Rows`]. Angles of a table of no pairs turn nothing.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or the positions exceed the cache or the angles.
    pub fn rotate_and_store(
        &mut self,
        [query, key, value]: [View<'_>; 3],
        angles: &RopeAngles,
        first_position: usize,
        cache: &KvCache,
    ) -> Result<(), GpuError> {
        let rows = query.rows();
        for other in [key, value] {
            assert_eq!(other.buffer().id(), query.buffer().id(), "queries, keys and values of different rows");
            assert_eq!((other.first(), other.rows()), (query.first(), rows), "queries, keys and values of other rows");
            assert_eq!(other.width(), cache.kv_heads * cache.head_dim, "keys and values of a cache's width");
        }
        assert!(query.width().is_multiple_of(cache.head_dim), "queries of whole heads");
        assert!(first_position + rows <= cache.capacity.min(angles.positions), "{rows} positions at {first_position}");
        assert!(2 * angles.pairs <= cache.head_dim && angles.pairs.is_multiple_of(2), "{} pairs", angles.pairs);
        let heads = query.width() / cache.head_dim;
        let parameters = [
            word(rows),
            word(query.first()),
            word(query.stride()),
            word(query.column()),
            word(key.column()),
            word(value.column()),
            word(heads),
            word(cache.kv_heads),
            word(cache.head_dim),
            word(angles.pairs),
            word(first_position),
            u32::from(angles.interleaved),
        ];
        let buffers = [&angles.buffer, query.buffer(), &cache.keys, &cache.values];
        let quads = (heads + 2 * cache.kv_heads) * cache.head_dim / 4;
        self.step(Shader::Rotate, &buffers, &parameters, [quads.div_ceil(64), rows, 1])
    }

    /// Attention of queries `[tokens, heads, head_dim]` to the keys and values that are in the cache.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost or has no memory for the workspace.
    ///
    /// # Panics
    /// The shapes differ, a token sees no position, or positions exceed the cache.
    pub fn attention(
        &mut self,
        queries: View<'_>,
        cache: &KvCache,
        sight: Sight,
        scale: f32,
        out: View<'_>,
    ) -> Result<(), GpuError> {
        let (tokens, heads, head_dim) = (queries.rows(), queries.width() / cache.head_dim, cache.head_dim);
        assert_eq!((queries.rows(), queries.width()), (out.rows(), out.width()), "queries and what comes of them");
        assert!(queries.width().is_multiple_of(head_dim) && heads.is_multiple_of(cache.kv_heads), "{heads} heads");
        assert_ne!(queries.buffer().id(), out.buffer().id(), "attention into its own queries");
        if tokens == 0 {
            return Ok(());
        }
        let (seen, more, most) = match sight {
            Sight::Causal { first_position } => (first_position + 1, 1, first_position + tokens),
            Sight::All { positions } => (positions, 0, positions),
        };
        assert!(seen > 0 && most <= cache.capacity, "{most} positions of {}", cache.capacity);
        let is_few = tokens * heads <= FEW_QUERIES;
        let stretches = if is_few { most.div_ceil(STRETCH).min(STRETCHES) } else { 1 };
        let stretch = most.div_ceil(stretches).next_multiple_of(128);
        let scratch = match stretches {
            1 => None,
            // As much as the longest context wants, so that an answer that grows does not.
            _ => Some(self.kernels().scratch(0, FEW_QUERIES * STRETCHES * (head_dim + 2))?),
        };
        let output = scratch.as_deref().unwrap_or(out.buffer());
        let parameters = [
            word(heads),
            word(cache.kv_heads),
            word(head_dim),
            word(queries.at()),
            word(queries.stride()),
            word(out.at()),
            word(out.stride()),
            word(seen),
            more,
            word(stretch),
            word(stretches),
            scale.to_bits(),
        ];
        let buffers = [queries.buffer(), &cache.keys, &cache.values, output];
        self.step(Shader::Attention, &buffers, &parameters, [heads, tokens, stretches])?;
        let Some(scratch) = scratch else { return Ok(()) };
        let parameters = [word(heads), word(head_dim), word(out.at()), word(out.stride()), word(stretches)];
        self.step(Shader::AttentionJoin, &[&scratch, out.buffer()], &parameters, [heads, tokens, 1])
    }
}
