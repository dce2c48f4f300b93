//! Activation functions and other element-wise work, and what is taken over a whole row.

use crate::Isa;
use crate::cpu::{
    self, AddRows, ArgmaxRow, GeluErfRows, GeluQuickRows, GeluTanhRows, SiluMulRows, SiluRows, SoftmaxRow,
};

/// `out = silu(gate) · up`, element by element.
///
/// # Panics
/// The three differ in length.
pub fn silu_mul(isa: Isa, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(
        gate.len() == up.len() && up.len() == out.len(),
        "gate has {} values, up {}, out {}",
        gate.len(),
        up.len(),
        out.len()
    );
    cpu::run(isa, SiluMulRows { gate, up, out });
}

/// GELU in the approximation by the hyperbolic tangent, in place.
pub fn gelu_tanh(isa: Isa, x: &mut [f32]) {
    cpu::run(isa, GeluTanhRows { x });
}

/// GELU by the error function, in place; within 1e-6 · |x|.
pub fn gelu_erf(isa: Isa, x: &mut [f32]) {
    cpu::run(isa, GeluErfRows { x });
}

/// GELU in the approximation by the logistic function, `x · sigmoid(1.702 x)`, in place.
pub fn gelu_quick(isa: Isa, x: &mut [f32]) {
    cpu::run(isa, GeluQuickRows { x });
}

/// `x · sigmoid(x)`, in place.
pub fn silu(isa: Isa, x: &mut [f32]) {
    cpu::run(isa, SiluRows { x });
}

/// `out += x`, element by element.
///
/// # Panics
/// The two differ in length.
pub fn add(isa: Isa, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "{} values to add to {}", x.len(), out.len());
    cpu::run(isa, AddRows { x, out });
}

/// Softmax of one row, in place. An empty row stays empty.
pub fn softmax(isa: Isa, row: &mut [f32]) {
    cpu::run(isa, SoftmaxRow { row });
}

/// The first position of the largest value, not-a-numbers aside; 0 where there is none.
#[must_use]
pub fn argmax(isa: Isa, row: &[f32]) -> usize {
    cpu::run(isa, ArgmaxRow { row })
}
