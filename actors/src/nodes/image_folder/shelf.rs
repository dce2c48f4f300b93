//! The shelf: the pictures of a folder that wait to be shown, and how new ones come onto it.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nanomind_hal::{FolderChange, FolderWatch, WatchFor};

use crate::error::NodeError;
use crate::threads;

/// Names of image files end so, in capitals or not.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

pub(super) struct Shelf {
    folder: PathBuf,
    /// `None`: nothing comes onto it any more.
    watch: Option<FolderWatch>,
    waiting: VecDeque<OsString>,
    /// Every name that was ever on it.
    known: BTreeSet<OsString>,
    shown: u64,
}

impl Shelf {
    /// The pictures in `folder`; with `watch` further ones come onto the shelf.
    pub(super) async fn open(folder: PathBuf, watch: bool) -> Result<Shelf, NodeError> {
        // Watched before it is listed, so that no picture falls between.
        let watched = watch.then(|| FolderWatch::new(&folder, WatchFor::Files)).transpose();
        let watch = watched.map_err(|source| NodeError::File { path: folder.clone(), source })?;
        let mut shelf = Shelf { folder, watch, waiting: VecDeque::new(), known: BTreeSet::new(), shown: 0 };
        shelf.stock().await?;
        Ok(shelf)
    }

    /// Pictures that were taken from it.
    pub(super) fn shown(&self) -> u64 {
        self.shown
    }

    /// The next picture, waiting for one if the folder is watched; `None`: there is none, and none will come.
    pub(super) async fn next(&mut self) -> Result<Option<PathBuf>, NodeError> {
        while self.waiting.is_empty() {
            let Some(watch) = &mut self.watch else { return Ok(None) };
            let changes = watch.changes().await.map_err(|source| self.failed(source))?;
            for change in changes {
                self.heed(change).await?;
            }
        }
        self.shown += 1;
        Ok(self.waiting.pop_front().map(|name| self.folder.join(name)))
    }

    async fn heed(&mut self, change: FolderChange) -> Result<(), NodeError> {
        match change {
            FolderChange::Written(name) => self.put(name),
            // A link is whole from the start; what is written under a new name is told again when it is.
            FolderChange::Made(name) if is_picture(&name) => {
                let path = self.folder.join(&name);
                let linked = threads::call("picture-folder", move || Ok(is_link(&path))).await;
                if linked.map_err(|source| self.failed(source))? {
                    self.put(name);
                }
            }
            FolderChange::Made(_) | FolderChange::Granted(_) => {}
            FolderChange::Missed => self.stock().await?,
            FolderChange::Gone => {
                let gone = io::Error::new(io::ErrorKind::NotFound, "the folder was removed or renamed");
                return Err(self.failed(gone));
            }
        }
        Ok(())
    }

    /// Puts a name on the shelf, unless it is no picture's or waits there already. A picture that is written anew comes
    /// onto it anew.
    fn put(&mut self, name: OsString) {
        if is_picture(&name) && !self.waiting.contains(&name) {
            self.known.insert(name.clone());
            self.waiting.push_back(name);
        }
    }

    /// Looks through the folder for pictures that were never on the shelf.
    async fn stock(&mut self) -> Result<(), NodeError> {
        let folder = self.folder.clone();
        let names =
            threads::call("picture-folder", move || list(&folder)).await.map_err(|source| self.failed(source))?;
        for name in names {
            if !self.known.contains(&name) {
                self.put(name);
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> NodeError {
        NodeError::File { path: self.folder.clone(), source }
    }
}

/// The names of the pictures in a folder, in order.
fn list(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link to a picture is one too; what a broken one points at is told when it is shown.
        if is_picture(&entry.file_name()) && !entry.path().is_dir() {
            names.insert(entry.file_name());
        }
    }
    Ok(names)
}

/// Whether a file of this name is taken for a picture.
fn is_picture(name: &OsStr) -> bool {
    let hidden = name.as_encoded_bytes().starts_with(b".");
    let ending = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    !hidden && ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

/// Whether what has appeared at `path` is a link, symbolic or another name of a file that was there.
fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink() || (found.is_file() && found.nlink() > 1))
}
