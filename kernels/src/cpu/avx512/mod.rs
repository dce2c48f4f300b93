//! AVX-512 with VNNI: 16 rows in one register, four columns of all of them in one instruction.

mod vector;

use super::Op;
use vector::Avx512;

/// Computes `op` with AVX-512 and VNNI.
///
/// # Safety
/// The machine has AVX-512 F, BW, DQ, VL and VNNI, AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn run<O: Op>(op: O) -> O::Output {
    // SAFETY: the features are on here, and the caller says that the machine has them.
    unsafe { op.run::<Avx512>() }
}
