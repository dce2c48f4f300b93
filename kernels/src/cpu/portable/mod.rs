//! Plain Rust: runs everywhere, and is what the other instruction sets are tested against.

mod vector;

use super::Op;
use vector::Portable;

/// Computes `op` in plain Rust.
pub(crate) fn run<O: Op>(op: O) -> O::Output {
    // SAFETY: `Portable` needs no instruction that a machine could lack.
    unsafe { op.run::<Portable>() }
}
