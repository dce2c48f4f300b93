//! What is on this machine: the catalogue with the state of each model, and everything else that was fetched.
use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    ModelRef, Store, hub,
    part::{Receipt, beside, receipt_path},
};

/// A model that nanomind knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedModel {
    /// How a person or a graph names it.
    #[serde(rename = "model")]
    pub reference: String,
    /// Where its file is or will be.
    pub path: PathBuf,
    /// The whole file's size, where known.
    pub bytes: Option<u64>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: ModelState,
    /// SPDX licence, where known.
    pub licence: Option<&'static str>,
    /// One line about it, where known.
    pub summary: Option<&'static str>,
}

/// Where a model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ModelState {
    /// On this machine.
    Ready,
    /// In the cache of the Hugging Face clients, and usable from there.
    InHubCache,
    /// Fetched in part; `pull` goes on.
    Partial {
        /// Bytes that are here.
        #[serde(rename = "bytes_here")]
        bytes: u64,
    },
    /// Not here.
    Absent,
    /// Here with a wrong size; `pull` fetches it again.
    Damaged {
        /// Bytes that are here.
        #[serde(rename = "bytes_here")]
        bytes: u64,
    },
}

impl Store {
    /// All models: the catalogue first, then what else was fetched, then the cache of the Hugging Face clients.
    pub fn list(&self) -> Vec<ListedModel> {
        let mut models: Vec<ListedModel> = self.catalogue.iter().map(|entry| self.listed_entry(entry)).collect();
        let known: Vec<PathBuf> = models.iter().map(|model| model.path.clone()).collect();
        let mut receipts = Vec::new();
        receipts_in(&self.models_folder(), 8, &mut receipts);
        for (path, receipt) in receipts {
            let size = file_size(&path);
            let partial = file_size(&beside(&path, ".part"));
            let state = match size {
                _ if known.contains(&path) => continue,
                Some(size) if size == receipt.bytes => ModelState::Ready,
                Some(bytes) => ModelState::Damaged { bytes },
                None if partial.is_some() => ModelState::Partial { bytes: partial.unwrap_or(0) },
                None => continue,
            };
            let bytes = (receipt.bytes > 0).then_some(receipt.bytes);
            models.push(ListedModel { reference: receipt.reference, path, bytes, state, licence: None, summary: None });
        }
        if let Some(root) = &self.settings().hub_cache {
            models.extend(hub::list(root).into_iter().map(|(file, path)| ListedModel {
                reference: ModelRef::Hub(file).to_string(),
                bytes: file_size(&path),
                path,
                state: ModelState::InHubCache,
                licence: None,
                summary: None,
            }));
        }
        models
    }

    fn listed_entry(&self, entry: &'static super::CatalogueEntry) -> ListedModel {
        let path = self.entry_path(entry);
        let state = match file_size(&path) {
            Some(bytes) if bytes == entry.bytes => ModelState::Ready,
            Some(bytes) => ModelState::Damaged { bytes },
            None => match file_size(&beside(&path, ".part")) {
                Some(bytes @ 1..) => ModelState::Partial { bytes },
                _ => ModelState::Absent,
            },
        };
        ListedModel {
            reference: entry.name.into(),
            path,
            bytes: Some(entry.bytes),
            state,
            licence: Some(entry.licence),
            summary: Some(entry.summary),
        }
    }
}

fn file_size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(|found| found.is_file()).map(|found| found.len())
}

/// Collects the files below `folder` that have a receipt or, where only a part is there, the part's note.
fn receipts_in(folder: &Path, depth: u32, found: &mut Vec<(PathBuf, Receipt)>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && depth > 0 {
            receipts_in(&path, depth - 1, found);
            continue;
        }
        let Some(name) = path.to_str() else { continue };
        if let Some(complete) = name.strip_suffix(".part.json").map(PathBuf::from) {
            let note = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<super::part::Origin>(&text).ok());
            if let Some(note) = note.filter(|_| !receipt_path(&complete).exists()) {
                let (bytes, sha256) = (note.total.unwrap_or(0), note.sha256.unwrap_or_default());
                found.push((complete, Receipt { reference: note.reference, bytes, sha256 }));
            }
        } else if let Some(complete) = name.strip_suffix(".json").map(PathBuf::from) {
            let receipt = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            found.extend(receipt.map(|receipt| (complete, receipt)));
        }
    }
}
