//! GGUF files: a memory-mapped reader that trusts nothing, and a writer.

mod array;
mod cursor;
mod error;
mod file;
mod parse;
mod stream;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod writer;

pub use array::{Array, ArrayIter};
pub use error::{GgufError, GgufProblem};
pub use file::Gguf;
pub use stream::GgufStream;
pub use tensor::{TensorInfo, TensorType};
pub use value::{Value, ValueType};
pub use writer::{GgufWriter, WriteValue};
