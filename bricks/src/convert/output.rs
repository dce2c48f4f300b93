//! A file that is written beside its place and moved there when it is whole: what is broken off leaves nothing.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process;

use super::error::ConvertError;

/// A file on its way; dropped before [`PartFile::publish`], it is removed.
pub(super) struct PartFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    overwrite: bool,
    published: bool,
}

impl PartFile {
    /// Makes the file beside `target`.
    pub(super) fn create(target: PathBuf, overwrite: bool) -> Result<PartFile, ConvertError> {
        refuse_existing(&target, overwrite)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.part-{}", process::id()));
        let made = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = made.map_err(|source| ConvertError::Write { path: path.clone(), source })?;
        Ok(PartFile { file, path, target, overwrite, published: false })
    }

    /// Where it is while it is written.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Moves the file to its place, for good.
    pub(super) fn publish(mut self) -> Result<(), ConvertError> {
        let failed = |source| ConvertError::Write { path: self.target.clone(), source };
        self.file.sync_all().map_err(failed)?;
        refuse_existing(&self.target, self.overwrite)?;
        fs::rename(&self.path, &self.target).map_err(failed)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a file that is not whole could not be removed");
        }
    }
}

fn refuse_existing(target: &Path, overwrite: bool) -> Result<(), ConvertError> {
    // Also a link that leads nowhere is something that a person put there.
    match overwrite || target.symlink_metadata().is_err() {
        true => Ok(()),
        false => Err(ConvertError::Exists { path: target.to_owned() }),
    }
}
