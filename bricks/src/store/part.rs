//! A file on its way into the store: bytes go to `NAME.part`, and only a complete, checked file gets its final name.
//!
//! What a part is a part of is written down beside it, in `NAME.part.json`, so that a later pull resumes the same file
//! and nothing else. Only the holder of the file's [`PullLock`] touches either.
use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{FileAction, FileError, Sha256, digest::Hasher};

/// What a part is a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The reference it was asked for by.
    pub(super) reference: String,
    /// The server's name for this version of the file: a strong ETag or a date, for `If-Range`.
    pub(super) validator: Option<String>,
    /// The promised digest, in hex.
    pub(super) sha256: Option<String>,
    /// The whole file's size.
    pub(super) total: Option<u64>,
}

/// What is written beside a complete file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// The reference it was asked for by.
    pub(super) reference: String,
    /// Its size.
    pub(super) bytes: u64,
    /// Its digest, in hex.
    pub(super) sha256: String,
}

/// `path` with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Where the receipt of the complete file `path` is.
pub(super) fn receipt_path(path: &Path) -> PathBuf {
    beside(path, ".json")
}

/// An incomplete file, open for writing at its end.
pub(super) struct PartFile {
    complete_path: PathBuf,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    origin: Origin,
}

impl PartFile {
    /// Opens the part of `complete_path`. Bytes that are there already are kept when they belong to the same reference
    /// and digest, and dropped otherwise.
    pub(super) fn open(complete_path: &Path, wanted: Origin) -> Result<PartFile, FileError> {
        let path = beside(complete_path, ".part");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(FileError::of(FileAction::Create, &path))?;
        let known = fs::read(beside(&path, ".json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut part = match known {
            Some(known) if is_same(&known, &wanted) => {
                let mut hasher = Hasher::default();
                hasher.update_from(&mut file).map_err(FileError::of(FileAction::Read, &path))?;
                PartFile { complete_path: complete_path.into(), path, file, hasher, origin: known }
            }
            _ => {
                let hasher = Hasher::default();
                let mut part = PartFile { complete_path: complete_path.into(), path, file, hasher, origin: wanted };
                part.restart()?;
                return Ok(part);
            }
        };
        if part.origin.total.is_some_and(|total| part.len() > total) {
            part.restart()?;
        }
        Ok(part)
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> u64 {
        self.hasher.seen()
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Drops all bytes.
    pub(super) fn restart(&mut self) -> Result<(), FileError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(FileError::of(FileAction::Write, &self.path))?;
        self.hasher = Hasher::default();
        Ok(())
    }

    /// Writes down what the bytes to come are a part of.
    pub(super) fn set_origin(&mut self, origin: Origin) -> Result<(), FileError> {
        let path = beside(&self.path, ".json");
        write_json(&path, &origin)?;
        self.origin = origin;
        Ok(())
    }

    /// Adds bytes at the end.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(FileError::of(FileAction::Write, &self.path))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// The digest of what is there.
    pub(super) fn sha256(&self) -> Sha256 {
        self.hasher.clone().finish()
    }

    /// Deletes the part and what is known about it.
    pub(super) fn discard(self) -> Result<(), FileError> {
        remove_if_there(&beside(&self.path, ".json"))?;
        remove_if_there(&self.path)
    }

    /// Gives the file its final name, once every byte is safely on the disk.
    pub(super) fn finish(self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::of(FileAction::Write, &self.path))?;
        let receipt =
            Receipt { reference: self.origin.reference.clone(), bytes: self.len(), sha256: self.sha256().to_string() };
        write_json(&receipt_path(&self.complete_path), &receipt)?;
        fs::rename(&self.path, &self.complete_path).map_err(FileError::of(FileAction::Rename, &self.complete_path))?;
        remove_if_there(&beside(&self.path, ".json"))?;
        if let Some(folder) = self.complete_path.parent() {
            // The new name survives a power cut only when the folder is on the disk too.
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(FileError::of(FileAction::Write, folder))?;
        }
        Ok(())
    }
}

/// Whether a part with this origin may be continued for what is wanted now.
fn is_same(known: &Origin, wanted: &Origin) -> bool {
    let agree = |known: &Option<String>, wanted: &Option<String>| wanted.is_none() || known == wanted;
    known.reference == wanted.reference && agree(&known.sha256, &wanted.sha256)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = serde_json::to_vec(value).map_err(|error| FileError::new(FileAction::Write, path, error.into()))?;
    fs::write(path, text).map_err(FileError::of(FileAction::Write, path))
}

/// Removes a file that need not be there.
pub(super) fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::new(FileAction::Remove, path, error))
        }
        _ => Ok(()),
    }
}

/// The right to fetch one file. Ends when dropped, and when the process ends however it ends.
pub(super) struct PullLock {
    _file: File,
}

impl PullLock {
    /// Takes the lock of `complete_path`; where another pull holds it, says so through `waiting` and waits.
    pub(super) fn take(complete_path: &Path, waiting: impl FnOnce()) -> Result<PullLock, FileError> {
        let path = beside(complete_path, ".lock");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(FileError::of(FileAction::Create, folder))?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(FileError::of(FileAction::Create, &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(FileError::of(FileAction::Lock, &path))?;
            }
            Err(fs::TryLockError::Error(error)) => return Err(FileError::new(FileAction::Lock, &path, error)),
        }
        Ok(PullLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(reference: &str) -> Origin {
        Origin { reference: reference.into(), ..Origin::default() }
    }

    #[test]
    fn a_part_is_continued_for_the_same_reference_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        let mut part = PartFile::open(&path, origin("a")).expect("a new part");
        part.set_origin(Origin { total: Some(6), ..origin("a") }).expect("written");
        part.write(b"abc").expect("written");
        drop(part);

        let part = PartFile::open(&path, origin("a")).expect("the same part");
        assert_eq!((part.len(), part.origin().total), (3, Some(6)));
        drop(part);
        let part = PartFile::open(&path, origin("b")).expect("another part");
        assert_eq!(part.len(), 0, "bytes of another model were kept");
    }

    #[test]
    fn a_part_without_its_note_is_not_trusted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        fs::write(beside(&path, ".part"), "left by someone").expect("written");
        assert_eq!(PartFile::open(&path, origin("a")).expect("a part").len(), 0);
    }

    #[test]
    fn finishing_leaves_the_file_and_its_receipt_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        let mut part = PartFile::open(&path, origin("a")).expect("a new part");
        part.set_origin(origin("a")).expect("written");
        part.write(b"abc").expect("written");
        assert!(!path.exists(), "an incomplete file has the final name");
        part.finish().expect("finished");
        assert_eq!(fs::read(&path).expect("the file"), b"abc");
        let mut names: Vec<_> = fs::read_dir(&folder).expect("a folder").flatten().map(|e| e.file_name()).collect();
        names.sort();
        assert_eq!(names, ["model.gguf", "model.gguf.json"]);
    }
}
