//! Reads models from the cache of the Hugging Face clients, which this project never writes:
//! `models--ORG--REPO/{refs/REV, snapshots/COMMIT/FILE}`.
use std::{
    fs,
    path::{Path, PathBuf},
};

use super::reference::HubFile;

/// How deep folders inside a repository are looked into when listing.
const DEPTH: u32 = 4;

/// The file of `wanted` in the cache at `root`, where it is there.
pub(super) fn find(root: &Path, wanted: &HubFile) -> Option<PathBuf> {
    let repository = root.join(format!("models--{}--{}", wanted.organisation, wanted.repository));
    let commit = fs::read_to_string(repository.join("refs").join(&wanted.revision)).ok();
    let commit = commit.as_deref().map_or(wanted.revision.as_str(), str::trim);
    // A commit is one plain name; anything else in a reference file is not to be followed.
    let plain = !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let path = repository.join("snapshots").join(commit).join(&wanted.file);
    (plain && commit != ".." && path.is_file()).then_some(path)
}

/// All GGUF files in the cache at `root`, with the references that name them.
pub(super) fn list(root: &Path) -> Vec<(HubFile, PathBuf)> {
    let mut found = Vec::new();
    for repository in folders_in(root) {
        let name = file_name(&repository);
        let Some((organisation, repository_name)) = name.strip_prefix("models--").and_then(|n| n.split_once("--"))
        else {
            continue;
        };
        for snapshot in folders_in(&repository.join("snapshots")) {
            let commit = file_name(&snapshot);
            let is_main = fs::read_to_string(repository.join("refs/main")).is_ok_and(|main| main.trim() == commit);
            let mut files = Vec::new();
            gguf_files_in(&snapshot, DEPTH, &mut files);
            for path in files {
                let Ok(file) = path.strip_prefix(&snapshot) else { continue };
                let hub_file = HubFile {
                    organisation: organisation.into(),
                    repository: repository_name.into(),
                    file: file.to_string_lossy().into_owned(),
                    revision: if is_main { "main".into() } else { commit.clone() },
                    sha256: None,
                };
                found.push((hub_file, path));
            }
        }
    }
    found
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    sorted_entries(folder).into_iter().filter(|path| path.is_dir()).collect()
}

fn gguf_files_in(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    for path in sorted_entries(folder) {
        if path.is_dir() && depth > 0 {
            gguf_files_in(&path, depth - 1, found);
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "gguf") {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ModelRef;

    #[track_caller]
    fn hub_file(text: &str) -> HubFile {
        match text.parse() {
            Ok(ModelRef::Hub(file)) => file,
            other => panic!("{text} is no hub file but {other:?}"),
        }
    }

    #[test]
    fn a_file_is_found_by_branch_and_by_commit() {
        let cache = tempfile::tempdir().expect("a folder");
        let repository = cache.path().join("models--org--repo");
        let snapshot = repository.join("snapshots/abc123/sub");
        fs::create_dir_all(&snapshot).expect("made");
        fs::create_dir_all(repository.join("refs")).expect("made");
        fs::write(repository.join("refs/main"), "abc123\n").expect("written");
        fs::write(snapshot.join("model.gguf"), "weights").expect("written");

        let expected = Some(snapshot.join("model.gguf"));
        assert_eq!(find(cache.path(), &hub_file("hf:org/repo/sub/model.gguf")), expected);
        assert_eq!(find(cache.path(), &hub_file("hf:org/repo/sub/model.gguf@abc123")), expected);
        assert_eq!(find(cache.path(), &hub_file("hf:org/repo/sub/model.gguf@other")), None);
        assert_eq!(find(cache.path(), &hub_file("hf:org/repo/model.gguf")), None);
        let listed = list(cache.path());
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].0.to_string(), "hf:org/repo/sub/model.gguf");

        fs::write(repository.join("refs/main"), "../../elsewhere").expect("written");
        assert_eq!(find(cache.path(), &hub_file("hf:org/repo/sub/model.gguf")), None, "a path was followed");
    }
}
