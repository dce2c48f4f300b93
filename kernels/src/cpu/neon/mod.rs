//! AArch64 with the dot product instructions, and with those of the 8-bit matrix extension where the machine has it.

mod vector;

use super::Op;
use vector::Neon;

/// Computes `op` with `sdot`.
///
/// # Safety
/// The machine has the dot product instructions.
#[target_feature(enable = "neon,dotprod")]
pub(crate) unsafe fn run<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Neon<false>>() }
}

/// Computes `op` with `usdot`.
///
/// # Safety
/// The machine has the dot product and the 8-bit matrix instructions.
#[target_feature(enable = "neon,dotprod,i8mm")]
pub(crate) unsafe fn run_i8mm<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Neon<true>>() }
}
