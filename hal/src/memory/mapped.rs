//! Files mapped read-only: weights are used where the page cache holds them.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, UncheckedAdvice};

/// A regular file, mapped read-only. An empty file is an empty slice.
///
/// As with every mapping, a file that another program cuts short while it is mapped ends this process when a lost
/// page is read. nanomind itself only ever replaces files by renaming, which leaves a mapping whole.
pub struct MappedFile {
    path: PathBuf,
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// It cannot be opened or mapped, or is not a regular file.
    pub fn open(path: impl AsRef<Path>) -> Result<MappedFile, MapError> {
        let path = path.as_ref();
        let failed = |source| MapError::Io { path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for someone to write to it.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(MapError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(failed)?;
        let map = match file.metadata().map_err(failed)?.len() {
            0 => None,
            // SAFETY: the mapping is read-only and private to us; bytes that another program changes meanwhile can
            // only be read as other bytes, which every reader of a file must expect. See above for truncation.
            _ => Some(unsafe { Mmap::map(&file) }.map_err(failed)?),
        };
        Ok(MappedFile { path: path.to_owned(), map })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// Tells the kernel that the file will be read from start to end, so that it reads ahead. A hint: errors are
    /// of no consequence.
    pub fn advise_sequential(&self) {
        self.advise(Advice::Sequential, 0..self.as_bytes().len());
    }

    /// Tells the kernel that these bytes are wanted soon. A hint: errors, and bytes that are not there, are of no
    /// consequence.
    pub fn advise_will_need(&self, bytes: Range<usize>) {
        self.advise(Advice::WillNeed, bytes);
    }

    /// Gives the memory of these bytes back: they stay in the system's cache of files and come back when they are
    /// read again. A hint, like the others.
    pub fn release(&self, bytes: Range<usize>) {
        let Some(map) = &self.map else { return };
        let end = bytes.end.min(map.len());
        let start = bytes.start.min(end);
        // SAFETY: the pages belong to a read-only map of a file, so dropping them loses nothing: the next read of a
        // byte brings the same byte back from the file.
        let released = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        if let Err(error) = released {
            tracing::debug!(path = %self.path.display(), %error, "the kernel took no advice");
        }
    }

    fn advise(&self, advice: Advice, bytes: Range<usize>) {
        let Some(map) = &self.map else { return };
        let end = bytes.end.min(map.len());
        let start = bytes.start.min(end);
        if let Err(error) = map.advise_range(advice, start, end - start) {
            tracing::debug!(path = %self.path.display(), %error, "the kernel took no advice");
        }
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile").field("path", &self.path).field("len", &self.as_bytes().len()).finish()
    }
}

/// Why a file could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// It could not be opened or mapped.
    #[error("cannot map {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("cannot map {}: not a regular file", path.display())]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_seen_byte_for_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weights");
        let bytes: Vec<u8> = (0..10_000u32).map(|byte| byte as u8).collect();
        std::fs::write(&path, &bytes).expect("a file");
        let file = MappedFile::open(&path).expect("a mapping");
        file.advise_sequential();
        file.advise_will_need(5..usize::MAX);
        file.advise_will_need(usize::MAX..usize::MAX);
        assert_eq!(file.as_bytes(), bytes);
        file.release(4096..8192);
        file.release(9_000..usize::MAX);
        assert_eq!(file.as_bytes(), bytes, "released bytes come back from the file");
        assert_eq!(file.path(), path);
    }

    #[test]
    fn an_empty_file_has_no_bytes() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let map = MappedFile::open(file.path()).expect("a mapping");
        map.advise_sequential();
        assert!(map.as_bytes().is_empty());
    }

    #[test]
    fn what_is_no_file_or_not_there_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = MappedFile::open(folder.path()).expect_err("a folder").to_string();
        assert_eq!(error, format!("cannot map {}: not a regular file", folder.path().display()));
        let missing = folder.path().join("missing");
        let error = MappedFile::open(&missing).expect_err("nothing").to_string();
        assert!(error.starts_with(&format!("cannot map {}: ", missing.display())), "{error}");
    }
}
