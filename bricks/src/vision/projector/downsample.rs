//! The last step of MobileVLM 2's projector: means of 2 by 2 rows, and a depthwise convolution of them added.

/// A depthwise convolution of 3 by 3 that is added to its input; outside the square there are zeros.
pub(super) struct Peg {
    /// `[width, 3, 3]`.
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Peg {
    /// Row `at` of the `side` by `side` rows that `projected`, `[2 · side, 2 · side, width]`, becomes.
    pub(super) fn row(&self, projected: &[f32], side: usize, at: usize, out: &mut [f32]) {
        let (y, x) = (at / side, at % side);
        out.copy_from_slice(&self.bias);
        for (down, across) in (0..3).flat_map(|down| (0..3).map(move |across| (down, across))) {
            let (Some(y), Some(x)) = ((y + down).checked_sub(1), (x + across).checked_sub(1)) else { continue };
            if y >= side || x >= side {
                continue;
            }
            let is_centre = (down, across) == (1, 1);
            let corners = block(projected, side, y, x, out.len());
            for (channel, out) in out.iter_mut().enumerate() {
                let mean = corners.iter().map(|row| row[channel]).sum::<f32>() / 4.0;
                let weight = self.weight[channel * 9 + down * 3 + across];
                *out += mean * if is_centre { weight + 1.0 } else { weight };
            }
        }
    }
}

/// The four rows whose mean is at line `y` and column `x`.
fn block(projected: &[f32], side: usize, y: usize, x: usize, width: usize) -> [&[f32]; 4] {
    let row = |y: usize, x: usize| &projected[(y * 2 * side + x) * width..][..width];
    [row(2 * y, 2 * x), row(2 * y, 2 * x + 1), row(2 * y + 1, 2 * x), row(2 * y + 1, 2 * x + 1)]
}
