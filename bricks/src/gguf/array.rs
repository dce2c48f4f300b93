//! Arrays of metadata values: walked once when the file is opened, decoded as they are iterated.

use std::fmt;

use super::cursor::Cursor;
use super::error::GgufProblem;
use super::value::{Value, ValueType, read_value};

/// Arrays may hold arrays down to this depth; real files use one level.
const MAX_DEPTH: usize = 8;

/// An array of metadata values, checked when the file was opened and decoded as it is iterated.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    element: ValueType,
    len: usize,
    /// The elements, exactly; walked once already.
    bytes: &'a [u8],
}

/// The length, the type and the first entries.
impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        write!(f, "{} × {} [", self.len(), self.element_type().name())?;
        for (index, value) in self.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{value}")?;
        }
        if self.len() > SHOWN {
            write!(f, ", …")?;
        }
        write!(f, "]")
    }
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Type of all elements.
    pub fn element_type(&self) -> ValueType {
        self.element
    }

    /// The elements in order; strings and arrays borrow from the file.
    pub fn iter(&self) -> ArrayIter<'a> {
        ArrayIter { element: self.element, left: self.len, cursor: Cursor::new(self.bytes) }
    }

    /// Strings in order, or the type problem at once; text that is not UTF-8 is an error of its element.
    pub fn strings(
        &self,
    ) -> Result<impl ExactSizeIterator<Item = Result<&'a str, GgufProblem>> + use<'a>, GgufProblem> {
        self.expect(&[ValueType::String], "an array of strings")?;
        Ok(self.iter().map(|value| value.as_str()))
    }

    /// All elements as u32; any integer type whose values fit.
    pub fn to_u32s(&self) -> Result<Vec<u32>, GgufProblem> {
        self.expect(&INTEGERS, "an array of integers")?;
        self.iter().map(|value| value.as_u32()).collect()
    }

    /// All elements as i32; any integer type whose values fit.
    pub fn to_i32s(&self) -> Result<Vec<i32>, GgufProblem> {
        self.expect(&INTEGERS, "an array of integers")?;
        self.iter().map(|value| value.as_i32()).collect()
    }

    /// All elements as f32; either float type, finite.
    pub fn to_f32s(&self) -> Result<Vec<f32>, GgufProblem> {
        self.expect(&[ValueType::F32, ValueType::F64], "an array of floats")?;
        self.iter().map(|value| value.as_f32()).collect()
    }

    fn expect(&self, types: &[ValueType], expected: &'static str) -> Result<(), GgufProblem> {
        if types.contains(&self.element) {
            Ok(())
        } else {
            Err(GgufProblem::WrongType { expected, found: format!("an array of {}", self.element.name()) })
        }
    }
}

const INTEGERS: [ValueType; 8] = [
    ValueType::U8,
    ValueType::I8,
    ValueType::U16,
    ValueType::I16,
    ValueType::U32,
    ValueType::I32,
    ValueType::U64,
    ValueType::I64,
];

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = ArrayIter<'a>;

    fn into_iter(self) -> ArrayIter<'a> {
        self.iter()
    }
}

/// Iterator over the elements of an [`Array`].
#[derive(Clone)]
pub struct ArrayIter<'a> {
    element: ValueType,
    left: usize,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for ArrayIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The array was walked when the file was opened, so a failure here cannot happen; it would end the iteration.
        read_value(&mut self.cursor, self.element, 0).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ArrayIter<'_> {}

/// Reads an array and walks all of it; `depth` counts from 1.
pub(super) fn read_array<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Array<'a>, GgufProblem> {
    if depth > MAX_DEPTH {
        return Err(GgufProblem::Depth { limit: MAX_DEPTH });
    }
    let element = ValueType::from_number(cursor.u32()?)?;
    let len = cursor.count(element.least_bytes())?;
    let mut walk = *cursor;
    match element {
        ValueType::String | ValueType::Array | ValueType::Bool => {
            for _ in 0..len {
                read_value(&mut walk, element, depth)?;
            }
        }
        // Every bit pattern of the other types is a value, and the count fits what is left: one step over all.
        _ => {
            walk.take(len as u64 * element.least_bytes())?;
        }
    }
    let bytes = cursor.take((walk.offset() - cursor.offset()) as u64)?;
    Ok(Array { element, len, bytes })
}
