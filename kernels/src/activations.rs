//! The inputs of matrix products: quantised once, shared by every matrix that reads them.

use nanomind_hal::Lane;

use crate::convolution::Convolution;
use crate::cpu::{self, LayerNorm, LoadCodes, LoadFloats, Plain, RmsNorm, SiluMul, Source, Windows};
use crate::{Isa, Matrix};

/// Words of one plane of a group of 32 columns of one token: codes, scale, what products start from.
///
/// A code has 15 bits, `high · 128 + low` with `high` in −127..=127 and `low` in −64..=63, in two planes of 8. The second
/// plane costs a second integer dot product, so groups that need no more than 8 bits have low codes of 0, and where no
/// token of a tile needs more, the low plane is not read.
///
/// A plane of a tile of `T` tokens holds 8·T words of codes (token after token), then T words each of the scale and of
/// −8, −16 and −128 times the sum of the codes and −32 times the sums of the first and the last 16: for a format whose
/// zero is such a code, the integer that its dot product starts from.
pub(crate) const PLANE_WORDS: usize = 14;
/// Where the scales of a plane are, in words a token.
pub(crate) const SCALES_AT: usize = 8;
/// Where the starts of a plane's products are, in words a token.
pub(crate) const STARTS_AT: usize = 9;
/// Powers of two that the sums of all 32 codes, of the first 16 and of the last 16 are multiplied by, in order.
pub(crate) const START_BITS: [u32; 5] = [3, 4, 7, 5, 5];
/// Words of one group of one token: the high plane, the sum of the coded values, whether any token of the tile needs
/// the low plane (of the first token's word only), and the low plane.
pub(crate) const GROUP_WORDS: usize = 2 * PLANE_WORDS + 2;
/// Where the sums of a group's values are, in words a token.
pub(crate) const TOTALS_AT: usize = PLANE_WORDS;
/// Where a group says whether its low plane is needed, in words a token.
pub(crate) const NEEDED_AT: usize = PLANE_WORDS + 1;
/// Where the low plane of a group is, in words a token.
pub(crate) const LOW_AT: usize = PLANE_WORDS + 2;
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
    /// Codes, with low planes for groups that rise so far above their row's mean.
    codes: Option<f32>,
    floats: bool,
}

impl Forms {
    fn of(matrices: &[&Matrix], cols: usize) -> Forms {
        for matrix in matrices {
            assert_eq!(matrix.cols(), cols, "a matrix of {} columns, an input of {cols}", matrix.cols());
        }
        let coded = matrices.iter().filter(|matrix| !matrix.format().is_float());
        Forms {
            codes: coded.map(|matrix| matrix.outliers()).reduce(f32::min),
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
        let forms = Forms { codes: cols.is_multiple_of(32).then_some(0.0), floats: true };
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
        let tile = cpu::tile_tokens(self.isa);
        let groups = if forms.codes.is_some() { cols / 32 } else { 0 };
        let outliers = forms.codes.unwrap_or_default();
        resize(&mut self.codes, groups * GROUP_WORDS * tokens, 0);
        if !self.codes.is_empty() {
            let isa = self.isa;
            lane.for_each_chunk_mut(&mut self.codes, tile * groups * GROUP_WORDS, |index, mut words| {
                for (first, count) in tiles(index * tile, words.len() / (groups * GROUP_WORDS), tile) {
                    let (now, rest) = words.split_at_mut(count * groups * GROUP_WORDS);
                    cpu::run(isa, LoadCodes { source, first, tokens: count, outliers, out: now });
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

/// Splits tokens `first..first + count` into tiles of `widest`, then of ever smaller powers of two.
pub(crate) fn tiles(first: usize, count: usize, widest: usize) -> impl Iterator<Item = (usize, usize)> {
    let (mut next, end, mut width) = (first, first + count, widest);
    std::iter::from_fn(move || {
        while width > 0 && next + width > end {
            width /= 2;
        }
        let tile = (width > 0).then_some((next, width))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_token_once_widest_first() {
        for widest in [1, 4, 8] {
            for count in 0..40 {
                let mut next = 3;
                for (first, tokens) in tiles(3, count, widest) {
                    assert_eq!(first, next);
                    assert!(tokens.is_power_of_two() && tokens <= widest);
                    next += tokens;
                }
                assert_eq!(next, 3 + count);
            }
        }
    }
}
