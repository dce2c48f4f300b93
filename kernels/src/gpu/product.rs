//! Products: several matrices over the same input in one step where they lie together.

use nanomind_hal::gpu::{Buffer, GpuError};

use super::matrix::{Matrix, Shard};
use super::packing::CHUNK;
use super::pass::{Pass, word};
use super::rows::{Rows, View};
use super::shader::{Shader, Variant};
use crate::Nonlinearity;

/// Tokens up to which each reads the weights for itself; more share what was read, in tiles, …
const FEW: usize = 4;

/// … and more than so many in larger ones.
const SOME: usize = 32;

/// Up to so many rows and tokens, the invocations that run in step take one row each time instead of four: a large device
/// would have too few of them at work to hide how long memory takes.
const SCARCE: usize = 1 << 15;

/// Matrices of one step at most.
const MATRICES: usize = 3;

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
}

/// One of several products over the same input.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// The weights.
    pub matrix: &'a Matrix,
    /// What becomes of its values.
    pub epilogue: Epilogue<'a>,
    /// Where they go, `[tokens, rows]`.
    pub out: View<'a>,
}

/// A product of the rows of one shard: what steps are made of.
#[derive(Clone, Copy)]
struct Part<'a> {
    matrix: &'a Matrix,
    shard: &'a Shard,
    variant: Variant,
    bias: Option<&'a Rows>,
    out: View<'a>,
}

impl<'a> Part<'a> {
    /// What must be alike for parts to share a step.
    fn together(&self, other: &Part<'a>) -> bool {
        let bias = |part: &Part<'a>| part.bias.map(|bias| bias.buffer().id());
        let ids =
            |part: &Part<'a>| (part.shard.place.buffer.id(), part.out.buffer().id(), part.out.stride(), bias(part));
        self.matrix.format() == other.matrix.format() && self.variant == other.variant && ids(self) == ids(other)
    }
}

