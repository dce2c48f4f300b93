//! Pictures and vision encoders through their public face: against HF transformers, and against themselves.
#![allow(clippy::unwrap_used)]

mod drawn;
mod expected;
mod eye;
mod hostile;
mod invariance;
mod lying;
mod reference;
mod scene;
mod shape;
mod slots;
mod small;
