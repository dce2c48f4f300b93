//! Weights that the nodes of a run share: each model is loaded once for each layout, whoever asks first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use nanomind_bricks::language::{LanguageModel, LoadProgress, ModelError};
use nanomind_bricks::shape::{LanguageShape, VisionShape};
use nanomind_bricks::vision::{Projector, VisionEncoder};
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

/// Weights that somebody has asked for: empty while they are loaded.
type Slot<T> = Rc<OnceCell<Arc<T>>>;

/// Weights of one kind.
struct Shelf<T>(Rc<RefCell<BTreeMap<Key, Slot<T>>>>);

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Shelf<T> {
        Shelf(self.0.clone())
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf(Rc::default())
    }
}

impl<T> Shelf<T> {
    /// The sum over what is loaded.
    fn bytes(&self, of: impl Fn(&T) -> u64) -> u64 {
        self.0.borrow().values().filter_map(|slot| slot.get()).map(|weights| of(weights)).sum()
    }
}

/// What every load is given.
struct Order {
    file: PathBuf,
    isa: Isa,
    listener: Option<LoadListener>,
}

/// The store of one run.
#[derive(Clone)]
pub struct WeightStore {
    isa: Isa,
    listener: Option<LoadListener>,
    models: Shelf<LoadedModel>,
    encoders: Shelf<VisionEncoder>,
    projectors: Shelf<Projector>,
}

impl WeightStore {
    /// An empty store for weights packed for `isa`.
    pub fn new(isa: Isa, listener: Option<LoadListener>) -> WeightStore {
        let (models, encoders, projectors) = (Shelf::default(), Shelf::default(), Shelf::default());
        WeightStore { isa, listener, models, encoders, projectors }
    }

    /// The model in `file`: loaded by a job of the asking node if nobody has loaded it yet. Whoever asks meanwhile
    /// waits for that job; if it fails, the next one tries again.
    pub async fn language(&self, file: &Path, jobs: &Jobs) -> Result<Arc<LoadedModel>, NodeError> {
        self.get(&self.models, file, jobs, |gguf| Ok(LanguageShape::of_gguf(gguf)?.load()), load_language).await
    }

    /// The vision encoder of the mmproj file `file`, loaded as a language model is.
    pub async fn encoder(&self, file: &Path, jobs: &Jobs) -> Result<Arc<VisionEncoder>, NodeError> {
        let cost = |gguf: &Gguf| Ok(VisionShape::of_gguf(gguf)?.load_encoder());
        self.get(&self.encoders, file, jobs, cost, |order, gguf, lane| {
            loading(order, |progress| Ok(VisionEncoder::load(&gguf, order.isa, lane, progress)?))
        })
        .await
    }

    /// The projector of the mmproj file `file`, loaded as a language model is.
    pub async fn projector(&self, file: &Path, jobs: &Jobs) -> Result<Arc<Projector>, NodeError> {
        let cost = |gguf: &Gguf| Ok(VisionShape::of_gguf(gguf)?.load_projector());
        self.get(&self.projectors, file, jobs, cost, |order, gguf, lane| {
            loading(order, |progress| Ok(Projector::load(&gguf, order.isa, lane, progress)?))
        })
        .await
    }

    /// Bytes that all packed weights take.
    pub fn packed_bytes(&self) -> u64 {
        let language = self.models.bytes(|loaded| loaded.model.packed_bytes());
        let encoders = self.encoders.bytes(|encoder| encoder.packed_bytes() as u64);
        language + encoders + self.projectors.bytes(|projector| projector.packed_bytes() as u64)
    }

    async fn get<T: Send + Sync + 'static>(
        &self,
        shelf: &Shelf<T>,
        file: &Path,
        jobs: &Jobs,
        cost: fn(&Gguf) -> Result<JobCost, LoadError>,
        load: impl FnOnce(&Order, Arc<Gguf>, &Lane) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<Arc<T>, NodeError> {
        let key = Key { file: file.to_owned(), layout: self.isa.name() };
        let cell = shelf.0.borrow_mut().entry(key).or_default().clone();
        let order = Order { file: file.to_owned(), isa: self.isa, listener: self.listener.clone() };
        let load = || async {
            let spec = |phase, cost| JobSpec { phase, tokens: 0, class: JobClass::Vision, cost, request: None };
            // The header is read first, in a job of its own: it says what the load is going to cost.
            let opened = jobs.run(spec(Phase::Prepare, JobCost::default()), move |_| {
                let gguf = Arc::new(Gguf::open(&order.file)?);
                let cost = cost(&gguf)?;
                Ok::<_, LoadError>((order, gguf, cost))
            });
            let (order, gguf, cost) = opened.await?.value.map_err(NodeError::own)?;
            let loaded = jobs.run(spec(Phase::Load, cost), move |lane| load(&order, gguf, lane)).await?;
            Ok::<_, NodeError>(Arc::new(loaded.value.map_err(NodeError::own)?))
        };
        Ok(cell.get_or_try_init(load).await?.clone())
    }
}

fn load_language(order: &Order, gguf: Arc<Gguf>, lane: &Lane) -> Result<LoadedModel, LoadError> {
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let template = ChatTemplate::from_gguf(&gguf).map(Arc::new);
    let model = loading(order, |progress| Ok(LanguageModel::load(&gguf, order.isa, lane, progress)?))?;
    Ok(LoadedModel { model: Arc::new(model), tokenizer: Arc::new(tokenizer), template })
}

/// Loads with the listener hearing of it.
fn loading<T>(
    order: &Order,
    load: impl FnOnce(&mut dyn FnMut(LoadProgress)) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let mut last = None;
    let loaded = load(&mut |progress| {
        last = Some(progress);
        if let Some(listener) = &order.listener {
            listener(&order.file, progress);
        }
    })?;
    // What is not packed is not counted on the way; whoever listens shall still hear the end.
    if let (Some(listener), Some(LoadProgress { done_bytes, total_bytes })) = (&order.listener, last)
        && done_bytes != total_bytes
    {
        listener(&order.file, LoadProgress { done_bytes: total_bytes, total_bytes });
    }
    Ok(loaded)
}
