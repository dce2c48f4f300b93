//! Attributes: the one-line files in which `/sys` shows what a device says of itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why an attribute has no value.
#[derive(Debug, thiserror::Error)]
pub enum AttributeError {
    /// Only others may read it: the energy counters of many machines are for root alone.
    #[error("cannot read {}: permission denied", path.display())]
    NotAllowed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It holds something else than a whole number.
    #[error("{}: expected a whole number, found {found:?}", path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// What stood there.
        found: String,
    },
    /// It holds a number that cannot be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What stood there.
        found: i64,
    },
}

/// The text of an attribute; `None` where the device does not have it, or does not know it just now.
pub(super) fn text(path: &Path) -> Result<Option<String>, AttributeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(AttributeError::NotAllowed { path: path.to_owned() })
        }
        Err(source) => Err(AttributeError::Unreadable { path: path.to_owned(), source }),
    }
}

/// The whole number in an attribute; `None` as for [`text`].
pub(super) fn number(path: &Path) -> Result<Option<i64>, AttributeError> {
    let Some(text) = text(path)? else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(AttributeError::NotANumber { path: path.to_owned(), found: text }),
    }
}

/// The number, which cannot be below zero, in an attribute; `None` as for [`text`].
pub(super) fn amount(path: &Path) -> Result<Option<f64>, AttributeError> {
    match number(path)? {
        Some(found) if found < 0 => {
            Err(AttributeError::OutOfRange { path: path.to_owned(), expected: "zero or more", found })
        }
        number => Ok(number.map(|number| number as f64)),
    }
}

/// The folders in `folder` whose names begin with `prefix`, in the order of their names, numbers in numeric order; none
/// if there is no such folder.
pub(super) fn devices(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    // A longer name is a greater number, the prefix being the same.
    paths.sort_by(|one, other| {
        let length = |path: &Path| path.file_name().map_or(0, |name| name.len());
        length(one).cmp(&length(other)).then_with(|| one.cmp(other))
    });
    paths
}

/// Drivers answer so for what they have a file for but no value.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NODEV | Errno::NODATA | Errno::NXIO | Errno::OPNOTSUPP)
    )
}
