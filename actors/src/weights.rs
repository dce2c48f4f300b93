//! Weights that the nodes of a run share: each model is loaded once for each layout, whoever asks first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use nanomind_bricks::language::{LanguageModel, LoadProgress, ModelError};
use nanomind_bricks::{ChatError, ChatTemplate, Gguf, GgufError, Tokenizer, TokenizerError};
use nanomind_hal::{JobClass, JobCost, Lane, Phase};
use nanomind_kernels::Isa;
use tokio::sync::OnceCell;

use crate::error::NodeError;
use crate::jobs::{JobSpec, Jobs};

/// A language model with what belongs to it: everything immutable that its file holds.
pub struct LoadedModel {
    /// Packed weights.
    pub model: Arc<LanguageModel>,
    /// Text to tokens and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Messages to text; an error where the file has no template, or one that cannot be read.
    pub template: Result<Arc<ChatTemplate>, ChatError>,
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is no sound GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Its tokenizer cannot be made.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Its weights cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Hears how far a model has been loaded.
pub type LoadListener = Arc<dyn Fn(&Path, LoadProgress) + Send + Sync>;

/// Weights are stored by file and by the layout that they are packed in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    file: PathBuf,
    layout: &'static str,
}

/// A model that somebody has asked for: empty while it is loaded.
type Slot = Rc<OnceCell<Arc<LoadedModel>>>;

/// The store of one run.
#[derive(Clone)]
pub struct WeightStore {
    isa: Isa,
    listener: Option<LoadListener>,
    models: Rc<RefCell<BTreeMap<Key, Slot>>>,
}

impl WeightStore {
    /// An empty store for weights packed for `isa`.
    pub fn new(isa: Isa, listener: Option<LoadListener>) -> WeightStore {
        WeightStore { isa, listener, models: Rc::default() }
    }

    /// The model in `file`: loaded by a job of the asking node if nobody has loaded it yet. Whoever asks meanwhile
    /// waits for that job; if it fails, the next one tries again.
    pub async fn language(&self, file: &Path, jobs: &Jobs) -> Result<Arc<LoadedModel>, NodeError> {
        let key = Key { file: file.to_owned(), layout: self.isa.name() };
        let cell = self.models.borrow_mut().entry(key).or_default().clone();
        let loaded = cell.get_or_try_init(|| self.load(file, jobs)).await?;
        Ok(loaded.clone())
    }

    async fn load(&self, file: &Path, jobs: &Jobs) -> Result<Arc<LoadedModel>, NodeError> {
        let (isa, path, listener) = (self.isa, file.to_owned(), self.listener.clone());
        let spec =
            JobSpec { phase: Phase::Load, tokens: 0, class: JobClass::Vision, cost: JobCost::default(), request: None };
        let loaded = jobs.run(spec, move |lane| load(&path, isa, lane, listener)).await?;
        Ok(Arc::new(loaded.value.map_err(NodeError::own)?))
    }
}

fn load(file: &Path, isa: Isa, lane: &Lane, listener: Option<LoadListener>) -> Result<LoadedModel, LoadError> {
    let gguf = Arc::new(Gguf::open(file)?);
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let template = ChatTemplate::from_gguf(&gguf).map(Arc::new);
    let mut last = None;
    let mut progress = |progress: LoadProgress| {
        last = Some(progress);
        if let Some(listener) = &listener {
            listener(file, progress);
        }
    };
    let model = LanguageModel::load(&gguf, isa, lane, &mut progress)?;
    // What is not packed is not counted on the way; whoever listens shall still hear the end.
    if let (Some(listener), Some(LoadProgress { done_bytes, total_bytes })) = (&listener, last)
        && done_bytes != total_bytes
    {
        listener(file, LoadProgress { done_bytes: total_bytes, total_bytes });
    }
    Ok(LoadedModel { model: Arc::new(model), tokenizer: Arc::new(tokenizer), template })
}
