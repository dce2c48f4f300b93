//! Why a backend did not do what it was asked to.

use crate::ShapeError;

/// Why a backend did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A shape does not fit, or there is no memory.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl From<nanomind_hal::AllocationError> for BackendError {
    fn from(error: nanomind_hal::AllocationError) -> BackendError {
        BackendError::Shape(error.into())
    }
}
