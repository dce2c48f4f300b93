//! How a node ends: a closed list, because the restart policy and the report depend on it.

use std::fmt;

use nanomind_hal::JobError;
use nanomind_hal::camera::CameraError;

use crate::error::NodeError;

/// How a run of a node ended.
#[derive(Debug)]
pub enum NodeEnd {
    /// It had nothing left to do.
    Finished,
    /// It returned an error.
    Failed(NodeError),
    /// It, or a job that it had submitted, panicked.
    Panicked(String),
    /// It was told to stop: the run drains or stops.
    Stopped,
    /// The epoch that it worked for was cancelled as a whole.
    Cancelled,
}

impl NodeEnd {
    /// The end that a node's result stands for.
    pub fn of(result: Result<(), NodeError>) -> NodeEnd {
        match result {
            Ok(()) | Err(NodeError::Closed(_)) => NodeEnd::Finished,
            Err(NodeError::Job(JobError::Panicked { message, .. })) => NodeEnd::Panicked(message),
            Err(error) => NodeEnd::Failed(error),
        }
    }

    /// Whether a device that the node needs is not there.
    pub fn is_for_want_of_a_device(&self) -> bool {
        matches!(self, NodeEnd::Failed(NodeError::Camera(CameraError::NotFound { .. } | CameraError::Unplugged { .. })))
    }

    /// Whether requests in flight are lost with it.
    pub fn is_failure(&self) -> bool {
        matches!(self, NodeEnd::Failed(_) | NodeEnd::Panicked(_))
    }
}

impl fmt::Display for NodeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeEnd::Finished => f.write_str("finished"),
            NodeEnd::Failed(error) => write!(f, "failed: {error}"),
            NodeEnd::Panicked(message) => write!(f, "panicked: {message}"),
            NodeEnd::Stopped => f.write_str("stopped"),
            NodeEnd::Cancelled => f.write_str("cancelled"),
        }
    }
}
