//! Tensor descriptions of a GGUF file: type, dimensions and where the bytes lie.

use std::ops::Range;

use nanomind_kernels::Format;

use super::error::GgufProblem;

/// How the elements of a tensor are stored: every type that the format defines, also those without kernels here.
///
/// Numbers and block sizes are those of ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are those of the format and say it all")]
#[allow(non_camel_case_types, reason = "the names are those of the format")]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q8_1 = 9,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    Q8_K = 15,
    IQ2_XXS = 16,
    IQ2_XS = 17,
    IQ3_XXS = 18,
    IQ1_S = 19,
    IQ4_NL = 20,
    IQ3_S = 21,
    IQ2_S = 22,
    IQ4_XS = 23,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    IQ1_M = 29,
    BF16 = 30,
    TQ1_0 = 34,
    TQ2_0 = 35,
    MXFP4 = 39,
    NVFP4 = 40,
    Q1_0 = 41,
}

/// Type, name, elements of a block, bytes of a block.
const TYPES: [(TensorType, &str, u64, u64); 34] = [
    (TensorType::F32, "F32", 1, 4),
    (TensorType::F16, "F16", 1, 2),
    (TensorType::Q4_0, "Q4_0", 32, 18),
    (TensorType::Q4_1, "Q4_1", 32, 20),
    (TensorType::Q5_0, "Q5_0", 32, 22),
    (TensorType::Q5_1, "Q5_1", 32, 24),
    (TensorType::Q8_0, "Q8_0", 32, 34),
    (TensorType::Q8_1, "Q8_1", 32, 36),
    (TensorType::Q2_K, "Q2_K", 256, 84),
    (TensorType::Q3_K, "Q3_K", 256, 110),
    (TensorType::Q4_K, "Q4_K", 256, 144),
    (TensorType::Q5_K, "Q5_K", 256, 176),
    (TensorType::Q6_K, "Q6_K", 256, 210),
    (TensorType::Q8_K, "Q8_K", 256, 292),
    (TensorType::IQ2_XXS, "IQ2_XXS", 256, 66),
    (TensorType::IQ2_XS, "IQ2_XS", 256, 74),
    (TensorType::IQ3_XXS, "IQ3_XXS", 256, 98),
    (TensorType::IQ1_S, "IQ1_S", 256, 50),
    (TensorType::IQ4_NL, "IQ4_NL", 32, 18),
    (TensorType::IQ3_S, "IQ3_S", 256, 110),
    (TensorType::IQ2_S, "IQ2_S", 256, 82),
    (TensorType::IQ4_XS, "IQ4_XS", 256, 136),
    (TensorType::I8, "I8", 1, 1),
    (TensorType::I16, "I16", 1, 2),
    (TensorType::I32, "I32", 1, 4),
    (TensorType::I64, "I64", 1, 8),
    (TensorType::F64, "F64", 1, 8),
    (TensorType::IQ1_M, "IQ1_M", 256, 56),
    (TensorType::BF16, "BF16", 1, 2),
    (TensorType::TQ1_0, "TQ1_0", 256, 54),
    (TensorType::TQ2_0, "TQ2_0", 256, 66),
    (TensorType::MXFP4, "MXFP4", 32, 17),
    (TensorType::NVFP4, "NVFP4", 64, 36),
    (TensorType::Q1_0, "Q1_0", 128, 18),
];

impl TensorType {
    /// Every type, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = TensorType> {
        TYPES.iter().map(|entry| entry.0)
    }

    pub(super) fn from_number(number: u32) -> Result<TensorType, GgufProblem> {
        TensorType::all()
            .find(|tensor_type| tensor_type.number() == number)
            .ok_or(GgufProblem::TensorType { found: number })
    }

    /// The number of the type in a file.
    pub fn number(self) -> u32 {
        self as u32
    }

    fn entry(self) -> (&'static str, u64, u64) {
        // The table holds every type, in declaration order; a test walks it.
        TYPES.iter().find(|entry| entry.0 == self).map_or(("?", 1, 1), |entry| (entry.1, entry.2, entry.3))
    }

    /// The name of the type, as ggml writes it.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Elements of one block.
    pub fn block_len(self) -> u64 {
        self.entry().1
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> u64 {
        self.entry().2
    }

    /// The kernels' format of the type, if there are kernels for it.
    pub fn format(self) -> Option<Format> {
        Some(match self {
            TensorType::F32 => Format::F32,
            TensorType::F16 => Format::F16,
            TensorType::BF16 => Format::Bf16,
            TensorType::Q4_0 => Format::Q4_0,
            TensorType::Q4_1 => Format::Q4_1,
            TensorType::Q5_0 => Format::Q5_0,
            TensorType::Q5_1 => Format::Q5_1,
            TensorType::Q8_0 => Format::Q8_0,
            TensorType::Q4_K => Format::Q4K,
            TensorType::Q5_K => Format::Q5K,
            TensorType::Q6_K => Format::Q6K,
            _ => return None,
        })
    }

    /// Bytes of a tensor of these dimensions (the contiguous one first), all checked.
    pub fn tensor_bytes(self, dims: &[u64]) -> Result<u64, GgufProblem> {
        let row = dims.first().copied().unwrap_or(1);
        let (name, block, block_bytes) = self.entry();
        if let Some(index) = dims.iter().position(|&dim| dim == 0) {
            return Err(GgufProblem::EmptyDimension { index });
        }
        if row % block != 0 {
            return Err(GgufProblem::PartialBlock { tensor_type: name, block, found: row });
        }
        let size = dims
            .iter()
            .try_fold(1u64, |product, &dim| product.checked_mul(dim))
            .and_then(|elements| (elements / block).checked_mul(block_bytes))
            .filter(|&bytes| i64::try_from(bytes).is_ok());
        size.ok_or_else(|| GgufProblem::Overflow { dims: dims.to_vec() })
    }
}

/// A tensor of a file: checked to lie inside the file, aligned, with bytes of its own.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    pub(super) name: String,
    pub(super) tensor_type: TensorType,
    pub(super) dims: Vec<u64>,
    pub(super) range: Range<usize>,
}

impl TensorInfo {
    /// The name, unique in its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the elements are stored.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// The kernels' format, if there are kernels for the type.
    pub fn format(&self) -> Option<Format> {
        self.tensor_type.format()
    }

    /// Dimensions in the order of the file: the contiguous one first. A matrix `[rows, cols]` is `[cols, rows]` here.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// Length of a contiguous row in elements: the first dimension.
    pub fn cols(&self) -> usize {
        self.dims.first().map_or(1, |&dim| dim as usize)
    }

    /// Number of rows: the product of all dimensions but the first.
    pub fn rows(&self) -> usize {
        self.dims.iter().skip(1).map(|&dim| dim as usize).product()
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.cols() * self.rows()
    }

    /// Size of the data in bytes.
    pub fn byte_len(&self) -> usize {
        self.range.len()
    }

    /// Where the data lies, in bytes from the start of the file.
    pub fn byte_range(&self) -> Range<usize> {
        self.range.clone()
    }
}
