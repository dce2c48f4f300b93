//! The formats in which a cache keeps keys and values.

use std::fmt;

use crate::block::GROUP;

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum KvFormat {
    /// IEEE half precision.
    #[default]
    F16,
    /// 32 values of a head at one position × 8 bit with a half-precision scale, the bits of ggml's `Q8_0`: 53 % of the
    /// memory of [`KvFormat::F16`]. Each value is off by at most 1/254 of the largest of its 32.
    Q8_0,
}

impl KvFormat {
    /// Every format.
    pub const ALL: [KvFormat; 2] = [KvFormat::F16, KvFormat::Q8_0];

    /// The name in graphs and on the command line: `f16` or `q8_0`, as llama.cpp has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            KvFormat::F16 => "f16",
            KvFormat::Q8_0 => "q8_0",
        }
    }

    /// The format of that [`KvFormat::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<KvFormat> {
        KvFormat::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Values of a head that share a scale; heads are a whole number of them.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            KvFormat::F16 => 1,
            KvFormat::Q8_0 => GROUP,
        }
    }

    /// Bytes that the key (or the value) of one head at one position takes; `None` where `head_dim` values are no
    /// whole number of blocks, or too many.
    #[must_use]
    pub const fn head_bytes(self, head_dim: usize) -> Option<usize> {
        if !head_dim.is_multiple_of(self.block_len()) {
            return None;
        }
        match self {
            KvFormat::F16 => head_dim.checked_mul(2),
            KvFormat::Q8_0 => (head_dim / GROUP).checked_mul(2 + GROUP),
        }
    }
}

impl fmt::Display for KvFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
