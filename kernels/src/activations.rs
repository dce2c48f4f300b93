//! The inputs of matrix products: quantised once, shared by every matrix that reads them.

use nanomind_hal::Lane;

use crate::convolution::Convolution;
use crate::cpu::{self, LayerNorm, LoadCodes, LoadFloats, Plain, RmsNorm, SiluMul, Source, Windows};
use crate::{Isa, Matrix};

/// Tokens of the widest tile of integer products.
pub(crate) const TILE: usize = 4;

/// Tokens that one task loads: whole tiles.
const LOAD_TOKENS: usize = 2 * TILE;

/// Words of one group of 32 columns of one token: codes in two planes, scale, sum, what products start from.
///
/// A code has 15 bits, `high · 128 + low` with `high` in −127..=127 and `low` in −64..=63: one plane of 8 bits would turn
/// a prediction of SmolLM2 in thirty, two planes cost a second integer dot product and turn none.
///
/// A tile of `T` tokens holds, group after group: 8·T words of high codes (token after token), 8·T words of low codes, then
/// T words each of the scale, of scale · sum of codes, and of −8, −16 and −128 times the sum of the codes and −32 times
/// the sums of the first and the last 16: for a format whose zero is such a code, the integer that its dot product starts
/// from.
pub(crate) const GROUP_WORDS: usize = 23;
/// Where the low codes of a group are, in words a token.
pub(crate) const LOW_AT: usize = 8;
/// Where the scales of a group are, in words a token.
pub(crate) const SCALES_AT: usize = 16;
/// Where the sums of a group's values are, in words a token.
pub(crate) const TOTALS_AT: usize = 17;
/// Where the starts of a group's products are, in words a token.
pub(crate) const STARTS_AT: usize = 18;
/// Powers of two that the sums of all 32 codes, of the first 16 and of the last 16 are multiplied by, in order.
pub(crate) const START_BITS: [u32; 5] = [3, 4, 7, 5, 5];
/// The value of a high code of 1, as a power of two.
pub(crate) const HIGH_BITS: u32 = 7;

/// Input rows `[tokens, cols]` in the forms that kernels read: 15-bit codes in groups of 32 with an `f32` scale for
/// weights in blocks of integers, and `f32` for weights in floats.
///
/// A workspace: loading again reuses its memory, so a warmed-up one allocates nothing.
#[derive(Debug)]
pub struct Activations {
    isa: Isa,
    tokens: usize,
    cols: usize,
    /// Tile after tile; empty where no matrix wants codes.
    codes: Vec<u32>,
    /// Tile after tile `[cols][tokens of the tile]`; empty where no matrix wants floats.
    floats: Vec<f32>,
}

/// Which forms to make.
#[derive(Debug, Clone, Copy)]
struct Forms {
    codes: bool,
    floats: bool,
}

impl Forms {
    fn of(matrices: &[&Matrix], cols: usize) -> Forms {
        for matrix in matrices {
            assert_eq!(matrix.cols(), cols, "a matrix of {} columns, an input of {cols}", matrix.cols());
        }
        Forms {
            codes: matrices.iter().any(|matrix| !matrix.format().is_float()),
            floats: matrices.iter().any(|matrix| matrix.format().is_float()),
        }
    }
}

impl Activations {
    /// An empty workspace.
    ///
    /// # Panics
    /// This machine does not have `isa`.
    #[must_use]
    pub fn new(isa: Isa) -> Activations {
        assert!(isa.is_available(), "this machine does not have {isa}");
        Activations { isa, tokens: 0, cols: 0, codes: Vec::new(), floats: Vec::new() }
    }

    /// Rows that are loaded.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Columns of each row.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Loads `x`, `[tokens, cols]`, for matrices of any format. [`Activations::load_for`] does less.
    ///
    /// # Panics
    /// `x` is no whole number of rows.
    pub fn load(&mut self, lane: &Lane, x: &[f32], cols: usize) {
        let forms = Forms { codes: cols.is_multiple_of(32), floats: true };
        self.load_rows(lane, &Plain { x, cols }, rows_of(x, cols), cols, forms);
    }

    /// Loads `x`, `[tokens, cols]`, in the forms that `matrices` read; their columns are the input's.
    ///
    /// # Panics
    /// The matrices differ in columns, or `x` is no whole number of rows.
    pub fn load_for(&mut self, lane: &Lane, x: &[f32], matrices: &[&Matrix]) {
        let cols = matrices.first().map_or(0, |matrix| matrix.cols());
        self.load_rows(lane, &Plain { x, cols }, rows_of(x, cols), cols, Forms::of(matrices, cols));
    }

    /// [`crate::rms_norm`] of `x`, `[tokens, cols]`, loaded for `matrices` without being written in between; the same
    /// bits as the two steps.
    ///
    /// # Panics
    /// As [`Activations::load_for`], or `weight` is not `cols` long.
    pub fn load_rms_norm(&mut self, lane: &Lane, x: &[f32], weight: &[f32], eps: f32, matrices: &[&Matrix]) {
        let cols = weight.len();
        self.load_rows(lane, &RmsNorm { x, weight, eps }, rows_of(x, cols), cols, Forms::of(matrices, cols));
    }

