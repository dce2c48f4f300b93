//! Language models through their public face: against other implementations, and against themselves.
#![allow(clippy::unwrap_used)]

mod conversation;
mod fixture;
mod generation;
#[cfg(feature = "gpu")]
mod gpu;
mod hostile;
mod interchange;
mod invariance;
mod kv_cache;
mod perplexity;
mod pictures;
#[path = "../real_model/mod.rs"]
mod real_model;
mod reference;
mod relocation;
mod shape;
mod slots;
mod smollm2;
mod together;
