//! A recorder: dispatches and copies, one after the other, that are submitted at once.

use super::buffer::Buffer;
use super::device::Gpu;
use super::error::GpuError;
use super::pipeline::{Bindings, Pipeline};

/// Records what the device is to do. Each step sees what those before it wrote.
pub struct Recorder {
    gpu: Gpu,
    encoder: wgpu::CommandEncoder,
    /// Dispatches that follow each other share one pass.
    pass: Option<wgpu::ComputePass<'static>>,
}

/// Work that was handed to the device, for those who wait for its end.
#[derive(Clone, Debug)]
pub struct Submission {
    index: wgpu::SubmissionIndex,
}

impl Gpu {
    /// Begins to record.
    pub fn record(&self) -> Recorder {
        let encoder = self.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        Recorder { gpu: self.clone(), encoder, pass: None }
    }

    /// Blocks this thread until the submission has ended.
    ///
    /// # Errors
    /// The device is or gets lost, or something of what was submitted was refused.
    pub fn wait(&self, submission: Submission) -> Result<(), GpuError> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission.index), timeout: None };
        let waited = self.inner.device.poll(wait);
        self.check()?;
        waited.map(|_| ()).map_err(|error| self.refused(error.to_string()))
    }
}

impl Recorder {
    /// Runs `groups` workgroups of a pipeline on the buffers that are bound; `offsets` has the place of its parameters
    /// in bytes, one for each binding of them.
    pub fn dispatch(&mut self, pipeline: &Pipeline, bindings: &Bindings, offsets: &[u32], groups: [u32; 3]) {
        let pass = self.pass.get_or_insert_with(|| {
            self.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
        });
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &bindings.group, offsets);
        let [x, y, z] = groups;
        pass.dispatch_workgroups(x, y, z);
    }

    /// Copies bytes from one buffer to another. Places and number are multiples of four.
    pub fn copy(&mut self, from: &Buffer, from_offset: u64, to: &Buffer, to_offset: u64, bytes: u64) {
        self.pass = None;
        self.encoder.copy_buffer_to_buffer(&from.buffer, from_offset, &to.buffer, to_offset, bytes);
    }

    /// Hands all of it to the device, at once.
    ///
    /// # Errors
    /// The device is lost, or a step was refused: then none was done.
    pub fn submit(self) -> Result<Submission, GpuError> {
        let Recorder { gpu, encoder, pass } = self;
        drop(pass);
        gpu.check()?;
        let index = gpu.inner.queue.submit([encoder.finish()]);
        gpu.check()?;
        Ok(Submission { index })
    }
}
