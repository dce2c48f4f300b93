//! Where a model is computed.

use std::fmt;
#[cfg(feature = "gpu")]
use std::path::Path;
#[cfg(feature = "gpu")]
use std::sync::Arc;

#[cfg(feature = "gpu")]
use nanomind_hal::gpu::{Gpu, GpuChoice, GpuError};
use nanomind_kernels::Isa;
#[cfg(feature = "gpu")]
use nanomind_kernels::gpu::Kernels;

/// Where a model is computed.
#[derive(Debug, Clone)]
pub enum Target {
    /// On cores, with these instructions. Jobs lend the threads.
    Cpu(Isa),
    /// On a graphics processor. Jobs lend a thread for what the host does around it.
    #[cfg(feature = "gpu")]
    Gpu(Arc<Kernels>),
}

impl Target {
    /// Opens a graphics processor. Pipelines that were compiled before are taken from the folder `cache`, if one is given.
    ///
    /// # Errors
    /// There is none, or none like that, or its driver does not open it.
    #[cfg(feature = "gpu")]
    pub fn open_gpu(choice: &GpuChoice, cache: Option<&Path>) -> Result<Target, GpuError> {
        Ok(Target::Gpu(Arc::new(Kernels::new(Gpu::open(choice, cache)?)?)))
    }

    /// The interface that is computed through, as llama.cpp calls it: `CPU`, `Vulkan`, `Metal`.
    pub fn backend(&self) -> String {
        match self {
            Target::Cpu(_) => "CPU".to_owned(),
            #[cfg(feature = "gpu")]
            Target::Gpu(kernels) => {
                let name = &kernels.gpu().adapter().backend;
                name[..1].to_uppercase() + &name[1..]
            }
        }
    }

    /// The name of the graphics processor; empty where the cores compute.
    pub fn gpu_name(&self) -> &str {
        match self {
            Target::Cpu(_) => "",
            #[cfg(feature = "gpu")]
            Target::Gpu(kernels) => &kernels.gpu().adapter().name,
        }
    }
}

/// The instruction set, or the interface of the graphics processor.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Cpu(isa) => isa.fmt(f),
            #[cfg(feature = "gpu")]
            Target::Gpu(kernels) => f.pad(&kernels.gpu().adapter().backend),
        }
    }
}

impl From<Isa> for Target {
    fn from(isa: Isa) -> Target {
        Target::Cpu(isa)
    }
}

#[cfg(feature = "gpu")]
impl From<Arc<Kernels>> for Target {
    fn from(kernels: Arc<Kernels>) -> Target {
        Target::Gpu(kernels)
    }
}
