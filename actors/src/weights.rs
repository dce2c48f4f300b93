//! Weights of the nodes of a run: where they come from, and the store by which nodes with one model load it once.
//!
//! The store holds nothing in memory itself. What nobody holds any more is gone, and is loaded anew for whoever asks next.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use nanomind_bricks::language::{LanguageModel, LoadProgress, ModelError, Target};
use nanomind_bricks::shape::{LanguageShape, VisionShape};
use nanomind_bricks::vision::{Projector, VisionEncoder};
use nanomind_bricks::{ChatError, ChatTemplate, Gguf, GgufError, Tokenizer, TokenizerError};
use nanomind_hal::{AcceleratorId, JobClass, JobCost, Lane, Phase};
use nanomind_kernels::Isa;

use crate::error::NodeError;
use crate::homes::{Home, Homes};
use crate::jobs::{JobSpec, Jobs};
use crate::memory::MemoryBooks;

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

/// What takes memory for as long as anybody holds it.
pub trait Weights: Any + Send + Sync {
    /// Bytes that it takes.
    fn bytes(&self) -> u64;
}

impl Weights for LoadedModel {
    fn bytes(&self) -> u64 {
        self.model.packed_bytes()
    }
}

impl Weights for VisionEncoder {
    fn bytes(&self) -> u64 {
        self.packed_bytes() as u64
    }
}

impl Weights for Projector {
    fn bytes(&self) -> u64 {
        self.packed_bytes() as u64
    }
}

/// Weights of which there is nothing but their size: those of a simulated brick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WeightBytes(pub u64);

impl Weights for WeightBytes {
    fn bytes(&self) -> u64 {
        self.0
    }
}

/// What every load from a file is given.
struct Order {
    file: PathBuf,
    isa: Isa,
    /// What a language model will be computed with.
    target: Target,
    listener: Option<LoadListener>,
}

/// Where weights come from: a part of a model, by the job that brings it into memory.
pub struct WeightSource<W> {
    key: Key,
    maker: Maker<W>,
}

/// How weights are made.
enum Maker<W> {
    /// Out of a file, whose header says what that costs.
    File { cost: fn(&Gguf) -> Result<JobCost, LoadError>, load: fn(&Order, Arc<Gguf>, &Lane) -> Result<W, LoadError> },
    /// Out of nothing, at the cost of a load.
    Nothing { cost: JobCost, weights: fn(u64) -> W, bytes: u64 },
}

impl WeightSource<LoadedModel> {
    /// The language model in a GGUF file.
    pub fn language(file: &Path) -> WeightSource<LoadedModel> {
        let cost = |gguf: &Gguf| Ok(LanguageShape::of_gguf(gguf)?.load());
        WeightSource { key: Key::new(file, "language"), maker: Maker::File { cost, load: load_language } }
    }
}

impl WeightSource<VisionEncoder> {
    /// The vision encoder in an mmproj file.
    pub fn encoder(file: &Path) -> WeightSource<VisionEncoder> {
        let cost = |gguf: &Gguf| Ok(VisionShape::of_gguf(gguf)?.load_encoder());
        let load = |order: &Order, gguf: Arc<Gguf>, lane: &Lane| {
            loading(order, |progress| Ok(VisionEncoder::load(&gguf, order.isa, lane, progress)?))
        };
        WeightSource { key: Key::new(file, "encoder"), maker: Maker::File { cost, load } }
    }
}

impl WeightSource<Projector> {
    /// The projector in an mmproj file.
    pub fn projector(file: &Path) -> WeightSource<Projector> {
        let cost = |gguf: &Gguf| Ok(VisionShape::of_gguf(gguf)?.load_projector());
        let load = |order: &Order, gguf: Arc<Gguf>, lane: &Lane| {
            loading(order, |progress| Ok(Projector::load(&gguf, order.isa, lane, progress)?))
        };
        WeightSource { key: Key::new(file, "projector"), maker: Maker::File { cost, load } }
    }
}

impl WeightSource<WeightBytes> {
    /// Simulated weights of `bytes` bytes, which nodes that name the same model and part share; loading them takes the
    /// time of `cost`, and computes nothing.
    pub fn simulated(model: &str, part: &'static str, bytes: u64, cost: JobCost) -> WeightSource<WeightBytes> {
        let maker = Maker::Nothing { cost, weights: WeightBytes, bytes };
        WeightSource { key: Key::new(Path::new(model), part), maker }
    }
}

