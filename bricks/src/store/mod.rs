//! The models on this machine: what they are called, where they are, and fetching those that are not here yet.
//!
//! A model is named by a [`ModelRef`]. [`Store::resolve`] turns it into a path without touching the network;
//! [`Store::pull`] fetches it. The store's folder holds `models/NAME/FILE` for the catalogue,
//! `models/hub/ORG/REPO/REVISION/FILE` and `models/url/DIGEST/FILE`; a file under its final name is always complete and
//! checked. The cache of the Hugging Face clients is read, never written.
use std::path::{Path, PathBuf};

mod card;
mod catalogue;
mod digest;
mod error;
mod http;
mod http_error;
mod hub;
mod listing;
mod part;
mod pip;
mod progress;
mod pull;
mod range;
mod reference;
mod settings;
#[cfg(test)]
mod tests;
mod wheel;

pub use card::{CardError, LanguageShape, MemoryNeed, ModelCard, TensorCard, TokenizerCard, TypeShare};
pub use catalogue::{CATALOGUE, CatalogueEntry, CatalogueSource, catalogue_entry};
pub use digest::{InvalidDigest, Sha256};
pub use error::{FileAction, FileError, StoreError, WheelError};
pub use http_error::{HttpError, Interruption};
pub use listing::{ListedModel, ModelState};
pub use pip::{PipClient, PipError};
pub use progress::{PullEvent, PullProgress};
pub use pull::{PullOutcome, Pulled};
pub use reference::{HubFile, HubProblem, ModelRef, ReferenceError, UrlFile};
pub use settings::{Network, Patience, SettingsError, StoreSettings, Token};

/// The models on this machine.
#[derive(Clone, Debug)]
pub struct Store {
    settings: StoreSettings,
    catalogue: &'static [CatalogueEntry],
}

impl Store {
    /// The store that `settings` describe. Touches no file: folders are made when something is fetched.
    pub fn open(settings: StoreSettings) -> Store {
        Store { settings, catalogue: CATALOGUE }
    }

    /// How this store works.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// The path of the model where it is on this machine, without touching the network.
    ///
    /// # Errors
    /// Fails for a name that the catalogue does not have.
    pub fn find(&self, model: &ModelRef) -> Result<Option<PathBuf>, StoreError> {
        let own = self.own_path(model)?.filter(|path| path.is_file());
        let shared = match (model, &self.settings.hub_cache) {
            (ModelRef::Hub(file), Some(root)) if own.is_none() => hub::find(root, file),
            (ModelRef::File(path), _) if path.is_file() => Some(path.clone()),
            _ => None,
        };
        Ok(own.or(shared))
    }

    /// The path of the model on this machine, without touching the network.
    ///
    /// # Errors
    /// Fails where the model is not here, saying how to get it.
    pub fn resolve(&self, model: &ModelRef) -> Result<PathBuf, StoreError> {
        match (self.find(model)?, model) {
            (Some(path), _) => Ok(path),
            (None, ModelRef::File(path)) => Err(StoreError::NoSuchFile { path: path.clone() }),
            (None, _) => Err(StoreError::NotPulled { reference: model.to_string() }),
        }
    }

    /// Where this store keeps the model, here or not; nothing for a file that lies elsewhere.
    fn own_path(&self, model: &ModelRef) -> Result<Option<PathBuf>, StoreError> {
        let models = self.models_folder();
        Ok(match model {
            ModelRef::Name(name) => Some(self.entry_path(self.entry(name)?)),
            ModelRef::File(_) => None,
            ModelRef::Hub(file) => {
                let repository = models.join("hub").join(&file.organisation).join(&file.repository);
                // A branch may have slashes in its name, a file too: the revision is made one part.
                Some(repository.join(file.revision.replace('/', "%2F")).join(&file.file))
            }
            ModelRef::Url(file) => Some(models.join("url").join(file.sha256.to_string()).join(file.file_name())),
        })
    }

    fn models_folder(&self) -> PathBuf {
        self.settings.home.join("models")
    }

    fn entry_path(&self, entry: &CatalogueEntry) -> PathBuf {
        self.models_folder().join(entry.name).join(Path::new(entry.file))
    }

    fn entry(&self, name: &str) -> Result<&'static CatalogueEntry, ReferenceError> {
        let entry = self.catalogue.iter().find(|entry| entry.name == name);
        entry.ok_or_else(|| ReferenceError::UnknownName { name: name.into() })
    }
}
