//! Pictures and vision encoders through their public face: against HF transformers, and against themselves.
#![allow(clippy::unwrap_used)]

mod drawn;
mod fixture;
mod hostile;
mod invariance;
mod lying;
mod reference;
mod scene;
mod slots;
