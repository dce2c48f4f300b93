//! Kernels for graphics processors: WGSL beside the Rust that records it, in `shaders` and, how weights are read, in
//! `weights`.
//!
//! Weights are packed once ([`Matrix`]), values live in [`Rows`], keys and values in a [`KvCache`]; a [`Pass`] records the
//! steps of a forward pass and hands them to the device in one submission. Pipelines, bindings and parameters belong to
//! [`Kernels`]: what was recorded once is recorded again without compiling or allocating anything.
//!
//! Sums are taken in `f32`, with inputs as they are: no input is quantised. A row's result may depend on the number of
//! rows that it is computed with, as few rows and many take different kernels; it does not depend on their values.

mod arena;
mod kernels;
mod kv_cache;
mod matrix;
mod packing;
mod pass;
mod pick;
mod product;
mod results;
mod rows;
mod shader;
mod steps;

pub use kernels::Kernels;
pub use kv_cache::{KvCache, KvRows, RopeAngles};
pub use matrix::{Matrix, MatrixError, Weights};
pub use pass::Pass;
pub use product::{Epilogue, Input, Product};
pub use results::{Done, Results};
pub use rows::{Rows, Tokens, View};
pub use steps::Sight;
