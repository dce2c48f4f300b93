//! Why a node ends before its work is done.

use std::path::PathBuf;

use nanomind_graphs::FieldError;
use nanomind_hal::camera::CameraError;
use nanomind_hal::{AcceleratorId, JobError};

use crate::edge::EdgeClosed;

/// An error of a node; it ends the node, and the supervisor decides whether it is started again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Nobody receives any more what the node sends: it has no work left, and ends as finished.
    #[error(transparent)]
    Closed(#[from] EdgeClosed),
    /// A job was lost.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The node asked its plan for a field that it does not have.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Standard input or output broke.
    #[error("{stream}: {source}")]
    Stream {
        /// `standard input` or `standard output`.
        stream: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The camera gives no frames.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The node submits jobs but its kind declares no accelerator to run on.
    #[error("node `{node}` submits a job but no accelerator is assigned to it: its specification lacks `runs_on`")]
    NoAccelerator {
        /// The node.
        node: String,
    },
    /// The node is assigned to an accelerator that this run does not have.
    #[error("node `{node}` is assigned to {accelerator}, which this run does not have")]
    UnknownAccelerator {
        /// The node.
        node: String,
        /// Where its job should have gone.
        accelerator: AcceleratorId,
    },
    /// There was nothing to read.
    #[error("{stream} is empty: there is no prompt to answer")]
    EmptyInput {
        /// What was read.
        stream: &'static str,
    },
    /// The node's own error.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),
}

impl NodeError {
    /// Whether another try would end the same way, so that a restart is of no use.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            NodeError::Field(_)
                | NodeError::NoAccelerator { .. }
                | NodeError::UnknownAccelerator { .. }
                | NodeError::EmptyInput { .. }
                | NodeError::Camera(_)
        )
    }

    /// Wraps an error of a node's own.
    pub fn own(error: impl std::error::Error + Send + Sync + 'static) -> NodeError {
        NodeError::Own(Box::new(error))
    }
}
