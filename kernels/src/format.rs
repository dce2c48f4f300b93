//! The block formats of GGUF weights: how many values share a block and how many bytes a block takes.

use std::fmt;

/// How the values of a weight tensor are stored. Names and layouts are those of GGUF (ggml).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single-precision value.
    Bf16,
    /// 32 × 4 bit, `d · (q − 8)`.
    Q4_0,
    /// 32 × 4 bit, `d · q + m`.
    Q4_1,
    /// 32 × 5 bit, `d · (q − 16)`.
    Q5_0,
    /// 32 × 5 bit, `d · q + m`.
    Q5_1,
    /// 32 × 8 bit, `d · q`.
    Q8_0,
    /// 256 × 4 bit in 8 groups, `d · sc · q − dmin · m` with 6-bit `sc` and `m`.
    Q4K,
    /// 256 × 5 bit in 8 groups, `d · sc · q − dmin · m` with 6-bit `sc` and `m`.
    Q5K,
    /// 256 × 6 bit in 16 groups, `d · sc · (q − 32)` with 8-bit `sc`.
    Q6K,
}

impl Format {
    /// Every format, in a fixed order.
    pub const ALL: [Format; 11] = [
        Format::F32,
        Format::F16,
        Format::Bf16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q8_0,
        Format::Q4K,
        Format::Q5K,
        Format::Q6K,
    ];

    /// Values in one block.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::Bf16 => 1,
            Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 | Format::Q8_0 => 32,
            Format::Q4K | Format::Q5K | Format::Q6K => 256,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::Bf16 => 2,
            Format::Q4_0 => 2 + 16,
            Format::Q4_1 => 2 + 2 + 16,
            Format::Q5_0 => 2 + 4 + 16,
            Format::Q5_1 => 2 + 2 + 4 + 16,
            Format::Q8_0 => 2 + 32,
            Format::Q4K => 2 + 2 + 12 + 128,
            Format::Q5K => 2 + 2 + 12 + 32 + 128,
            Format::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of a row of `cols` values; `None` where that is no whole number of blocks or overflows.
    #[must_use]
    pub const fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The name that GGUF tools print, such as `Q4_K`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::F32 => "F32",
            Format::F16 => "F16",
            Format::Bf16 => "BF16",
            Format::Q4_0 => "Q4_0",
            Format::Q4_1 => "Q4_1",
            Format::Q5_0 => "Q5_0",
            Format::Q5_1 => "Q5_1",
            Format::Q8_0 => "Q8_0",
            Format::Q4K => "Q4_K",
            Format::Q5K => "Q5_K",
            Format::Q6K => "Q6_K",
        }
    }

    /// Whether the values are floats rather than blocks of integers.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Format::F32 | Format::F16 | Format::Bf16)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
