//! The functions that stand between two projections of a feed-forward block.

/// A function of each value by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nonlinearity {
    /// As [`crate::gelu_tanh`].
    GeluTanh,
    /// As [`crate::gelu_erf`].
    GeluErf,
    /// As [`crate::gelu_quick`].
    GeluQuick,
    /// As [`crate::silu`].
    Silu,
}
