//! The steps of a transformer, as a pass records them.

use nanomind_hal::gpu::GpuError;

use super::kv_cache::{KvCache, RopeAngles};
use super::matrix::Matrix;
use super::packing::CHUNK;
use super::pass::{Pass, word};
use super::rows::{Rows, Tokens, View};
use super::shader::{Shader, Variant};
use crate::Nonlinearity;

/// Tokens up to which each reads the weights for itself; more share what was read, in tiles.
const FEW: usize = 4;

/// Positions that one workgroup attends to where there are few queries.
const STRETCH: usize = 256;

/// Stretches that attention is cut into at most, …
const STRETCHES: usize = 64;

/// … as long as so few heads of tokens would leave a device idle.
const FEW_QUERIES: usize = 512;

/// What a product reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Rows as they are.
    Rows(View<'a>),
    /// Rows divided by their root mean square, `√(mean(x²) + eps)`, and multiplied by the gain: [`crate::rms_norm`].
    RmsNormed(View<'a>, &'a Rows, f32),
}

/// What becomes of the values of a product.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// `out = W x`.
    Store,
    /// `out = W x + bias`, with one bias for each row of `W`.
    Bias(&'a Rows),
    /// `out += W x`: the residual stream.
    Accumulate,
    /// `out += W x + bias`.
    AccumulateBias(&'a Rows),
    /// `out = f(W x + bias)`, or `out = f(W x)`.
    Activate(Option<&'a Rows>, Nonlinearity),
    /// `out = silu(gate) · up` of a [`Matrix::interleaved`]; half as many values as `W` has rows.
    Gate,
}

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
            let parameters = [
                word(shard.first),
                word(shard.rows),
                word(layout.chunks()),
                word(layout.bits_at(shard.rows)),
                word(layout.scales_at(shard.rows)),
                word(first),
                word(tokens.count()),
                output[0],
                output[1],
            ];
            let buffers = [&shard.buffer, tokens.buffer(), out.buffer()];
            let groups = [layout.chunks().div_ceil(64), out.rows(), 1];
            self.step(Shader::Embed(table.format()), &buffers, &parameters, groups)?;
        }
        Ok(())
    }

    /// A product: each row of `out` is of each row of the input, by the matrix and the epilogue.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or input and output are of the same [`Rows`].
    pub fn product(
        &mut self,
        input: Input<'_>,
        matrix: &Matrix,
        epilogue: Epilogue<'_>,
        out: View<'_>,
    ) -> Result<(), GpuError> {
        let (input, gain, eps) = match input {
            Input::Rows(rows) => (rows, None, 0.0),
            Input::RmsNormed(rows, gain, eps) => (rows, Some(gain), eps),
        };
        let (variant, bias) = variant(epilogue, gain.is_some());
        let outputs = if variant.gated { matrix.rows() / 2 } else { matrix.rows() };
        assert_eq!((input.rows(), input.width()), (out.rows(), matrix.cols()), "rows to multiply");
        assert_eq!(out.width(), outputs, "values of a product and their places");
        assert!(input.width().is_multiple_of(CHUNK) || input.column() + input.width() < input.stride() + CHUNK);
        assert!(gain.is_none_or(|gain| gain.width() == matrix.cols()), "a gain for each column");
        assert!(bias.is_none_or(|bias| bias.width() == matrix.rows()), "a bias for each row");
        assert_ne!(input.buffer().id(), out.buffer().id(), "a product into its own input");
        let nothing = &self.kernels().nothing;
        let (gain, bias) = (gain.map_or(nothing, Rows::buffer), bias.map_or(nothing, Rows::buffer));
        let ([from, from_stride], layout, tokens) = (fours(input), matrix.layout(), out.rows());
        let few = tokens <= FEW;
        for shard in matrix.shards() {
            let before = if variant.gated { shard.first / 2 } else { shard.first };
            let parameters = [
                word(shard.rows),
                word(layout.chunks()),
                word(tokens),
                word(layout.bits_at(shard.rows)),
                word(layout.scales_at(shard.rows)),
                from,
                from_stride,
                word(out.at() + before),
                word(out.stride()),
                word(shard.first),
                (matrix.cols() as f32).to_bits(),
                eps.to_bits(),
            ];
            let buffers = [&shard.buffer, input.buffer(), gain, bias, out.buffer()];
            let (shader, groups) = if few {
                (Shader::ProductRows(matrix.format(), variant), [shard.rows.div_ceil(16), tokens, 1])
            } else {
                let groups = [shard.rows.div_ceil(32), tokens.div_ceil(32), 1];
                (Shader::ProductTiles(matrix.format(), variant), groups)
            };
            self.step(shader, &buffers, &parameters, groups)?;
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
        self.elements(gate, Some(up), out)
    }

    /// `out += x`.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or both are of the same [`Rows`].
    pub fn add(&mut self, x: View<'_>, out: View<'_>) -> Result<(), GpuError> {
        self.elements(x, None, out)
    }

    fn elements(&mut self, left: View<'_>, right: Option<View<'_>>, out: View<'_>) -> Result<(), GpuError> {
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
            u32::from(right.is_some()),
        ];
        let right = right.map_or(&self.kernels().nothing, |right| right.buffer());
        let groups = [out.width().div_ceil(128), out.rows(), 1];
        self.step(Shader::Elements, &[left.buffer(), right, out.buffer()], &parameters, groups)
    }

    /// Rotates queries where they are, and writes rotated keys and values to the cache: row `i` is at position
    /// `first_position + i`. The three are columns of the same rows of one [`Rows`].
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
            _ => Some(self.kernels().scratch(FEW_QUERIES * STRETCHES * (head_dim + 2))?),
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

    /// The first place of the largest value of each row, not-a-numbers aside, 0 where there is none: greedy sampling. Row `i`
    /// goes to place `first + i` of `out`.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost or has no memory for the workspace.
    ///
    /// # Panics
    /// There is no room for so many.
    pub fn argmax(&mut self, rows: View<'_>, out: &Tokens, first: usize) -> Result<(), GpuError> {
        assert!(first + rows.rows() <= out.count(), "{} tokens at {first} of {}", rows.rows(), out.count());
        let stretches = rows.width().div_ceil(2048).clamp(1, 256);
        let scratch = self.kernels().scratch(2 * stretches * rows.rows())?;
        let (count, each) = (rows.width(), rows.width().div_ceil(stretches));
        let all = [rows.at(), rows.stride(), count, each, 0, 2 * stretches, 0].map(word);
        self.step(Shader::Argmax, &[rows.buffer(), &scratch], &all, [stretches, rows.rows(), 1])?;
        let last = [0, 2 * stretches, stretches, stretches, first, 1, 1].map(word);
        self.step(Shader::Argmax, &[&scratch, out.buffer()], &last, [1, rows.rows(), 1])
    }
}

/// Where rows begin and how far they are apart, in fours of values.
fn fours(rows: View<'_>) -> [u32; 2] {
    assert!(rows.at().is_multiple_of(4) && rows.stride().is_multiple_of(4), "rows that begin within four values");
    [word(rows.at() / 4), word(rows.stride() / 4)]
}

/// What a product is compiled for, and its biases.
fn variant(epilogue: Epilogue<'_>, normed: bool) -> (Variant, Option<&Rows>) {
    let number = |function| match function {
        Nonlinearity::GeluTanh => 1,
        Nonlinearity::GeluErf => 2,
        Nonlinearity::GeluQuick => 3,
        Nonlinearity::Silu => 4,
    };
    let (bias, adds, gated, function) = match epilogue {
        Epilogue::Store => (None, false, false, 0),
        Epilogue::Bias(bias) => (Some(bias), false, false, 0),
        Epilogue::Accumulate => (None, true, false, 0),
        Epilogue::AccumulateBias(bias) => (Some(bias), true, false, 0),
        Epilogue::Activate(bias, function) => (bias, false, false, number(function)),
        Epilogue::Gate => (None, false, true, 0),
    };
    (Variant { normed, biased: bias.is_some(), adds, gated, function }, bias)
}