    /// [`crate::layer_norm`] of `x`, `[tokens, cols]`, loaded for `matrices` without being written in between; the same
    /// bits as the two steps.
    ///
    /// # Panics
    /// As [`Activations::load_for`], or `weight` or `bias` is not `cols` long.
    pub fn load_layer_norm(
        &mut self,
        lane: &Lane,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        eps: f32,
        matrices: &[&Matrix],
    ) {
        let cols = weight.len();
        assert_eq!(cols, bias.len(), "a norm of {cols} weights and {} biases", bias.len());
        let source = LayerNorm { x, weight, bias, eps };
        self.load_rows(lane, &source, rows_of(x, cols), cols, Forms::of(matrices, cols));
    }

    /// Loads the windows that `convolution` sees of `x`, `[frames, channels]`, for `matrices` of its weights: the
    /// product with them, `[outputs, rows]`, is the convolution. No window is written anywhere else.
    ///
    /// # Panics
    /// The matrices do not have the columns of a window, or `x` is no whole number of frames.
    pub fn load_windows(&mut self, lane: &Lane, x: &[f32], convolution: &Convolution, matrices: &[&Matrix]) {
        let Convolution { channels, kernel, stride, padding } = *convolution;
        let outputs = convolution.outputs(rows_of(x, channels));
        let source = Windows { x, step: stride * channels, zeros: padding * channels };
        let cols = kernel * channels;
        self.load_rows(lane, &source, outputs, cols, Forms::of(matrices, cols));
    }

    /// [`crate::silu_mul`] of `gate` and `up`, `[tokens, cols]` each, loaded for `matrices` without being written in
    /// between; the same bits as the two steps.
    ///
    /// # Panics
    /// As [`Activations::load_for`], or `gate` and `up` differ in length.
    pub fn load_silu_mul(&mut self, lane: &Lane, gate: &[f32], up: &[f32], matrices: &[&Matrix]) {
        assert_eq!(gate.len(), up.len(), "gate and up differ in length");
        let cols = matrices.first().map_or(0, |matrix| matrix.cols());
        self.load_rows(lane, &SiluMul { gate, up, cols }, rows_of(gate, cols), cols, Forms::of(matrices, cols));
    }

    fn load_rows<S: Source>(&mut self, lane: &Lane, source: &S, tokens: usize, cols: usize, forms: Forms) {
        (self.tokens, self.cols) = (tokens, cols);
        let groups = if forms.codes { cols / 32 } else { 0 };
        resize(&mut self.codes, groups * GROUP_WORDS * tokens, 0);
        if !self.codes.is_empty() {
            let isa = self.isa;
            lane.for_each_chunk_mut(&mut self.codes, LOAD_TOKENS * groups * GROUP_WORDS, |index, mut words| {
                for (first, count) in tiles(index * LOAD_TOKENS, words.len() / (groups * GROUP_WORDS)) {
                    let (now, rest) = words.split_at_mut(count * groups * GROUP_WORDS);
                    cpu::run(isa, LoadCodes { source, first, tokens: count, out: now });
                    words = rest;
                }
            });
        }
        resize(&mut self.floats, if forms.floats { cols * tokens } else { 0 }, 0.0);
        if !self.floats.is_empty() {
            let isa = self.isa;
            let tile = cpu::float_shape(isa).tokens;
            lane.for_each_chunk_mut(&mut self.floats, tile * cols, |index, mut values| {
                for (first, count) in cpu::float_tiles(index * tile, values.len() / cols, tile) {
                    let (now, rest) = values.split_at_mut(count * cols);
                    cpu::run(isa, LoadFloats { source, first, tokens: count, out: now });
                    values = rest;
                }
            });
        }
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// The words of all tokens from `token` (the first of a tile) on, in the form that `matrix` reads.
    pub(crate) fn words_for(&self, matrix: &Matrix) -> &[u32] {
        assert_eq!(self.isa, matrix.isa(), "activations for {}, weights for {}", self.isa, matrix.isa());
        assert_eq!(self.cols, matrix.cols(), "an input of {} columns, a matrix of {}", self.cols, matrix.cols());
        let words: &[u32] = if matrix.format().is_float() { bytemuck::cast_slice(&self.floats) } else { &self.codes };
        assert!(
            words.len() == self.tokens * words_per_token(matrix),
            "the input was loaded for other matrices than this {} one",
            matrix.format()
        );
        words
    }
}

/// Words of one token in the form that `matrix` reads.
pub(crate) fn words_per_token(matrix: &Matrix) -> usize {
    if matrix.format().is_float() { matrix.cols() } else { matrix.cols() / 32 * GROUP_WORDS }
}

/// Splits tokens `first..first + count` into tiles of [`TILE`], then of ever smaller powers of two.
pub(crate) fn tiles(first: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
    let (mut next, end) = (first, first + count);
    std::iter::from_fn(move || {
        let width = [TILE, 2, 1].into_iter().find(|width| next + width <= end)?;
        let tile = (next, width);
        next += width;
        Some(tile)
    })
}

fn rows_of(x: &[f32], cols: usize) -> usize {
    if cols == 0 {
        return 0;
    }
    assert!(x.len().is_multiple_of(cols), "{} values are no whole number of rows of {cols}", x.len());
    x.len() / cols
}

/// Sets the length without touching what is there already: every word is overwritten by the load.
fn resize<T: Copy>(values: &mut Vec<T>, len: usize, fill: T) {
    if values.len() > len {
        values.truncate(len);
    } else {
        values.resize(len, fill);
    }
}
