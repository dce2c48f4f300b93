//! Which tensor is written in which format.

use nanomind_kernels::Precision;
use serde::Serialize;

use super::tensors::Part;
use crate::gguf::TensorType;

/// The formats that a half of a model is written in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Precisions {
    /// Of the matrices.
    wanted: Precision,
    half: Half,
}

/// Which half of a model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Language,
    /// The convolution is F16 where the matrices are, else F32: its rows are too short for blocks.
    Vision,
    /// As llama.cpp's converter has it, the convolution is always F32.
    Idefics3,
}

/// A tensor that could not have the format that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// Its name in the file.
    pub tensor: String,
    /// Numbers of a row, which are no whole number of blocks.
    pub width: usize,
    /// The format that was asked for.
    pub wanted: &'static str,
    /// The format that it has.
    pub written: &'static str,
}

impl Precisions {
    pub(super) fn language(wanted: Precision) -> Precisions {
        Precisions { wanted, half: Half::Language }
    }

    pub(super) fn vision(wanted: Precision, is_idefics3: bool) -> Precisions {
        Precisions { wanted, half: if is_idefics3 { Half::Idefics3 } else { Half::Vision } }
    }

    /// The format of a tensor with rows of `width`; whether it is the one that was asked for.
    ///
    /// A head, tied or not, has 8 bits where the matrices have 4: it is what errors show in most, and llama.cpp's
    /// quantiser gives it more bits too (Q6_K). The token embedding of its own has the matrices' format, as there.
    pub(super) fn of(&self, part: Part, width: usize) -> (Precision, bool) {
        let wanted = match (part, self.wanted, self.half) {
            (Part::Plain, ..) => Precision::F32,
            (Part::Patch, Precision::F16, Half::Vision) => Precision::F16,
            (Part::Patch, ..) => Precision::F32,
            (Part::Head, Precision::Q4_0 | Precision::Q4_1, _) => Precision::Q8_0,
            (_, wanted, _) => wanted,
        };
        // All blocks here have 32 values, so that what does not fit one fits none.
        if width.is_multiple_of(wanted.format().block_len()) { (wanted, true) } else { (Precision::F16, false) }
    }

    /// `general.file_type`, by which tools call the whole.
    pub(super) fn file_type(&self) -> u32 {
        match self.wanted {
            Precision::F32 => 0,
            Precision::F16 => 1,
            Precision::Q4_0 => 2,
            Precision::Q4_1 => 3,
            Precision::Q8_0 => 7,
            Precision::Bf16 => 32,
        }
    }
}

/// The type of a GGUF tensor.
pub(super) fn tensor_type(precision: Precision) -> TensorType {
    match precision {
        Precision::F32 => TensorType::F32,
        Precision::F16 => TensorType::F16,
        Precision::Bf16 => TensorType::BF16,
        Precision::Q4_0 => TensorType::Q4_0,
        Precision::Q4_1 => TensorType::Q4_1,
        Precision::Q8_0 => TensorType::Q8_0,
    }
}
