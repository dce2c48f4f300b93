//! Rotary position embedding.

use crate::Isa;
use crate::cpu::{self, RotateRow};

/// Which values of a head make a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Neighbours, `(0, 1), (2, 3), …`: llama.cpp's `norm`, what a converted `llama` file wants.
    Interleaved,
    /// One value of each half, `(0, n/2), (1, n/2 + 1), …`: `neox`, what `qwen2` and Hugging Face's weights want.
    Halves,
}

/// The angle of each pair for one step of position.
#[derive(Debug, Clone)]
pub struct RopeTable {
    layout: RopeLayout,
    /// Radians for each position, `[rotated / 2]`.
    frequencies: Vec<f64>,
}

impl RopeTable {
    /// Rotates the first `rotated` values of each head by `position · base^(−2 i / rotated)`, each frequency divided by
    /// its factor where `factors` (`[rotated / 2]`, the tensor `rope_freqs.weight` of Llama 3) are given.
    ///
    /// # Panics
    /// `rotated` is odd, or there are not `rotated / 2` factors.
    #[must_use]
    pub fn new(layout: RopeLayout, rotated: usize, base: f32, factors: Option<&[f32]>) -> RopeTable {
        assert!(rotated.is_multiple_of(2), "an odd number of {rotated} values cannot be rotated in pairs");
        if let Some(factors) = factors {
            assert_eq!(factors.len(), rotated / 2, "{} frequency factors for {rotated} values", factors.len());
        }
        #[expect(clippy::cast_precision_loss, reason = "a head has few values")]
        let frequencies = (0..rotated / 2)
            .map(|pair| {
                let frequency = f64::from(base).powf(-2.0 * pair as f64 / rotated as f64);
                frequency / factors.map_or(1.0, |factors| f64::from(factors[pair]))
            })
            .collect();
        RopeTable { layout, frequencies }
    }

    /// Values of a head that are rotated.
    #[must_use]
    pub fn rotated(&self) -> usize {
        2 * self.frequencies.len()
    }

    /// Which values make a pair.
    #[cfg(feature = "gpu")]
    pub(crate) fn layout(&self) -> RopeLayout {
        self.layout
    }
}

/// The sines and cosines of a run of positions: made once for each forward pass, used by every layer.
#[derive(Debug, Clone, Default)]
pub struct RopeAngles {
    layout: Option<RopeLayout>,
    pairs: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeAngles {
    /// An empty workspace.
    #[must_use]
    pub fn new() -> RopeAngles {
        RopeAngles::default()
    }

    /// Prepares `tokens` positions from `first_position` on. Reuses the memory of earlier calls.
    pub fn set(&mut self, table: &RopeTable, first_position: usize, tokens: usize) {
        self.set_positions(table, first_position..first_position + tokens);
    }

    /// Prepares one position for each token, in any order (several sequences in one batch).
    pub fn set_positions(&mut self, table: &RopeTable, positions: impl IntoIterator<Item = usize>) {
        self.layout = Some(table.layout);
        self.pairs = table.frequencies.len();
        self.cos.clear();
        self.sin.clear();
        for position in positions {
            for frequency in &table.frequencies {
                #[expect(clippy::cast_precision_loss, reason = "positions are far below 2^52")]
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                #[expect(clippy::cast_possible_truncation, reason = "rounded to the kernels' precision")]
                {
                    self.cos.push(cos as f32);
                    self.sin.push(sin as f32);
                }
            }
        }
    }

    /// Positions that are prepared.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.cos.len().checked_div(self.pairs).unwrap_or(0)
    }

    /// The cosine and the sine of each pair of each position.
    #[cfg(feature = "gpu")]
    pub(crate) fn cosines_and_sines(&self) -> impl Iterator<Item = [f32; 2]> {
        self.cos.iter().zip(&self.sin).map(|(cos, sin)| [*cos, *sin])
    }
}

/// Rotates the heads of `rows`, `[tokens, heads, head_dim]`, in place: token `i` by the angles at `first_token + i`.
///
/// # Panics
/// `rows` is no whole number of rows, the angles hold fewer tokens, or a head is shorter than what is rotated.
pub fn rope(isa: Isa, rows: &mut [f32], heads: usize, head_dim: usize, angles: &RopeAngles, first_token: usize) {
    let Some(layout) = angles.layout else {
        assert!(rows.is_empty(), "rows to rotate, but no angles are set");
        return;
    };
    let (width, pairs) = (heads * head_dim, angles.pairs);
    assert!(2 * pairs <= head_dim, "a head of {head_dim} values cannot rotate {}", 2 * pairs);
    if width == 0 || pairs == 0 {
        return;
    }
    assert!(rows.len().is_multiple_of(width), "{} values are no whole number of rows of {width}", rows.len());
    let tokens = rows.len() / width;
    assert!(
        first_token + tokens <= angles.tokens(),
        "angles of {} tokens, {tokens} wanted from {first_token} on",
        angles.tokens()
    );
    let neighbours = layout == RopeLayout::Interleaved;
    for (row, token) in rows.chunks_exact_mut(width).zip(first_token..) {
        let (cos, sin) = (&angles.cos[token * pairs..][..pairs], &angles.sin[token * pairs..][..pairs]);
        cpu::run(isa, RotateRow { row, head_dim, neighbours, cos, sin });
    }
}
