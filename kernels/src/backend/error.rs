//! Why a backend did not do what it was asked to.

use crate::{KvFormat, ShapeError};

/// Why a backend did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A shape does not fit, or there is no memory.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The device keeps no keys and values like that.
    #[error("keys and values in {format}: a graphics processor keeps them in f16")]
    KvFormat {
        /// How they were to be kept.
        format: KvFormat,
    },
    /// The device takes no such heads.
    #[error("heads of {head_dim} values: a graphics processor takes multiples of 4 up to 256")]
    HeadDim {
        /// Values of a head.
        head_dim: usize,
    },
    /// The device does not turn so many values of a head.
    #[error("{values} values of a head to rotate: a graphics processor takes multiples of 4")]
    Rotated {
        /// Values of a head that are rotated.
        values: usize,
    },
    /// The device is lost, has no memory left, or refused a step.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] nanomind_hal::gpu::GpuError),
}

impl BackendError {
    /// Whether less would have fitted.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            BackendError::Shape(error) => matches!(error, ShapeError::OutOfMemory(_) | ShapeError::KvTooLarge { .. }),
            #[cfg(feature = "gpu")]
            BackendError::Gpu(error) => {
                use nanomind_hal::gpu::GpuError;
                matches!(error, GpuError::OutOfMemory { .. } | GpuError::TooLarge { .. })
            }
            BackendError::KvFormat { .. } | BackendError::HeadDim { .. } | BackendError::Rotated { .. } => false,
        }
    }

    /// Whether the device is gone with all that it held.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            BackendError::Gpu(error) => matches!(error, nanomind_hal::gpu::GpuError::Lost { .. }),
            _ => false,
        }
    }
}

#[cfg(feature = "gpu")]
impl From<crate::gpu::MatrixError> for BackendError {
    fn from(error: crate::gpu::MatrixError) -> BackendError {
        match error {
            crate::gpu::MatrixError::Shape(error) => BackendError::Shape(error),
            crate::gpu::MatrixError::Gpu(error) => BackendError::Gpu(error),
        }
    }
}

impl From<nanomind_hal::AllocationError> for BackendError {
    fn from(error: nanomind_hal::AllocationError) -> BackendError {
        BackendError::Shape(error.into())
    }
}
