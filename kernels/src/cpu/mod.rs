//! The CPU kernels. The folders are the ladder of instruction sets: `portable` runs everywhere, the others where the
//! machine has them, and `generic` holds the algorithms that all of them share.
//!
//! All `unsafe` of the crate lives here. An algorithm is an [`Op`]; [`run`] compiles it once for each instruction set
//! and picks the one that is asked for.

mod attend;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod float_product;
mod generic;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod product;
mod unpacked_product;
mod vector;

pub(crate) use attend::{Sight, attend};
pub(crate) use float_product::{FloatShape, float_tiles};
pub(crate) use generic::ceiling::{DotProducts, MultiplyAdds, ReadAll};
pub(crate) use generic::float_load::LoadFloats;
pub(crate) use generic::halves::{HalvesToSingles, SinglesToHalves};
pub(crate) use generic::kv_rows::{ReadKv, StoreKv};
pub(crate) use generic::load::{LoadCodes, Source};
use generic::rows;
pub(crate) use generic::source::{LayerNorm, Plain, RmsNorm, SiluMul, Windows};
pub(crate) use product::multiply;
pub use product::{Epilogue, Product};

use crate::Isa;
use vector::Vector;

/// A computation that can be compiled for any instruction set.
pub(crate) trait Op {
    /// What it gives.
    type Output;
    /// Computes; always inlined, so that it takes on the target features of its caller.
    ///
    /// # Safety
    /// The machine has the instructions of `V`, and the caller's target features include them.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// Computes `op` with the instructions of `isa`.
///
/// # Panics
/// This machine does not have them.
pub(crate) fn run<O: Op>(isa: Isa, op: O) -> O::Output {
    assert!(isa.is_available(), "this machine does not have {isa}");
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set is available.
        Isa::Avx2 => unsafe { avx2::run(op) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set is available.
        Isa::AvxVnni => unsafe { avx2::run_vnni(op) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction set is available.
        Isa::Avx512Vnni => unsafe { avx512::run(op) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the instruction set is available.
        Isa::Neon => unsafe { neon::run(op) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the instruction set is available.
        Isa::NeonDot => unsafe { neon::run_dot(op) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the instruction set is available.
        Isa::NeonI8mm => unsafe { neon::run_i8mm(op) },
        _ => portable::run(op),
    }
}

/// Panels of the widest tile of an integer product.
pub(crate) fn panels_at_once(isa: Isa) -> usize {
    run(isa, MostPanels)
}

struct MostPanels;

impl Op for MostPanels {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        V::PANELS
    }
}

/// The widest tile of a float product.
pub(crate) fn float_shape(isa: Isa) -> FloatShape {
    run(isa, WidestFloats)
}

struct WidestFloats;

impl Op for WidestFloats {
    type Output = FloatShape;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> FloatShape {
        FloatShape { panels: V::FLOAT_PANELS, tokens: V::FLOAT_TOKENS }
    }
}

/// An operation over rows: a struct of its arguments and the generic function that computes it.
macro_rules! row_op {
    ($(#[$doc:meta])* $name:ident($($field:ident: $type:ty),*) $(-> $output:ty)? = $function:path) => {
        $(#[$doc])*
        pub(crate) struct $name<'a> { $(pub(crate) $field: $type),* }

        impl Op for $name<'_> {
            type Output = row_op!(@output $($output)?);
            #[inline(always)]
            unsafe fn run<V: Vector>(self) -> Self::Output {
                $function($(self.$field),*)
            }
        }
    };
    (@output) => { () };
    (@output $output:ty) => { $output };
}

row_op!(
    /// Root mean square norm.
    RmsNormRows(x: &'a [f32], weight: &'a [f32], eps: f32, out: &'a mut [f32]) = rows::rms_norm
);
row_op!(
    /// Layer norm.
    LayerNormRows(x: &'a [f32], weight: &'a [f32], bias: &'a [f32], eps: f32, out: &'a mut [f32]) = rows::layer_norm
);
row_op!(
    /// Gated linear unit.
    SiluMulRows(gate: &'a [f32], up: &'a [f32], out: &'a mut [f32]) = rows::silu_mul
);
row_op!(
    /// GELU by the hyperbolic tangent, in place.
    GeluTanhRows(x: &'a mut [f32]) = rows::gelu_tanh_in_place
);
row_op!(
    /// GELU by the error function, in place.
    GeluErfRows(x: &'a mut [f32]) = rows::gelu_erf_in_place
);
row_op!(
    /// GELU by the logistic function, in place.
    GeluQuickRows(x: &'a mut [f32]) = rows::gelu_quick_in_place
);
row_op!(
    /// SiLU, in place.
    SiluRows(x: &'a mut [f32]) = rows::silu_in_place
);
row_op!(
    /// `out += x`.
    AddRows(x: &'a [f32], out: &'a mut [f32]) = rows::add
);
row_op!(
    /// Softmax in place.
    SoftmaxRow(row: &'a mut [f32]) = rows::softmax
);
row_op!(
    /// The first position of the largest value.
    ArgmaxRow(row: &'a [f32]) -> usize = rows::argmax
);
row_op!(
    /// Rotary embedding of the heads of one token.
    RotateRow(row: &'a mut [f32], head_dim: usize, neighbours: bool, cos: &'a [f32], sin: &'a [f32]) = rows::rotate
);
