//! Low-bit numerics on lent compute lanes. Opens no file, starts no thread, knows no model.
//!
//! Weights are packed once ([`Matrix`]), inputs are quantised once ([`Activations`]) and multiplied ([`matmul()`]); what
//! else a transformer needs is here too. Every function takes the [`Isa`] to compute with, or takes it from the
//! matrices.
//!
//! **Invariance.** A row's result is bitwise independent of the batch it is in, of how the batch was cut and of the
//! number of threads.
#![deny(unsafe_code)]

mod activations;
mod attention;
pub mod backend;
mod block;
pub mod ceiling;
mod convolution;
#[allow(unsafe_code)]
mod cpu;
mod dequantize;
mod elementwise;
mod format;
#[cfg(feature = "gpu")]
pub mod gpu;
mod half_rows;
mod isa;
mod kv_format;
mod kv_layout;
mod matmul;
mod matrix;
mod nonlinearity;
mod norm;
mod panel;
mod quantize;
mod rope;
mod shape_error;

pub use activations::Activations;
pub use attention::{KvView, attention, attention_to_all};
pub use backend::{Backend, BackendError, Cpu};
pub use convolution::Convolution;
pub use cpu::{Epilogue, Product};
pub use dequantize::dequantize;
pub use elementwise::{add, argmax, gelu_erf, gelu_quick, gelu_tanh, silu, silu_mul, softmax};
pub use format::Format;
pub use half_rows::{f16_to_f32, f32_to_f16};
pub use isa::Isa;
pub use kv_format::KvFormat;
pub use kv_layout::{KvLayout, KvSide};
pub use matmul::{matmul, matmul_many};
pub use matrix::Matrix;
pub use nonlinearity::Nonlinearity;
pub use norm::{layer_norm, rms_norm};
pub use quantize::{Precision, quantize};
pub use rope::{RopeAngles, RopeLayout, RopeTable, rope};
pub use shape_error::ShapeError;
