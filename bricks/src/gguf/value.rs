//! Metadata values of a GGUF file, borrowed from the mapped bytes.

use std::fmt;

use super::array::{Array, read_array};
use super::cursor::Cursor;
use super::error::GgufProblem;

/// The type of a metadata value, with the numbers of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueType {
    /// 8-bit unsigned integer.
    U8 = 0,
    /// 8-bit signed integer.
    I8 = 1,
    /// 16-bit unsigned integer.
    U16 = 2,
    /// 16-bit signed integer.
    I16 = 3,
    /// 32-bit unsigned integer.
    U32 = 4,
    /// 32-bit signed integer.
    I32 = 5,
    /// 32-bit float.
    F32 = 6,
    /// One byte, 0 or 1.
    Bool = 7,
    /// UTF-8 text.
    String = 8,
    /// Values of one type, which may be arrays again.
    Array = 9,
    /// 64-bit unsigned integer.
    U64 = 10,
    /// 64-bit signed integer.
    I64 = 11,
    /// 64-bit float.
    F64 = 12,
}

impl ValueType {
    pub(super) fn from_number(number: u32) -> Result<ValueType, GgufProblem> {
        Ok(match number {
            0 => ValueType::U8,
            1 => ValueType::I8,
            2 => ValueType::U16,
            3 => ValueType::I16,
            4 => ValueType::U32,
            5 => ValueType::I32,
            6 => ValueType::F32,
            7 => ValueType::Bool,
            8 => ValueType::String,
            9 => ValueType::Array,
            10 => ValueType::U64,
            11 => ValueType::I64,
            12 => ValueType::F64,
            found => return Err(GgufProblem::ValueType { found }),
        })
    }

    /// The smallest encoding of one value, in bytes.
    pub(super) fn least_bytes(self) -> u64 {
        match self {
            ValueType::U8 | ValueType::I8 | ValueType::Bool => 1,
            ValueType::U16 | ValueType::I16 => 2,
            ValueType::U32 | ValueType::I32 | ValueType::F32 => 4,
            ValueType::U64 | ValueType::I64 | ValueType::F64 | ValueType::String => 8,
            ValueType::Array => 12,
        }
    }

    /// The name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::String => "string",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        }
    }
}

/// One metadata value.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
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
    /// Text as stored; [`Value::as_str`] checks that it is UTF-8.
    String(&'a [u8]),
    /// Values of one type.
    Array(Array<'a>),
    /// 64-bit unsigned integer.
    U64(u64),
    /// 64-bit signed integer.
    I64(i64),
    /// 64-bit float.
    F64(f64),
}

impl<'a> Value<'a> {
    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }

    /// Any integer type, widened without loss.
    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(v) => v.into(),
            Value::I8(v) => v.into(),
            Value::U16(v) => v.into(),
            Value::I16(v) => v.into(),
            Value::U32(v) => v.into(),
            Value::I32(v) => v.into(),
            Value::U64(v) => v.into(),
            Value::I64(v) => v.into(),
            _ => return None,
        })
    }

    fn wrong(&self, expected: &'static str) -> GgufProblem {
        GgufProblem::WrongType { expected, found: self.to_string() }
    }

    /// Any integer type whose value fits 32 unsigned bits.
    pub fn as_u32(&self) -> Result<u32, GgufProblem> {
        self.integer().and_then(|v| v.try_into().ok()).ok_or_else(|| self.wrong("an integer that fits u32"))
    }

    /// Any integer type whose value fits 32 signed bits.
    pub fn as_i32(&self) -> Result<i32, GgufProblem> {
        self.integer().and_then(|v| v.try_into().ok()).ok_or_else(|| self.wrong("an integer that fits i32"))
    }

    /// Any integer type whose value fits 64 unsigned bits.
    pub fn as_u64(&self) -> Result<u64, GgufProblem> {
        self.integer().and_then(|v| v.try_into().ok()).ok_or_else(|| self.wrong("an integer that fits u64"))
    }

    /// Either float type, rounded to 32 bits; must be finite.
    pub fn as_f32(&self) -> Result<f32, GgufProblem> {
        let value = match *self {
            Value::F32(v) => v,
            Value::F64(v) => v as f32,
            _ => return Err(self.wrong("a float")),
        };
        if value.is_finite() { Ok(value) } else { Err(self.wrong("a finite float")) }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Result<bool, GgufProblem> {
        match *self {
            Value::Bool(v) => Ok(v),
            _ => Err(self.wrong("a boolean")),
        }
    }

    /// Text; an error if it is not UTF-8.
    pub fn as_str(&self) -> Result<&'a str, GgufProblem> {
        match *self {
            Value::String(bytes) => {
                std::str::from_utf8(bytes).map_err(|error| GgufProblem::Utf8 { at: error.valid_up_to() })
            }
            _ => Err(self.wrong("a string")),
        }
    }

    /// An array.
    pub fn as_array(&self) -> Result<Array<'a>, GgufProblem> {
        match *self {
            Value::Array(array) => Ok(array),
            _ => Err(self.wrong("an array")),
        }
    }
}

/// The value for people: text is cut to 60 characters, an array shows its length and first entries.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::U8(v) => write!(f, "{v}"),
            Value::I8(v) => write!(f, "{v}"),
            Value::U16(v) => write!(f, "{v}"),
            Value::I16(v) => write!(f, "{v}"),
            Value::U32(v) => write!(f, "{v}"),
            Value::I32(v) => write!(f, "{v}"),
            Value::F32(v) => write!(f, "{v:?}"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::String(bytes) => write_text(f, bytes),
            Value::Array(array) => write!(f, "{array:?}"),
            Value::U64(v) => write!(f, "{v}"),
            Value::I64(v) => write!(f, "{v}"),
            Value::F64(v) => write!(f, "{v:?}"),
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const SHOWN: usize = 60;
    // Four bytes a character at most, so that a text of megabytes is not converted to show its beginning.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN + 4)]);
    let shown: String = text.chars().take(SHOWN).collect();
    let ellipsis = if shown.len() < bytes.len() && text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    write!(f, "{shown:?}{ellipsis}")
}

/// Reads a value of the given type and checks all of it, arrays to their last element.
pub(super) fn read_value<'a>(
    cursor: &mut Cursor<'a>,
    value_type: ValueType,
    depth: usize,
) -> Result<Value<'a>, GgufProblem> {
    Ok(match value_type {
        ValueType::U8 => Value::U8(cursor.u8()?),
        ValueType::I8 => Value::I8(cursor.u8()? as i8),
        ValueType::U16 => Value::U16(cursor.u16()?),
        ValueType::I16 => Value::I16(cursor.u16()? as i16),
        ValueType::U32 => Value::U32(cursor.u32()?),
        ValueType::I32 => Value::I32(cursor.u32()? as i32),
        ValueType::F32 => Value::F32(f32::from_bits(cursor.u32()?)),
        ValueType::Bool => match cursor.u8()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            found => return Err(GgufProblem::Boolean { found }),
        },
        ValueType::String => Value::String(cursor.string()?),
        ValueType::Array => Value::Array(read_array(cursor, depth + 1)?),
        ValueType::U64 => Value::U64(cursor.u64()?),
        ValueType::I64 => Value::I64(cursor.u64()? as i64),
        ValueType::F64 => Value::F64(f64::from_bits(cursor.u64()?)),
    })
}
