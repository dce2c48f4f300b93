//! What stops a conversion: every error about the model names file, field, what was expected and what was found.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use nanomind_hal::MapError;

use crate::gguf::GgufProblem;

/// Why a model folder was not converted. Nothing is left behind but what was there before.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// There is no such folder.
    #[error("expected a folder with a Hugging Face model, found none at {}", path.display())]
    NoFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder holds something that is no model, or one that is broken or not known here.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file of the result is there already.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file of the result could not be made, written or moved into place.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was written is not what nanomind's own readers accept. Nothing is kept.
    #[error("the converted model would not load: {source}")]
    ReadBack {
        /// What the reader said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The caller wanted no more.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

/// A file of the model folder that cannot be used, with the field at fault.
///
/// Displays as `FILE: FIELD: expected …, found …`.
#[derive(Debug, thiserror::Error)]
pub struct InputError {
    file: String,
    field: String,
    #[source]
    problem: InputProblem,
}

impl InputError {
    pub(super) fn new(file: impl Into<String>, field: impl Into<String>, problem: InputProblem) -> InputError {
        InputError { file: file.into(), field: field.into(), problem }
    }

    /// The common problem: one thing where another should be.
    pub(super) fn unlike(
        file: impl Into<String>,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> InputError {
        let problem = InputProblem::Unlike { expected: expected.into(), found: found.into() };
        InputError::new(file, field, problem)
    }

    /// The file at fault.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The field, tensor or header at fault.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong.
    pub fn problem(&self) -> &InputProblem {
        &self.problem
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            // Names the file itself, and no field is at fault.
            InputProblem::Unreadable(error) => error.fmt(f),
            problem => write!(f, "{}: {}: {problem}", self.file, self.field),
        }
    }
}

/// What is wrong with a field of a model folder.
#[derive(Debug, thiserror::Error)]
pub enum InputProblem {
    /// The file cannot be opened or mapped.
    #[error(transparent)]
    Unreadable(#[from] MapError),
    /// The file is larger than anything of its kind.
    #[error("expected at most {limit} bytes, found {found}")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// The size of the file.
        found: u64,
    },
    /// The file is no JSON.
    #[error("expected JSON, found {0}")]
    Json(#[source] serde_json::Error),
    /// The header of a safetensors file is wrong.
    #[error("expected a sound header, found: {0}")]
    Header(#[source] safetensors::SafeTensorError),
    /// The file or field is not there.
    #[error("expected {expected}, found none")]
    Missing {
        /// What should be there.
        expected: String,
    },
    /// Something else is there.
    #[error("expected {expected}, found {found}")]
    Unlike {
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// A size or type that a GGUF file cannot hold.
    #[error(transparent)]
    Gguf(#[from] GgufProblem),
}
