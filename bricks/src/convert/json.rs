//! The JSON files of a model folder: bounded before they are read, and every access names file and field.

use std::path::{Path, PathBuf};

use nanomind_hal::MappedFile;
use serde_json::Value;

use super::error::{InputError, InputProblem};

/// The one large file.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Its limit: those of the largest vocabularies have some 35 MB.
const TOKENIZER_LIMIT: u64 = 64 << 20;
/// Of all other files.
const LIMIT: u64 = 16 << 20;
/// How much of an unexpected value is shown.
const SHOWN: usize = 200;

/// The folder of a model.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Folder {
        Folder { path: path.to_owned() }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How messages call a file of the folder.
    pub(super) fn shown(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// The text of a file, if there is one.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, InputError> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |problem| InputError::new(self.shown(name), "file", problem);
        let file = MappedFile::open(&path).map_err(|error| wrong(error.into()))?;
        let found = file.as_bytes().len() as u64;
        let limit = if name == TOKENIZER { TOKENIZER_LIMIT } else { LIMIT };
        if found > limit {
            return Err(wrong(InputProblem::TooLarge { limit, found }));
        }
        let text = std::str::from_utf8(file.as_bytes()).map_err(|error| {
            let found = format!("an invalid byte at {}", error.valid_up_to());
            wrong(InputProblem::Unlike { expected: "UTF-8 text".into(), found })
        })?;
        Ok(Some(text.to_owned()))
    }

    /// A JSON file, if there is one.
    pub(super) fn json(&self, name: &str) -> Result<Option<JsonFile>, InputError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let file = self.shown(name);
        match serde_json::from_str(&text) {
            Ok(root) => Ok(Some(JsonFile { file, root })),
            Err(error) => Err(InputError::new(file, "file", InputProblem::Json(error))),
        }
    }

    /// A JSON file that must be there.
    pub(super) fn required_json(&self, name: &str, what: &str) -> Result<JsonFile, InputError> {
        let missing = || InputError::new(self.shown(name), "file", InputProblem::Missing { expected: what.to_owned() });
        self.json(name)?.ok_or_else(missing)
    }
}

/// A JSON file that was read.
pub(super) struct JsonFile {
    file: String,
    root: Value,
}

impl JsonFile {
    pub(super) fn root(&self) -> Json<'_> {
        Json { file: &self.file, field: String::new(), value: &self.root }
    }
}

/// A value in a JSON file, with its place.
#[derive(Clone)]
pub(super) struct Json<'a> {
    file: &'a str,
    field: String,
    value: &'a Value,
}

impl<'a> Json<'a> {
    /// The value as it is.
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// The field `name`, if it is there and not null.
    pub(super) fn find(&self, name: &str) -> Option<Json<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Json { file: self.file, field: self.path_of(name), value })
    }

    /// The field `name`, which must be there.
    pub(super) fn get(&self, name: &str, expected: &str) -> Result<Json<'a>, InputError> {
        self.find(name).ok_or_else(|| self.missing(name, expected))
    }

    /// The error of a missing field.
    pub(super) fn missing(&self, name: &str, expected: &str) -> InputError {
        let problem = InputProblem::Missing { expected: expected.to_owned() };
        InputError::new(self.file, format!("field `{}`", self.path_of(name)), problem)
    }

    fn path_of(&self, name: &str) -> String {
        if self.field.is_empty() { name.to_owned() } else { format!("{}.{name}", self.field) }
    }

    /// The error of a value that is not what it should be.
    pub(super) fn unlike(&self, expected: impl Into<String>) -> InputError {
        self.unlike_found(expected, shown(self.value))
    }

    /// The same, where what is wrong needs other words.
    pub(super) fn unlike_found(&self, expected: impl Into<String>, found: impl Into<String>) -> InputError {
        let field = if self.field.is_empty() { "file".to_owned() } else { format!("field `{}`", self.field) };
        InputError::unlike(self.file, field, expected, found)
    }

    pub(super) fn as_str(&self) -> Result<&'a str, InputError> {
        self.value.as_str().ok_or_else(|| self.unlike("a text"))
    }

    pub(super) fn as_bool(&self) -> Result<bool, InputError> {
        self.value.as_bool().ok_or_else(|| self.unlike("true or false"))
    }

    pub(super) fn as_u32(&self) -> Result<u32, InputError> {
        let number = self.value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| self.unlike("an integer from 0 to 4294967295"))
    }

    /// A number that is finite as `f32` too.
    pub(super) fn as_f64(&self) -> Result<f64, InputError> {
        let number = self.value.as_f64().filter(|number| (*number as f32).is_finite());
        number.ok_or_else(|| self.unlike("a finite number"))
    }

    /// The items of an array.
    pub(super) fn items(&self) -> Result<Vec<Json<'a>>, InputError> {
        let items = self.value.as_array().ok_or_else(|| self.unlike("an array"))?;
        let item = |(index, value)| Json { file: self.file, field: format!("{}[{index}]", self.field), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The field `name` as text, if it is there.
    pub(super) fn find_str(&self, name: &str) -> Result<Option<&'a str>, InputError> {
        self.find(name).map(|value| value.as_str()).transpose()
    }

    /// The field `name` as a flag, if it is there.
    pub(super) fn find_bool(&self, name: &str) -> Result<Option<bool>, InputError> {
        self.find(name).map(|value| value.as_bool()).transpose()
    }
}

/// The value in one line, cut where it is long.
fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((at, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(at);
        text.push('…');
    }
    text
}
