//! AVX2 with FMA and F16C: 8 rows in one register; with AVX-VNNI where the machine has it.

mod vector;

use super::Op;
use vector::Avx2;

/// Computes `op` with AVX2.
///
/// # Safety
/// The machine has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn run<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Avx2<false>>() }
}

/// Computes `op` with AVX2 and AVX-VNNI.
///
/// # Safety
/// The machine has AVX2, FMA, F16C and AVX-VNNI.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(crate) unsafe fn run_vnni<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Avx2<true>>() }
}
