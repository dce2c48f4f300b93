//! Language models: a GGUF file becomes a [`LanguageModel`], which moves [`Sequence`]s forward on any lane.
//!
//! - [`LanguageConfig`]: hyperparameters, checked
//! - [`LanguageModel`]: immutable packed weights; `prefill`, `decode`, `decode_batch`, `embed`
//! - [`Sequence`]: key-value cache, history and workspace of one sequence
//! - [`Segment`]: what a prefill reads: tokens, or embedding rows in place in a slot
//! - [`KvInterchange`]: the canonical form of key-value state
//! - [`Relocation`]: a sequence on its way to another accelerator's memory
//! - [`Generation`]: one request, a pure state machine whose steps are jobs
//! - [`crate::shape::LanguageShape`]: what a step costs
//! - [`mod@bench`]: speed of prefill and decode, perplexity on a text
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use nanomind_bricks::language::{Generation, GenerationOptions, LanguageModel, PromptPart, Sequence};
//! use nanomind_bricks::{Gguf, Special, Tokenizer};
//! use nanomind_hal::Lane;
//! use nanomind_kernels::Isa;
//!
//! let lane = Lane::spawn(2, None)?;
//! let gguf = Arc::new(Gguf::open("model.gguf")?);
//! let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf)?);
//! let model = Arc::new(LanguageModel::load(&gguf, Isa::detect(), &lane, &mut |_| {})?);
//!
//! let sequence = Sequence::new(&model, 512)?;
//! let prompt = PromptPart::Tokens(tokenizer.encode_first("Once upon a time", Special::Plain));
//! let options = GenerationOptions::default();
//! let mut story = Generation::new(model, tokenizer, sequence, vec![prompt], &options).map_err(|refused| refused.0)?;
//! while story.finished().is_none() {
//!     (story, _) = story.decode(&lane);
//! }
//! let text = story.text();
//! # assert!(!text.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A row's result is bitwise independent of chunking, batching, prefix reuse and thread count.

pub mod bench;
mod config;
mod error;
mod forward;
mod generation;
mod interchange;
mod lookup;
mod model;
mod placed;
mod relocation;
mod segments;
mod sequence;
mod stop;
mod target;
mod together;
mod weights;

pub use config::{Architecture, LanguageConfig};
pub use error::StepError;
pub use generation::{Counters, FinishReason, Generation, GenerationOptions, Opening, Progress, Step};
pub use interchange::{KvError, KvInterchange};
pub use model::{LanguageModel, Logits, Reading};
pub use relocation::{Relocation, RelocationError};
pub use segments::{PromptPart, RowRun, Segment};
pub use sequence::{DEFAULT_CHUNK, HistoryEntry, RowKey, Sequence, SequenceError, SequenceOptions, memory_bytes};
pub use stop::{StopMatcher, StopStep};
pub use target::Target;

pub use nanomind_kernels::backend::{KvGeometry, KvRange};

pub use crate::loader::{LoadProgress, ModelError};
