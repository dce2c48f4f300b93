//! An open GGUF file: typed access to metadata and tensors, each error naming file and key.

use std::path::Path;

use nanomind_hal::MappedFile;

use super::array::Array;
use super::error::{Fault, GgufError, GgufProblem};
use super::parse::{Layout, value_at};
use super::tensor::TensorInfo;
use super::value::Value;

/// Where the bytes of a file are.
#[derive(Debug)]
enum Backing {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

/// A GGUF file (version 2 or 3, little-endian), checked from end to end except for the numbers in the tensors.
///
/// The file stays mapped as long as the value lives; nothing of its tensors is copied. Values are decoded from the map
/// each time that they are asked for.
#[derive(Debug)]
pub struct Gguf {
    file: String,
    backing: Backing,
    layout: Layout,
}

impl Gguf {
    /// Maps and checks the file at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Gguf, GgufError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let mapped =
            MappedFile::open(path).map_err(|error| GgufError::new(&file, "file", GgufProblem::Unreadable(error)))?;
        Gguf::from_backing(file, Backing::Mapped(mapped))
    }

    /// Checks a file that is in memory already; `file` is its name in messages.
    pub fn from_bytes(file: impl Into<String>, bytes: Vec<u8>) -> Result<Gguf, GgufError> {
        Gguf::from_backing(file.into(), Backing::Owned(bytes))
    }

    fn from_backing(file: String, backing: Backing) -> Result<Gguf, GgufError> {
        match Layout::parse(backing.bytes()) {
            Ok(layout) => Ok(Gguf { file, backing, layout }),
            Err(fault) => Err(fault.in_file(&file)),
        }
    }

    /// The name of the file, as it was opened.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.layout.version
    }

    /// Alignment of tensor data in bytes.
    pub fn alignment(&self) -> u32 {
        self.layout.alignment
    }

    /// Length of the file in bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        self.backing.bytes()
    }

    /// All tensors, in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.layout.tensors.values()
    }

    /// The tensor of this name; an error if there is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.find_tensor(name).ok_or_else(|| {
            let problem = GgufProblem::MissingTensor { tensors: self.layout.tensors.len() };
            GgufError::new(&self.file, format!("tensor `{name}`"), problem)
        })
    }

    /// The tensor of this name, if there is one.
    pub fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.layout.tensors.get(name)
    }

    /// The bytes of a tensor of this file. The start is aligned to [`Gguf::alignment`] within the file.
    ///
    /// # Panics
    /// If `tensor` describes another, longer file.
    pub fn tensor_bytes(&self, tensor: &TensorInfo) -> &[u8] {
        &self.bytes()[tensor.byte_range()]
    }

    /// Gives the memory behind a tensor back to the system once its numbers live elsewhere; reading them again
    /// brings them back from the file.
    pub fn release_tensor(&self, tensor: &TensorInfo) {
        if let Backing::Mapped(mapped) = &self.backing {
            mapped.release(tensor.byte_range());
        }
    }

    /// All metadata, in the order of the file.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.layout.metadata.iter().filter_map(|(key, slot)| Some((key.as_str(), value_at(self.bytes(), slot).ok()?)))
    }

    /// The value of a key, if the file has it.
    pub fn find(&self, key: &str) -> Option<Value<'_>> {
        let slot = self.layout.metadata.get(key)?;
        // The value was read once when the file was opened, so it can be read again.
        value_at(self.bytes(), slot).ok()
    }

    /// An error about a key of this file, for readers that find its value wrong.
    pub fn error(&self, key: &str, problem: GgufProblem) -> GgufError {
        Fault::new(format!("key `{key}`"), problem).in_file(&self.file)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        convert: impl FnOnce(Value<'a>) -> Result<T, GgufProblem>,
    ) -> Result<Option<T>, GgufError> {
        self.find(key).map(convert).transpose().map_err(|problem| self.error(key, problem))
    }

    fn required<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(Value<'a>) -> Result<T, GgufProblem>,
    ) -> Result<T, GgufError> {
        self.typed(key, convert)?.ok_or_else(|| self.error(key, GgufProblem::MissingKey { expected }))
    }

    /// `general.architecture`, which is also the prefix of the model's own keys.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.get_str("general.architecture")
    }

    /// A required integer of any integer type that fits u32.
    pub fn get_u32(&self, key: &str) -> Result<u32, GgufError> {
        self.required(key, "an integer", |value| value.as_u32())
    }

    /// An optional integer of any integer type that fits u32; present but of another type is an error.
    pub fn find_u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.typed(key, |value| value.as_u32())
    }

    /// An integer with a default for a missing key.
    pub fn get_u32_or(&self, key: &str, default: u32) -> Result<u32, GgufError> {
        Ok(self.find_u32(key)?.unwrap_or(default))
    }

    /// A required integer of any integer type that fits u64.
    pub fn get_u64(&self, key: &str) -> Result<u64, GgufError> {
        self.required(key, "an integer", |value| value.as_u64())
    }

    /// An optional integer of any integer type that fits u64.
    pub fn find_u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.typed(key, |value| value.as_u64())
    }

    /// A required finite float.
    pub fn get_f32(&self, key: &str) -> Result<f32, GgufError> {
        self.required(key, "a float", |value| value.as_f32())
    }

    /// An optional finite float.
    pub fn find_f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.typed(key, |value| value.as_f32())
    }

    /// A finite float with a default for a missing key.
    pub fn get_f32_or(&self, key: &str, default: f32) -> Result<f32, GgufError> {
        Ok(self.find_f32(key)?.unwrap_or(default))
    }

    /// A required boolean.
    pub fn get_bool(&self, key: &str) -> Result<bool, GgufError> {
        self.required(key, "a boolean", |value| value.as_bool())
    }

    /// An optional boolean.
    pub fn find_bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, |value| value.as_bool())
    }

    /// A boolean with a default for a missing key.
    pub fn get_bool_or(&self, key: &str, default: bool) -> Result<bool, GgufError> {
        Ok(self.find_bool(key)?.unwrap_or(default))
    }

    /// A required text.
    pub fn get_str(&self, key: &str) -> Result<&str, GgufError> {
        self.required(key, "a string", |value| value.as_str())
    }

    /// An optional text.
    pub fn find_str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.typed(key, |value| value.as_str())
    }

    /// A required array; see [`Array`] for its elements.
    pub fn get_array(&self, key: &str) -> Result<Array<'_>, GgufError> {
        self.required(key, "an array", |value| value.as_array())
    }

    /// An optional array.
    pub fn find_array(&self, key: &str) -> Result<Option<Array<'_>>, GgufError> {
        self.typed(key, |value| value.as_array())
    }

    /// An optional integer for each of `count` layers, from an array of that length or one integer for all.
    pub fn find_u32_each(&self, key: &str, count: usize) -> Result<Option<Vec<u32>>, GgufError> {
        self.typed(key, |value| match value {
            Value::Array(array) if array.len() == count => array.to_u32s(),
            Value::Array(array) => Err(GgufProblem::Inconsistent {
                expected: format!("one integer, or {count} for as many layers"),
                found: format!("{} entries", array.len()),
            }),
            one => Ok(vec![one.as_u32()?; count]),
        })
    }
}

impl Backing {
    fn bytes(&self) -> &[u8] {
        match self {
            Backing::Mapped(mapped) => mapped.as_bytes(),
            Backing::Owned(bytes) => bytes,
        }
    }
}
