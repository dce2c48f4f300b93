//! The kernels of one device: pipelines, made when they are first needed, and the memory that steps share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use std::sync::{Mutex, MutexGuard, PoisonError};

use nanomind_hal::gpu::{Buffer, BufferUse, Gpu, GpuError, Pipeline, PipelineText};

use super::arena::{Arena, Place};
use super::pass::Pass;
use super::shader::{PARAMETERS, Shader};

/// Steps of one submission. A pass of more is submitted in pieces.
pub(super) const STEPS: usize = 2048;

/// All kernels on one device. Pipelines are compiled when they are first used, or taken from the device's cache.
pub struct Kernels {
    gpu: Gpu,
    /// How many invocations run in step, where kernels may sum over them.
    in_step: Option<u32>,
    pipelines: Mutex<HashMap<Shader, Arc<Pipeline>>>,
    /// The parameters of the steps of one submission, written before it.
    parameters: Buffer,
    /// Bound where a kernel reads nothing.
    pub(super) nothing: Buffer,
    /// Weights, norms and biases.
    arena: Mutex<Arena>,
    /// What steps leave for the next step, which may read one and write the other.
    scratch: [Mutex<Option<Arc<Buffer>>>; 2],
    /// Held from the writing of parameters to the submission that reads them; has their memory meanwhile.
    submitting: Mutex<Vec<Vec<u32>>>,
}

impl Kernels {
    /// The kernels of a device. Compiles nothing yet.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    pub fn new(gpu: Gpu) -> Result<Kernels, GpuError> {
        let in_step = match gpu.adapter().features.subgroups {
            Some((least, most)) if least == most && matches!(least, 8 | 16 | 32) => Some(least),
            _ => None,
        };
        Kernels::that_sum(gpu, in_step)
    }

    /// The kernels of a device that use nothing that not every device has, slower on most: for comparison.
    ///
    /// # Errors
    /// As those of [`Kernels::new`].
    pub fn plain(gpu: Gpu) -> Result<Kernels, GpuError> {
        Kernels::that_sum(gpu, None)
    }

    fn that_sum(gpu: Gpu, in_step: Option<u32>) -> Result<Kernels, GpuError> {
        let slot = slot(&gpu);
        let parameters = gpu.buffer("parameters", (STEPS * slot) as u64, BufferUse::Parameters)?;
        let nothing = gpu.buffer("nothing", 16, BufferUse::Storage)?;
        Ok(Kernels {
            gpu,
            in_step,
            pipelines: Mutex::default(),
            parameters,
            nothing,
            arena: Mutex::default(),
            scratch: Default::default(),
            submitting: Mutex::default(),
        })
    }

    /// Begins a pass.
    #[must_use]
    pub fn pass(&self) -> Pass<'_> {
        Pass::new(self, lock(&self.submitting).pop().unwrap_or_default())
    }

    /// The device.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Bytes from the parameters of one step to those of the next.
    pub(super) fn slot(&self) -> usize {
        slot(&self.gpu)
    }

    pub(super) fn parameters(&self) -> &Buffer {
        &self.parameters
    }

    /// Where submissions take turns, and parameters that were submitted leave their memory.
    pub(super) fn submitting(&self) -> MutexGuard<'_, Vec<Vec<u32>>> {
        lock(&self.submitting)
    }

    /// The pipeline of a shader.
    ///
    /// # Errors
    /// The driver does not compile it, or the device is lost.
    pub(super) fn pipeline(&self, shader: Shader) -> Result<Arc<Pipeline>, GpuError> {
        let mut pipelines = lock(&self.pipelines);
        if let Some(pipeline) = pipelines.get(&shader) {
            return Ok(Arc::clone(pipeline));
        }
        let pipeline = self.gpu.pipeline(&PipelineText {
            label: shader.entry(),
            wgsl: &shader.text(self.in_step.is_some()),
            entry: shader.entry(),
            bindings: shader.bindings(),
            constants: &shader.constants(self.in_step),
        })?;
        let pipeline = Arc::new(pipeline);
        pipelines.insert(shader, Arc::clone(&pipeline));
        Ok(pipeline)
    }

    /// A place for weights, or numbers beside them.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    pub(super) fn place(&self, what: &str, bytes: u64) -> Result<Place, GpuError> {
        lock(&self.arena).place(&self.gpu, what, bytes)
    }

    /// Memory for so many words that one step leaves to the next; there are two, 0 and 1.
    ///
    /// # Errors
    /// The device is lost or has no memory.
    pub(super) fn scratch(&self, which: usize, words: usize) -> Result<Arc<Buffer>, GpuError> {
        let bytes = 4 * words as u64;
        let mut scratch = lock(&self.scratch[which]);
        match &*scratch {
            Some(buffer) if buffer.bytes() >= bytes => Ok(Arc::clone(buffer)),
            _ => {
                let buffer = Arc::new(self.gpu.buffer("workspace", bytes, BufferUse::Storage)?);
                Ok(Arc::clone(scratch.insert(buffer)))
            }
        }
    }
}

fn slot(gpu: &Gpu) -> usize {
    PARAMETERS.next_multiple_of(gpu.adapter().limits.parameter_alignment.max(1) as usize)
}

/// Nothing is left half done by a panic under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernels").field("gpu", &self.gpu).field("in_step", &self.in_step).finish_non_exhaustive()
    }
}
