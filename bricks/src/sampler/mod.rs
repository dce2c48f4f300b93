//! Choosing the next token from logits: penalties, cuts and a seeded draw.
//!
//! The order is that of llama.cpp's default chain: penalties, top-k, top-p, min-p, temperature, draw. Equal seeds and
//! equal logits give equal tokens on every machine.

mod candidates;
mod penalties;
#[expect(clippy::module_inception, reason = "the noun of the folder")]
mod sampler;
mod sampling;

pub use sampler::Sampler;
pub use sampling::{Sampling, SamplingError};
