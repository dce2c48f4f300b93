//! The store against a server on this machine, a fake pip, and other pulls at the same time.
mod downloads;
mod packages;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    CatalogueEntry, Network, Patience, PullEvent, Pulled, Sha256, Store, StoreError, StoreSettings, digest::Hasher,
};

/// A store in an empty folder, with a patience that tests can bear.
struct Machine {
    folder: TempDir,
    settings: StoreSettings,
    catalogue: &'static [CatalogueEntry],
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = StoreSettings {
            home: folder.path().join("home"),
            hub_cache: Some(folder.path().join("hub")),
            hub_endpoint: "https://hub.invalid".into(),
            hub_token: None,
            network: Network::Allowed,
            patience: Patience { attempts: 3, first_wait: Duration::from_millis(1), silence: Duration::from_secs(20) },
            program_path: Some("/nowhere".into()),
        };
        Machine { folder, settings, catalogue: super::CATALOGUE }
    }

    fn store(&self) -> Store {
        Store { settings: self.settings.clone(), catalogue: self.catalogue }
    }

    fn pull(&self, reference: &str) -> Result<Pulled, StoreError> {
        self.pull_with(reference, &mut |_| {})
    }

    fn pull_with(&self, reference: &str, progress: &mut dyn FnMut(PullEvent<'_>)) -> Result<Pulled, StoreError> {
        self.store().pull(&reference.parse().expect("a good reference"), progress)
    }

    #[track_caller]
    fn pull_fails(&self, reference: &str) -> String {
        self.pull(reference).expect_err("the pull should fail").to_string()
    }

    /// All files of the store except locks, as paths inside it.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        collect_files(&self.settings.home, &mut files);
        let inside = |path: PathBuf| path.strip_prefix(&self.settings.home).expect("inside").display().to_string();
        let mut files: Vec<String> = files.into_iter().map(inside).filter(|name| !name.ends_with(".lock")).collect();
        files.sort();
        files
    }
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() { collect_files(&path, files) } else { files.push(path) }
    }
}

fn sha256(bytes: &[u8]) -> Sha256 {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes that differ everywhere, so that a shifted resumption cannot pass.
fn weights(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}
