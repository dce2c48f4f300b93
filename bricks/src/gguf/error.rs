//! What can be wrong with a GGUF file: every error names the file, the field, what was expected and what was found.

use std::fmt;

/// A GGUF file that cannot be used, with the field at fault.
///
/// Displays as `FILE: FIELD: expected …, found …`.
#[derive(Debug, thiserror::Error)]
pub struct GgufError {
    file: String,
    field: String,
    #[source]
    problem: GgufProblem,
}

impl GgufError {
    /// An error about `field` of `file`; for code that interprets metadata and finds it contradictory.
    pub fn new(file: impl Into<String>, field: impl Into<String>, problem: GgufProblem) -> GgufError {
        GgufError { file: file.into(), field: field.into(), problem }
    }

    /// The file, as it was named when it was opened.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The header field, metadata key or tensor at fault.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with the field.
    pub fn problem(&self) -> &GgufProblem {
        &self.problem
    }
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            // Names the file itself, and no field is at fault.
            GgufProblem::Unreadable(error) => error.fmt(f),
            problem => write!(f, "{}: {}: {problem}", self.file, self.field),
        }
    }
}

/// What is wrong with one field of a GGUF file.
#[derive(Debug, thiserror::Error)]
pub enum GgufProblem {
    /// The file cannot be opened or mapped.
    #[error(transparent)]
    Unreadable(#[from] nanomind_hal::MapError),
    /// The file ends before the field does.
    #[error("expected {expected} more bytes at offset {offset}, found {found} before the end of the file")]
    Truncated {
        /// Where the field starts, in bytes from the start of the file.
        offset: usize,
        /// Bytes that the field needs.
        expected: u64,
        /// Bytes that are left.
        found: usize,
    },
    /// The file does not begin with the four letters `GGUF`.
    #[error("expected a file that begins with `GGUF`, found {}", found.escape_ascii())]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The file was written for a big-endian machine.
    #[error("expected a little-endian file, found a big-endian one (version bytes {found:#010x})")]
    BigEndian {
        /// The version field as read.
        found: u32,
    },
    /// A version of the format that is not read here.
    #[error("expected version 2 or 3, found {found}")]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// A count that the rest of the file cannot hold.
    #[error("expected at most {limit} entries in the {left} bytes that are left, found a count of {found}")]
    Count {
        /// The count in the file.
        found: u64,
        /// How many could fit at the smallest size of an entry.
        limit: u64,
        /// Bytes left.
        left: usize,
    },
    /// A length beyond what the format allows.
    #[error("expected a length of {expected}, found {found}")]
    Length {
        /// What is allowed, in words.
        expected: &'static str,
        /// The length in the file.
        found: u64,
    },
    /// Text that is not UTF-8.
    #[error("expected UTF-8 text, found an invalid byte at {at}")]
    Utf8 {
        /// Bytes of the text that are valid.
        at: usize,
    },
    /// A metadata type number that the format does not define.
    #[error("expected a metadata type from 0 to 12, found {found}")]
    ValueType {
        /// The number in the file.
        found: u32,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("expected a boolean 0 or 1, found {found}")]
    Boolean {
        /// The byte in the file.
        found: u8,
    },
    /// Arrays inside arrays, too deep.
    #[error("expected arrays nested at most {limit} deep, found more")]
    Depth {
        /// The greatest depth that is read.
        limit: usize,
    },
    /// The same key or name a second time.
    #[error("expected each name once, found it a second time")]
    Duplicate,
    /// A key that the reader needs.
    #[error("expected {expected}, found no such key")]
    MissingKey {
        /// The type that the reader needs.
        expected: &'static str,
    },
    /// A tensor that the reader needs.
    #[error("expected a tensor of this name, found none among {tensors}")]
    MissingTensor {
        /// How many tensors the file has.
        tensors: usize,
    },
    /// A value of another type, or out of the range of the wanted type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The type that the reader needs.
        expected: &'static str,
        /// The type, and the value where it is short.
        found: String,
    },
    /// An alignment that is no power of two within bounds.
    #[error("expected a power of two from {least} to {most}, found {found}")]
    Alignment {
        /// Smallest alignment.
        least: u32,
        /// Greatest alignment.
        most: u32,
        /// The alignment in the file.
        found: u32,
    },
    /// A tensor type number that is not known.
    #[error("expected a known tensor type, found {found}")]
    TensorType {
        /// The number in the file.
        found: u32,
    },
    /// Too many dimensions.
    #[error("expected at most {limit} dimensions, found {found}")]
    Dimensions {
        /// The most dimensions that the format has.
        limit: u32,
        /// The number in the file.
        found: u32,
    },
    /// A dimension of zero.
    #[error("expected dimension {index} to be at least 1, found 0")]
    EmptyDimension {
        /// Which dimension, the contiguous one first.
        index: usize,
    },
    /// More elements or bytes than can be counted.
    #[error("expected a size below 2^63 bytes, found dimensions {dims:?}")]
    Overflow {
        /// The dimensions in the file, the contiguous one first.
        dims: Vec<u64>,
    },
    /// A row that does not divide into the blocks of its type.
    #[error("expected rows of a multiple of {block} elements for type {tensor_type}, found {found}")]
    PartialBlock {
        /// Name of the tensor type.
        tensor_type: &'static str,
        /// Elements of one block.
        block: u64,
        /// Elements of a row.
        found: u64,
    },
    /// Tensor data off the alignment of the file.
    #[error("expected an offset that is a multiple of {alignment}, found {found}")]
    Misaligned {
        /// The alignment of the file.
        alignment: u64,
        /// The offset in the file.
        found: u64,
    },
    /// Tensor data beyond the end of the file.
    #[error("expected data within the {data_len} bytes of tensor data, found {len} bytes at offset {offset}")]
    OutOfFile {
        /// Length of the data section in bytes.
        data_len: u64,
        /// Offset of the tensor from the start of the data section.
        offset: u64,
        /// Length of the tensor in bytes.
        len: u64,
    },
    /// Two tensors that share bytes.
    #[error("expected data of its own, found an overlap with tensor `{other}` at offset {offset}")]
    Overlap {
        /// The other tensor.
        other: String,
        /// Where this tensor starts, from the start of the data section.
        offset: u64,
    },
    /// Two fields that must agree and do not.
    #[error("expected {expected}, found {found}")]
    Inconsistent {
        /// What the other field calls for.
        expected: String,
        /// What this field says.
        found: String,
    },
}

/// A problem and the field it is in; the file is added where the file is known.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) field: String,
    pub(super) problem: GgufProblem,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, problem: GgufProblem) -> Fault {
        Fault { field: field.into(), problem }
    }

    pub(super) fn in_file(self, file: &str) -> GgufError {
        GgufError::new(file, self.field, self.problem)
    }
}
