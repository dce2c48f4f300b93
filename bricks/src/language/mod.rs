//! Language models: a GGUF file becomes a [`LanguageModel`], which moves [`Sequence`]s forward on any lane.
//!
//! - [`LanguageConfig`]: hyperparameters, checked
//! - [`LanguageModel`]: immutable packed weights; `prefill`, `decode`, `embed`
//! - [`Sequence`]: key-value cache, history and workspace of one sequence
//! - [`Segment`]: what a prefill reads: tokens, or embedding rows in place in a slot
//! - [`KvInterchange`]: the canonical form of key-value state
//! - [`Generation`]: one request, a pure state machine whose steps are jobs
//! - [`CostModel`]: what a step costs
//! - [`mod@bench`]: speed of prefill and decode
//!
//! A row's result is bitwise independent of chunking, prefix reuse and thread count.

pub mod bench;
mod config;
mod cost;
mod error;
mod forward;
mod generation;
mod interchange;
mod kv_cache;
mod model;
mod segments;
mod sequence;
mod stop;
mod weights;
mod workspace;

pub use config::{Architecture, LanguageConfig};
pub use cost::CostModel;
pub use error::{ModelError, StepError};
pub use generation::{Counters, FinishReason, Generation, GenerationOptions, Opening, Progress, Step};
pub use interchange::{KvError, KvInterchange, KvRange};
pub use kv_cache::KvGeometry;
pub use model::{LanguageModel, Logits};
pub use segments::{PromptPart, Segment};
pub use sequence::{DEFAULT_CHUNK, HistoryEntry, Sequence, SequenceError, memory_bytes};
pub use stop::{StopMatcher, StopStep};
pub use weights::LoadProgress;