impl Pass<'_> {
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
        self.products(input, &[Product { matrix, epilogue, out }])
    }

    /// Products over the same input. Up to three that follow each other are one step, if their matrices were uploaded
    /// together and have one format, and their values go to columns of the same rows: queries, keys and values.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or input and output are of the same [`Rows`].
    pub fn products(&mut self, input: Input<'_>, products: &[Product<'_>]) -> Result<(), GpuError> {
        let mut group: [Option<Part<'_>>; MATRICES] = [None; MATRICES];
        let mut count = 0;
        for product in products {
            let (variant, bias) = variant(product.epilogue, matches!(input, Input::RmsNormed(..)));
            check(input, product, bias);
            for shard in product.matrix.shards() {
                let part = Part { matrix: product.matrix, shard, variant, bias, out: product.out };
                if count == MATRICES || group[0].is_some_and(|first| !first.together(&part)) {
                    self.parts(input, &group[..count])?;
                    count = 0;
                }
                group[count] = Some(part);
                count += 1;
                // A group begins anew with its first part.
                group[count..].fill(None);
            }
        }
        self.parts(input, &group[..count])
    }

    /// `out = silu(gate · x) · (up · x)`, in one step if both matrices were uploaded together and have one format. `spare`
    /// has as many rows and columns as `out`; what is left in it says nothing.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost.
    ///
    /// # Panics
    /// The shapes differ, or two of input, output and spare are of the same [`Rows`].
    pub fn gate(
        &mut self,
        input: Input<'_>,
        [gate, up]: [&Matrix; 2],
        [gate_bias, up_bias]: [Option<&Rows>; 2],
        out: View<'_>,
        spare: View<'_>,
    ) -> Result<(), GpuError> {
        let normed = matches!(input, Input::RmsNormed(..));
        if let ([gate_shard], [up_shard]) = (gate.shards(), up.shards()) {
            let part = |matrix, shard, bias: Option<_>| {
                let variant = Variant { normed, biased: bias.is_some(), gated: true, ..Variant::default() };
                Part { matrix, shard, variant, bias, out }
            };
            let parts = [part(gate, gate_shard, gate_bias), part(up, up_shard, up_bias)];
            if parts[0].together(&parts[1]) {
                check(input, &Product { matrix: gate, epilogue: stored(gate_bias), out }, gate_bias);
                check(input, &Product { matrix: up, epilogue: stored(up_bias), out }, up_bias);
                return self.parts(input, &parts.map(Some));
            }
        }
        self.product(input, gate, stored(gate_bias), out)?;
        self.product(input, up, stored(up_bias), spare)?;
        self.gate_in_place(spare, out)
    }

    /// Records one step of parts that belong together.
    fn parts(&mut self, input: Input<'_>, parts: &[Option<Part<'_>>]) -> Result<(), GpuError> {
        let Some(first) = parts.first().copied().flatten() else { return Ok(()) };
        let (input, gain, eps) = match input {
            Input::Rows(rows) => (rows, None, 0.0),
            Input::RmsNormed(rows, gain, eps) => (rows, Some(gain), eps),
        };
        let (tokens, gated, format) = (first.out.rows(), first.variant.gated, first.matrix.format());
        // As many rows as a workgroup makes, of a gate half as many of both matrices; and tokens.
        let all_rows: usize = parts.iter().flatten().map(|part| part.shard.rows).sum();
        let alone = all_rows * tokens <= SCARCE;
        let (shader, rows, side) = if tokens <= FEW {
            let rows = if !alone {
                16
            } else if gated {
                8
            } else {
                4
            };
            (Shader::ProductRows(format, Variant { alone, ..first.variant }), rows, 1)
        } else if tokens <= SOME {
            (Shader::ProductTiles(format, first.variant), 32, 32)
        } else {
            (Shader::ProductBlocks(format, first.variant), 64, 64)
        };
        let each = if gated { rows / 2 } else { rows };
        let [from, from_stride] = fours(input);
        let mut parameters = [0_u32; 32];
        parameters[..8].copy_from_slice(&[
            word(first.matrix.layout().chunks()),
            word(tokens),
            from,
            from_stride,
            word(first.out.stride()),
            gain.map_or(0, |gain| word(gain.at() / 4)),
            (first.matrix.cols() as f32).to_bits(),
            eps.to_bits(),
        ]);
        let (mut groups, mut count) = (0, 0);
        for part in parts.iter().flatten() {
            let Part { matrix, shard, bias, out, .. } = part;
            if !gated || count == 0 {
                groups += shard.rows.div_ceil(each);
            }
            let [codes, bits, scales] = matrix.parts(shard);
            let bias = bias.map_or(0, |bias| bias.at() + shard.first);
            let words = [groups, shard.rows, codes, bits, scales, out.at() + shard.first, bias, 0].map(word);
            parameters[8 + 8 * count..][..8].copy_from_slice(&words);
            count += 1;
        }
        parameters[15] = word(count);
        let nothing: &Buffer = &self.kernels().nothing;
        let (gain, bias) = (gain.map_or(nothing, Rows::buffer), first.bias.map_or(nothing, Rows::buffer));
        let buffers = [&*first.shard.place.buffer, input.buffer(), gain, bias, first.out.buffer()];
        self.step(shader, &buffers, &parameters, [groups, tokens.div_ceil(side), 1])
    }
}

/// That the shapes of a product fit together.
fn check(input: Input<'_>, product: &Product<'_>, bias: Option<&Rows>) {
    let (rows, gain) = match input {
        Input::Rows(rows) => (rows, None),
        Input::RmsNormed(rows, gain, _) => (rows, Some(gain)),
    };
    let Product { matrix, out, .. } = product;
    assert_eq!((rows.rows(), rows.width()), (out.rows(), matrix.cols()), "rows to multiply");
    assert_eq!(out.width(), matrix.rows(), "values of a product and their places");
    let reads_zeros = rows.column() + rows.width() + CHUNK > rows.stride();
    assert!(rows.width().is_multiple_of(CHUNK) || reads_zeros, "columns of a width that is read in eights");
    assert!(gain.is_none_or(|gain| gain.width() == matrix.cols()), "a gain for each column");
    assert!(bias.is_none_or(|bias| bias.width() == matrix.rows()), "a bias for each row");
    assert_ne!(rows.buffer().id(), out.buffer().id(), "a product into its own input");
}

/// Where rows begin and how far they are apart, in fours of values.
pub(super) fn fours(rows: View<'_>) -> [u32; 2] {
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
    let (bias, adds, function) = match epilogue {
        Epilogue::Store => (None, false, 0),
        Epilogue::Bias(bias) => (Some(bias), false, 0),
        Epilogue::Accumulate => (None, true, 0),
        Epilogue::AccumulateBias(bias) => (Some(bias), true, 0),
        Epilogue::Activate(bias, function) => (bias, false, number(function)),
    };
    (Variant { normed, biased: bias.is_some(), adds, function, ..Variant::default() }, bias)
}

/// Values as they are, but for a bias.
fn stored(bias: Option<&Rows>) -> Epilogue<'_> {
    bias.map_or(Epilogue::Store, Epilogue::Bias)
}
