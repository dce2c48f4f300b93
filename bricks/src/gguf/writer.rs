//! Writes GGUF files: for tests, and for tools that make model files.

use std::io::{self, Write};

use super::error::GgufProblem;
use super::parse::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT};
use super::stream::GgufStream;
use super::tensor::TensorType;
use super::value::ValueType;

/// A metadata value to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteValue {
    /// 8-bit unsigned integer.
    U8(u8),
    /// 8-bit signed integer.
    I8(i8),
    /// 16-bit unsigned integer.
    U16(u16),
    /// 16-bit signed integer.
    I16(i16),
    /// 32-bit unsigned integer.
    U32(u32),
    /// 32-bit signed integer.
    I32(i32),
    /// 32-bit float.
    F32(f32),
    /// Boolean.
    Bool(bool),
    /// Text.
    String(String),
    /// Values of the named type; values of other types are written as they are, which makes a broken file.
    Array(ValueType, Vec<WriteValue>),
    /// 64-bit unsigned integer.
    U64(u64),
    /// 64-bit signed integer.
    I64(i64),
    /// 64-bit float.
    F64(f64),
}

impl WriteValue {
    fn value_type(&self) -> ValueType {
        match self {
            WriteValue::U8(_) => ValueType::U8,
            WriteValue::I8(_) => ValueType::I8,
            WriteValue::U16(_) => ValueType::U16,
            WriteValue::I16(_) => ValueType::I16,
            WriteValue::U32(_) => ValueType::U32,
            WriteValue::I32(_) => ValueType::I32,
            WriteValue::F32(_) => ValueType::F32,
            WriteValue::Bool(_) => ValueType::Bool,
            WriteValue::String(_) => ValueType::String,
            WriteValue::Array(..) => ValueType::Array,
            WriteValue::U64(_) => ValueType::U64,
            WriteValue::I64(_) => ValueType::I64,
            WriteValue::F64(_) => ValueType::F64,
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            WriteValue::U8(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::I8(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::U16(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::I16(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::U32(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::I32(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::F32(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::Bool(v) => out.write_all(&[u8::from(*v)]),
            WriteValue::String(v) => write_string(out, v),
            WriteValue::Array(element, values) => {
                out.write_all(&(*element as u32).to_le_bytes())?;
                out.write_all(&(values.len() as u64).to_le_bytes())?;
                values.iter().try_for_each(|value| value.write(out))
            }
            WriteValue::U64(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::I64(v) => out.write_all(&v.to_le_bytes()),
            WriteValue::F64(v) => out.write_all(&v.to_le_bytes()),
        }
    }
}

macro_rules! write_value_from {
    ($($source:ty => $variant:ident),* $(,)?) => {
        $(
            impl From<$source> for WriteValue {
                fn from(value: $source) -> WriteValue {
                    WriteValue::$variant(value.into())
                }
            }
            impl From<Vec<$source>> for WriteValue {
                fn from(values: Vec<$source>) -> WriteValue {
                    WriteValue::Array(ValueType::$variant, values.into_iter().map(WriteValue::from).collect())
                }
            }
        )*
    };
}

write_value_from! {
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32, bool => Bool, u64 => U64,
    i64 => I64, f64 => F64, &str => String, String => String,
}

/// Builds a GGUF file, its tensors in memory or, with [`GgufWriter::declare`], written when the file is. What is handed
/// in is what the file says: nothing else is checked.
///
/// ```
/// use nanomind_bricks::{Gguf, GgufWriter, TensorType};
///
/// let bytes = GgufWriter::new("llama")
///     .metadata("llama.block_count", 2u32)
///     .tensor("output_norm.weight", TensorType::F32, &[2], [1.0f32, 2.0].map(f32::to_le_bytes).concat())
///     .to_bytes();
/// let gguf = Gguf::from_bytes("tiny.gguf", bytes)?;
/// assert_eq!(gguf.get_u32("llama.block_count")?, 2);
/// # Ok::<(), nanomind_bricks::GgufError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GgufWriter {
    version: u32,
    alignment: u32,
    metadata: Vec<(String, WriteValue)>,
    tensors: Vec<WriteTensor>,
}

#[derive(Debug, Clone)]
struct WriteTensor {
    name: String,
    tensor_type: u32,
    dims: Vec<u64>,
    offset: Option<u64>,
    data: Data,
}

#[derive(Debug, Clone)]
enum Data {
    Here(Vec<u8>),
    /// So many bytes, which a [`GgufStream`] is given.
    Later(u64),
}

impl Data {
    fn len(&self) -> u64 {
        match self {
            Data::Here(bytes) => bytes.len() as u64,
            Data::Later(len) => *len,
        }
    }
}

impl GgufWriter {
    /// An empty file of version 3 with `general.architecture` set.
    pub fn new(architecture: &str) -> GgufWriter {
        GgufWriter::empty().metadata("general.architecture", architecture)
    }

    /// A file of version 3 without metadata.
    pub fn empty() -> GgufWriter {
        GgufWriter { version: 3, alignment: DEFAULT_ALIGNMENT, metadata: Vec::new(), tensors: Vec::new() }
    }

    /// Sets the version number.
    pub fn version(mut self, version: u32) -> GgufWriter {
        self.version = version;
        self
    }

    /// Sets `general.alignment`, in bytes; at least 1.
    pub fn alignment(mut self, alignment: u32) -> GgufWriter {
        self.alignment = alignment.max(1);
        self.metadata(ALIGNMENT_KEY, alignment)
    }

    /// Appends a metadata value.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<WriteValue>) -> GgufWriter {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Appends a tensor; dimensions with the contiguous one first.
    pub fn tensor(self, name: impl Into<String>, tensor_type: TensorType, dims: &[u64], data: Vec<u8>) -> GgufWriter {
        self.raw_tensor(name, tensor_type.number(), dims, None, data)
    }

    /// Appends a tensor with any type number, and any offset instead of the next aligned one.
    pub fn raw_tensor(
        mut self,
        name: impl Into<String>,
        tensor_type: u32,
        dims: &[u64],
        offset: Option<u64>,
        data: Vec<u8>,
    ) -> GgufWriter {
        let data = Data::Here(data);
        self.tensors.push(WriteTensor { name: name.into(), tensor_type, dims: dims.to_vec(), offset, data });
        self
    }

    /// Appends a tensor whose data is written when its turn comes: [`GgufWriter::stream`].
    ///
    /// # Errors
    /// The type cannot have these dimensions.
    pub fn declare(
        mut self,
        name: impl Into<String>,
        tensor_type: TensorType,
        dims: &[u64],
    ) -> Result<GgufWriter, GgufProblem> {
        let (name, data) = (name.into(), Data::Later(tensor_type.tensor_bytes(dims)?));
        let tensor_type = tensor_type.number();
        self.tensors.push(WriteTensor { name, tensor_type, dims: dims.to_vec(), offset: None, data });
        Ok(self)
    }

    /// Writes all that comes before the data of the tensors, and then takes that data, tensor after tensor.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn stream<W: Write>(&self, mut out: W) -> io::Result<GgufStream<W>> {
        let mut header = Vec::new();
        self.write_header(&mut header)?;
        out.write_all(&header)?;
        if !self.tensors.is_empty() {
            self.write_padding(&mut out, header.len() as u64)?;
        }
        let lens = self.tensors.iter().map(|tensor| tensor.data.len()).collect();
        Ok(GgufStream::new(out, lens, u64::from(self.alignment)))
    }

    /// The bytes of the file.
    ///
    /// # Panics
    /// The data of a tensor is to come later.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).expect("a vector takes all that is there");
        bytes
    }

    /// Writes the file.
    ///
    /// # Errors
    /// `out` cannot be written, or the data of a tensor is to come later.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut stream = self.stream(out)?;
        for tensor in &self.tensors {
            if let Data::Here(bytes) = &tensor.data {
                stream.write(bytes)?;
            }
        }
        stream.finish().map(drop)
    }

    fn write_header(&self, out: &mut Vec<u8>) -> io::Result<()> {
        out.write_all(b"GGUF")?;
        out.write_all(&self.version.to_le_bytes())?;
        out.write_all(&(self.tensors.len() as u64).to_le_bytes())?;
        out.write_all(&(self.metadata.len() as u64).to_le_bytes())?;
        for (key, value) in &self.metadata {
            write_string(out, key)?;
            out.write_all(&(value.value_type() as u32).to_le_bytes())?;
            value.write(out)?;
        }
        let mut next = 0u64;
        for tensor in &self.tensors {
            write_string(out, &tensor.name)?;
            out.write_all(&(tensor.dims.len() as u32).to_le_bytes())?;
            for dim in &tensor.dims {
                out.write_all(&dim.to_le_bytes())?;
            }
            out.write_all(&tensor.tensor_type.to_le_bytes())?;
            out.write_all(&tensor.offset.unwrap_or(next).to_le_bytes())?;
            next += tensor.data.len().next_multiple_of(u64::from(self.alignment));
        }
        Ok(())
    }

    fn write_padding(&self, out: &mut impl Write, len: u64) -> io::Result<()> {
        let padding = len.next_multiple_of(u64::from(self.alignment)) - len;
        out.write_all(&vec![0; padding as usize])
    }
}

fn write_string(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())
}
