//! Matrix products: quantised weights × activations.

use nanomind_hal::Lane;

use crate::cpu::{self, Epilogue, Product};
use crate::{Activations, Matrix};

/// `out = W x` (or what `epilogue` says): `w` is `[rows, cols]`, `x` holds `[tokens, cols]`, `out` is `[tokens, rows]`.
///
/// A token's values are the same bits whatever the other tokens are, however many there are and however many threads
/// compute.
///
/// # Panics
/// The shapes differ, or `x` was loaded for other matrices or another instruction set.
pub fn matmul(lane: &Lane, w: &Matrix, x: &Activations, out: &mut [f32], epilogue: Epilogue<'_>) {
    cpu::multiply(lane, x, &mut [Product::with(w, out, epilogue)]);
}

/// [`matmul`] of several matrices over the same activations (queries, keys and values; gate and up) in one fork-join.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_many(lane: &Lane, x: &Activations, products: &mut [Product<'_>]) {
    cpu::multiply(lane, x, products);
}