impl<W: Weights> WeightSource<W> {
    /// Makes the weights for `store`, in jobs of the asking node on accelerator `at`.
    async fn load(&self, store: &WeightStore, jobs: &Jobs, at: AcceleratorId) -> Result<W, NodeError> {
        let spec = |phase, cost| JobSpec { phase, tokens: 0, class: JobClass::Vision, cost, request: None };
        match self.maker {
            Maker::File { cost, load } => {
                let (isa, target) = (store.isa, store.homes.target(at, store.isa));
                let order = Order { file: self.key.model.clone(), isa, target, listener: store.listener.clone() };
                // The header is read first, in a job of its own: it says what the load is going to cost.
                let opened = jobs.run_at(at, spec(Phase::Prepare, JobCost::default()), move |_| {
                    let gguf = Arc::new(Gguf::open(&order.file)?);
                    let cost = cost(&gguf)?;
                    Ok::<_, LoadError>((order, gguf, cost))
                });
                let (order, gguf, cost) = opened.await?.value.map_err(NodeError::own)?;
                let loaded = jobs.run_at(at, spec(Phase::Load, cost), move |lane| load(&order, gguf, lane)).await?;
                loaded.value.map_err(NodeError::own)
            }
            Maker::Nothing { cost, weights, bytes } => {
                Ok(jobs.run_at(at, spec(Phase::Load, cost), move |_| weights(bytes)).await?.value)
            }
        }
    }
}

/// Weights are known by their model and the part of it that they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    model: PathBuf,
    part: &'static str,
}

impl Key {
    fn new(model: &Path, part: &'static str) -> Key {
        Key { model: model.to_owned(), part }
    }
}

/// Weights that somebody has asked for.
#[derive(Default)]
struct Slot {
    /// Held by whoever loads them.
    loading: tokio::sync::Mutex<()>,
    /// None before they were loaded first.
    weights: RefCell<Option<Weak<dyn Weights>>>,
}

impl Slot {
    /// What is in memory now.
    fn weights(&self) -> Option<Arc<dyn Weights>> {
        self.weights.borrow().as_ref()?.upgrade()
    }
}

/// Weights by what they are and where.
type Slots = BTreeMap<(Key, Home), Rc<Slot>>;

/// The store of one run. Clones are the same store.
#[derive(Clone)]
pub struct WeightStore {
    isa: Isa,
    homes: Homes,
    listener: Option<LoadListener>,
    slots: Rc<RefCell<Slots>>,
    books: MemoryBooks,
}

impl WeightStore {
    /// An empty store for weights packed for `isa`, each in the homes that ask for them, which writes into `books` what is
    /// in memory.
    pub(crate) fn new(isa: Isa, homes: Homes, listener: Option<LoadListener>, books: MemoryBooks) -> WeightStore {
        WeightStore { isa, homes, listener, slots: Rc::default(), books }
    }

    /// Which accelerators share what is loaded.
    pub(crate) fn homes(&self) -> &Homes {
        &self.homes
    }

    /// The weights of `source` in the home of accelerator `at`: those in memory, or else loaded there by a job of the asking
    /// node. Whoever asks meanwhile waits for that job; if it fails, the next one tries again.
    pub(crate) async fn get<W: Weights>(
        &self,
        source: &WeightSource<W>,
        jobs: &Jobs,
        at: AcceleratorId,
    ) -> Result<Arc<W>, NodeError> {
        let key = (source.key.clone(), self.homes.of(at));
        let slot = self.slots.borrow_mut().entry(key).or_default().clone();
        let _loading = slot.loading.lock().await;
        if let Some(weights) = slot.weights().and_then(downcast) {
            return Ok(weights);
        }
        let weights = Arc::new(source.load(self, jobs, at).await?);
        jobs.count("loads", 1);
        let known: Weak<W> = Arc::downgrade(&weights);
        *slot.weights.borrow_mut() = Some(known);
        self.recount();
        Ok(weights)
    }

    /// Bytes of all weights that are in memory now; what several nodes hold in one home is counted once.
    pub fn bytes(&self) -> u64 {
        let slots = self.slots.borrow();
        slots.values().filter_map(|slot| slot.weights()).map(|weights| weights.bytes()).sum()
    }

    /// Writes into the books what is in memory now.
    pub(crate) fn recount(&self) {
        self.books.weights_are(self.bytes());
    }

    /// The books that it writes.
    pub(crate) fn books(&self) -> &MemoryBooks {
        &self.books
    }
}

fn downcast<W: Weights>(weights: Arc<dyn Weights>) -> Option<Arc<W>> {
    let weights: Arc<dyn Any + Send + Sync> = weights;
    weights.downcast().ok()
}

fn load_language(order: &Order, gguf: Arc<Gguf>, lane: &Lane) -> Result<LoadedModel, LoadError> {
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let template = ChatTemplate::from_gguf(&gguf).map(Arc::new);
    let model = loading(order, |progress| Ok(LanguageModel::load(&gguf, order.target.clone(), lane, progress)?))?;
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
