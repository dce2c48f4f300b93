//! A pass: steps that follow each other, recorded and then submitted at once.

use nanomind_hal::gpu::{Buffer, GpuError, Recorder};

use super::kernels::{Kernels, STEPS};
use super::results::{Done, Results};
use super::rows::{Tokens, View};
use super::shader::Shader;

/// Records the steps of a forward pass. Each step sees what those before it wrote. Nothing runs before
/// [`Pass::finish`], unless there are more than 2048 steps; what is dropped unfinished does not run.
pub struct Pass<'a> {
    kernels: &'a Kernels,
    recorder: Recorder,
    /// The parameters of all steps, each at its slot.
    parameters: Vec<u32>,
    steps: usize,
}

impl<'a> Pass<'a> {
    pub(super) fn new(kernels: &'a Kernels, mut parameters: Vec<u32>) -> Pass<'a> {
        parameters.clear();
        Pass { kernels, recorder: kernels.gpu().record(), parameters, steps: 0 }
    }

    /// The kernels that it is recorded with.
    #[must_use]
    pub fn kernels(&self) -> &'a Kernels {
        self.kernels
    }

    /// Steps that were recorded and not submitted yet.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Records a step: workgroups of a shader with parameters and buffers.
    pub(super) fn step(
        &mut self,
        shader: Shader,
        buffers: &[&Buffer],
        parameters: &[u32],
        groups: [usize; 3],
    ) -> Result<(), GpuError> {
        if groups.contains(&0) {
            return Ok(());
        }
        if self.steps == STEPS {
            self.submit().map(drop)?;
        }
        let pipeline = self.kernels.pipeline(shader)?;
        let mut bound = [self.kernels.parameters(); 8];
        bound[1..=buffers.len()].copy_from_slice(buffers);
        let bindings = self.kernels.gpu().bind(&pipeline, &bound[..=buffers.len()])?;
        let slot = self.kernels.slot();
        let at = self.steps * slot;
        self.parameters.resize(at / 4, 0);
        self.parameters.extend_from_slice(parameters);
        self.steps += 1;
        self.parameters.resize(self.steps * slot / 4, 0);
        self.recorder.dispatch(&pipeline, &bindings, &[word(at)], groups.map(word));
        Ok(())
    }

    /// Has tokens brought to `results`, from its place `at` on, for the processor to read.
    ///
    /// # Panics
    /// There are no such tokens, or no room for them.
    pub fn fetch_tokens(&mut self, tokens: &Tokens, first: usize, count: usize, results: &Results, at: usize) {
        assert!(first + count <= tokens.count() && at + count <= results.words(), "{count} tokens at {first}");
        self.recorder.copy(tokens.buffer(), 4 * first as u64, results.buffer(), 4 * at as u64, 4 * count as u64);
    }

    /// Has rows brought to `results`, one after the other from its place `at` on.
    ///
    /// # Panics
    /// There is no room for them.
    pub fn fetch_rows(&mut self, rows: View<'_>, results: &Results, at: usize) {
        assert!(at + rows.rows() * rows.width() <= results.words(), "no room for {} rows", rows.rows());
        for row in 0..rows.rows() {
            let (from, to) = (rows.at() + row * rows.stride(), at + row * rows.width());
            let bytes = 4 * rows.width() as u64;
            self.recorder.copy(rows.buffer(), 4 * from as u64, results.buffer(), 4 * to as u64, bytes);
        }
    }

    /// Copies rows to rows of the same width of another buffer.
    ///
    /// # Panics
    /// They differ in rows or width.
    pub fn copy(&mut self, from: View<'_>, to: View<'_>) {
        assert_eq!((from.rows(), from.width()), (to.rows(), to.width()), "rows to copy");
        for row in 0..from.rows() {
            let (source, target) = (from.at() + row * from.stride(), to.at() + row * to.stride());
            let bytes = 4 * from.width() as u64;
            self.recorder.copy(from.buffer(), 4 * source as u64, to.buffer(), 4 * target as u64, bytes);
        }
    }

    /// Hands everything to the device in one submission.
    ///
    /// # Errors
    /// The device is lost, or refused a step: then none was done.
    pub fn finish(mut self) -> Result<Done<'a>, GpuError> {
        self.submit()
    }

    fn submit(&mut self) -> Result<Done<'a>, GpuError> {
        let gpu = self.kernels.gpu();
        let mut turn = self.kernels.submitting();
        if self.steps > 0 {
            gpu.write(self.kernels.parameters(), 0, bytemuck::cast_slice(&self.parameters))?;
        }
        let submission = std::mem::replace(&mut self.recorder, gpu.record()).submit()?;
        self.steps = 0;
        turn.push(std::mem::take(&mut self.parameters));
        Ok(Done::new(self.kernels, submission))
    }
}

/// A size as kernels count: buffers have fewer than 2³² words, and dispatches fewer workgroups.
pub(super) fn word(size: usize) -> u32 {
    debug_assert!(u32::try_from(size).is_ok(), "{size} is more than kernels count to");
    size as u32
}
