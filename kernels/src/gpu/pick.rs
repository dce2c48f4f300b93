//! The pick of tokens from logits, on the device: one, or a few candidates.

use nanomind_hal::gpu::GpuError;

use super::pass::{Pass, word};
use super::rows::{Tokens, View};
use super::shader::Shader;

/// Values that one workgroup picks candidates from.
const STRETCH: usize = 1024;

/// Candidates that are picked at most: few enough that each round leaves much less than it began with.
const MOST_CANDIDATES: usize = 256;

impl Pass<'_> {
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
        let scratch = self.kernels().scratch(0, 2 * stretches * rows.rows())?;
        let (count, each) = (rows.width(), rows.width().div_ceil(stretches));
        let all = [rows.at(), rows.stride(), count, each, 0, 2 * stretches, 0].map(word);
        self.step(Shader::Argmax, &[rows.buffer(), &scratch], &all, [stretches, rows.rows(), 1])?;
        let last = [0, 2 * stretches, stretches, stretches, first, 1, 1].map(word);
        self.step(Shader::Argmax, &[&scratch, out.buffer()], &last, [1, rows.rows(), 1])
    }

    /// The `k` largest values of each row with their places, largest first and the first of equals first, not-a-numbers
    /// aside: what samplers choose from. Row `i` goes to the `2 k` places from `first + 2 k i` on of `out`: the bits of a
    /// value, then its place, which is `u32::MAX` for what there is not.
    ///
    /// # Errors
    /// A kernel does not compile, or the device is lost or has no memory for the workspace.
    ///
    /// # Panics
    /// `k` is 0 or over 256, or there is no room for so many.
    pub fn top_k(&mut self, rows: View<'_>, k: usize, out: &Tokens, first: usize) -> Result<(), GpuError> {
        let height = rows.rows();
        assert!((1..=MOST_CANDIDATES).contains(&k), "{k} candidates, at most {MOST_CANDIDATES}");
        assert!(first + 2 * k * height <= out.count(), "{height} times {k} pairs at {first} of {}", out.count());
        // Each round reads what the one before left in one of the two workspaces, and leaves less in the other.
        let groups = |count: usize| count.div_ceil(STRETCH).max(1);
        let left = 2 * k * groups(rows.width());
        let [one, other] = [self.kernels().scratch(0, left * height)?, self.kernels().scratch(1, left * height)?];
        let (mut input, mut count, mut pairs) = ((rows.buffer(), rows.at(), rows.stride()), rows.width(), false);
        let (mut output, mut next) = (&*one, &*other);
        loop {
            let is_last = groups(count) == 1;
            let (to, at, stride) = if is_last { (out.buffer(), first, 2 * k) } else { (output, 0, left) };
            let parameters = [input.1, input.2, count, k, at, stride, usize::from(pairs)].map(word);
            self.step(Shader::TopK, &[input.0, to], &parameters, [groups(count), height, 1])?;
            if is_last {
                return Ok(());
            }
            (input, count, pairs) = ((output, 0, left), k * groups(count), true);
            (output, next) = (next, output);
        }
    }
}
