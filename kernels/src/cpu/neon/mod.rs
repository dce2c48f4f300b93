//! AArch64: 8 rows in a pair of registers; with the dot product instructions, and with those of the 8-bit matrix
//! extension, where the machine has them.

mod vector;

use super::Op;
use vector::{DOT, I8MM, Neon, PLAIN};

/// Computes `op` with what every AArch64 machine has.
///
/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn run<O: Op>(op: O) -> O::Output {
    // SAFETY: the feature is on here, and the caller says that the machine has it.
    unsafe { op.run::<Neon<PLAIN>>() }
}

/// Computes `op` with `sdot`.
///
/// # Safety
/// The machine has the dot product instructions.
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn run_dot<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Neon<DOT>>() }
}

/// Computes `op` with `usdot`.
///
/// # Safety
/// The machine has the dot product and the 8-bit matrix instructions.
#[target_feature(enable = "neon,dotprod,i8mm")]
pub(crate) unsafe fn run_i8mm<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Neon<I8MM>>() }
}
