//! Reads the metadata of an mmproj file under `clip.vision`, within bounds.

use std::fmt;
use std::ops::RangeInclusive;

use crate::gguf::{Gguf, GgufError, GgufProblem};

/// Keys under `clip.vision` of one file.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) gguf: &'a Gguf,
}

impl<'a> Fields<'a> {
    fn key(name: &str) -> String {
        format!("clip.vision.{name}")
    }

    /// An error about the key `name`.
    pub(super) fn wrong(&self, name: &str, expected: String, found: impl fmt::Display) -> GgufError {
        self.gguf.error(&Self::key(name), GgufProblem::Inconsistent { expected, found: found.to_string() })
    }

    /// An error about the tensor `name`.
    pub(super) fn wrong_tensor(&self, name: &str, expected: String, found: impl fmt::Display) -> GgufError {
        let problem = GgufProblem::Inconsistent { expected, found: found.to_string() };
        GgufError::new(self.gguf.file(), format!("tensor `{name}`"), problem)
    }

    /// A whole number within `bounds`.
    pub(super) fn size(&self, name: &str, bounds: RangeInclusive<usize>) -> Result<usize, GgufError> {
        let found = self.gguf.get_u32(&Self::key(name))? as usize;
        if bounds.contains(&found) {
            return Ok(found);
        }
        Err(self.wrong(name, format!("an integer from {} to {}", bounds.start(), bounds.end()), found))
    }

    /// A whole number within `bounds`; `default` where the file says none.
    pub(super) fn size_or(
        &self,
        name: &str,
        bounds: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, GgufError> {
        if self.gguf.find(&Self::key(name)).is_some() { self.size(name, bounds) } else { Ok(default) }
    }

    /// Text, where the file says some.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, GgufError> {
        self.gguf.find_str(&Self::key(name))
    }

    /// A list of whole numbers, where the file has one.
    pub(super) fn sizes(&self, name: &str) -> Result<Option<Vec<usize>>, GgufError> {
        let Some(array) = self.gguf.find_array(&Self::key(name))? else { return Ok(None) };
        let values = array.to_u32s().map_err(|problem| self.gguf.error(&Self::key(name), problem))?;
        Ok(Some(values.into_iter().map(|value| value as usize).collect()))
    }

    /// A number above 0 and at most 1.
    pub(super) fn epsilon(&self, name: &str) -> Result<f32, GgufError> {
        let found = self.gguf.get_f32(&Self::key(name))?;
        if found > 0.0 && found <= 1.0 {
            return Ok(found);
        }
        Err(self.wrong(name, "a number above 0 and at most 1".into(), found))
    }

    /// A number for each channel, within `bounds`.
    pub(super) fn channels(&self, name: &str, bounds: RangeInclusive<f32>) -> Result<[f32; 3], GgufError> {
        let array = self.gguf.get_array(&Self::key(name))?;
        let values = array.to_f32s().map_err(|problem| self.gguf.error(&Self::key(name), problem))?;
        match <[f32; 3]>::try_from(values) {
            Ok(values) if values.iter().all(|value| bounds.contains(value)) => Ok(values),
            _ => {
                let expected = format!("three numbers from {:?} to {:?}", bounds.start(), bounds.end());
                Err(self.wrong(name, expected, format!("{array:?}")))
            }
        }
    }
}
