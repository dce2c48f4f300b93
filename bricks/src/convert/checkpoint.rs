//! The weights of a model folder: safetensors files, mapped and checked, from which each tensor is taken once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use nanomind_hal::MappedFile;
use nanomind_kernels::{self as kernels, Format};
use safetensors::{Dtype, SafeTensors};

use super::error::{InputError, InputProblem};
use super::json::{Folder, JsonFile};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes before the header of a safetensors file: its length.
const LENGTH_BYTES: usize = 8;
/// More files than any model is cut into.
const MAX_SHARDS: usize = 4096;

/// The tensors of a model. Nothing of them is read before it is converted.
pub(super) struct Checkpoint {
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Stored>,
}

/// One safetensors file.
struct Shard {
    file: String,
    mapped: MappedFile,
}

/// Where a tensor is and how it is stored.
#[derive(Clone)]
struct Stored {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

/// A tensor that was taken: of the right shape, in floats.
pub(super) struct Source<'a> {
    name: String,
    shard: &'a Shard,
    format: Format,
    range: Range<usize>,
}

impl Checkpoint {
    /// Maps the files of the folder and reads their headers.
    pub(super) fn open(folder: &Folder) -> Result<Checkpoint, InputError> {
        let mut checkpoint = Checkpoint { shards: Vec::new(), tensors: BTreeMap::new() };
        match folder.json(INDEX)? {
            Some(index) => checkpoint.open_index(folder, &index)?,
            None if folder.file(WHOLE).exists() => checkpoint.add(folder, WHOLE)?,
            None => {
                let expected = format!("weights, here or in the files of {INDEX}; other formats are not read");
                return Err(InputError::new(folder.shown(WHOLE), "file", InputProblem::Missing { expected }));
            }
        }
        Ok(checkpoint)
    }

    fn open_index(&mut self, folder: &Folder, index: &JsonFile) -> Result<(), InputError> {
        let map = index.root().get("weight_map", "the file of each tensor")?;
        let places = map.value().as_object().ok_or_else(|| map.unlike("an object"))?;
        let mut files = BTreeSet::new();
        for (tensor, file) in places {
            let place = map.get(tensor, "the file of the tensor")?;
            // A name and no path: what lies beside the folder is none of its files.
            let name =
                file.as_str().filter(|name| !name.is_empty() && !name.contains(['/', '\\', '\0']) && *name != "..");
            files.insert(name.ok_or_else(|| place.unlike("the name of a file in the folder"))?);
        }
        if files.is_empty() || files.len() > MAX_SHARDS {
            return Err(map.unlike_found(format!("1 to {MAX_SHARDS} files"), files.len().to_string()));
        }
        for file in &files {
            if !folder.file(file).exists() {
                let problem = InputProblem::Missing { expected: format!("a file that {INDEX} names") };
                return Err(InputError::new(folder.shown(file), "file", problem));
            }
            self.add(folder, file)?;
        }
        for (tensor, file) in places {
            let file = folder.shown(file.as_str().unwrap_or_default());
            if self.tensors.get(tensor).is_none_or(|stored| self.shards[stored.shard].file != file) {
                let problem = InputProblem::Missing { expected: format!("the tensor that {INDEX} says is here") };
                return Err(InputError::new(file, format!("tensor `{tensor}`"), problem));
            }
        }
        Ok(())
    }

    fn add(&mut self, folder: &Folder, name: &str) -> Result<(), InputError> {
        let file = folder.shown(name);
        let wrong = |problem| InputError::new(&file, "header", problem);
        let mapped = MappedFile::open(folder.file(name)).map_err(|error| wrong(error.into()))?;
        let bytes = mapped.as_bytes();
        check_length(bytes, &file)?;
        let (header, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| header_error(error, bytes, &file))?;
        let start = LENGTH_BYTES + header;
        let shard = self.shards.len();
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let stored =
                Stored { shard, dtype: info.dtype, shape: info.shape.clone(), range: start + from..start + to };
            if let Some(first) = self.tensors.insert(name.clone(), stored) {
                let other = &self.shards.get(first.shard).map_or(&file, |shard| &shard.file);
                return Err(InputError::unlike(
                    &file,
                    format!("tensor `{name}`"),
                    "each tensor once",
                    format!("one of this name in {other} too"),
                ));
            }
        }
        self.shards.push(Shard { file, mapped });
        Ok(())
    }

    /// Whether the tensor `name` is there and not yet taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The first of `prefixes` with which `name` is there; the first of all where none is.
    pub(super) fn prefix_of<'p>(&self, prefixes: &[&'p str], name: &str) -> &'p str {
        let found = prefixes.iter().find(|prefix| self.has(&format!("{prefix}{name}")));
        found.or(prefixes.first()).copied().unwrap_or_default()
    }

    /// Takes the tensor `name` out, which must have this shape and be stored in floats.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Taken, InputError> {
        let Some(stored) = self.tensors.remove(name) else {
            let file = self.shards.first().map(|shard| shard.file.clone()).unwrap_or_default();
            let more = if self.shards.len() > 1 { " here or in the other files" } else { "" };
            let problem = InputProblem::Missing { expected: format!("a tensor of shape {shape:?}{more}") };
            return Err(InputError::new(file, format!("tensor `{name}`"), problem));
        };
        let unlike = |expected: String, found: String| {
            InputError::unlike(&self.shards[stored.shard].file, format!("tensor `{name}`"), expected, found)
        };
        if stored.shape != shape {
            return Err(unlike(format!("shape {shape:?}"), format!("{:?}", stored.shape)));
        }
        let format = match stored.dtype {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            found => return Err(unlike("numbers in F32, F16 or BF16".into(), format!("{found:?}"))),
        };
        Ok(Taken { name: name.to_owned(), shard: stored.shard, format, range: stored.range })
    }

    /// Whether two tensors that are both still here hold the same bytes in the same shape.
    pub(super) fn same(&self, one: &str, other: &str) -> bool {
        let (Some(one), Some(other)) = (self.tensors.get(one), self.tensors.get(other)) else { return false };
        let bytes = |stored: &Stored| &self.shards[stored.shard].mapped.as_bytes()[stored.range.clone()];
        one.dtype == other.dtype && one.shape == other.shape && bytes(one) == bytes(other)
    }

    /// Leaves out the tensors that `unused` knows to be of no use; says how many.
    pub(super) fn leave_out(&mut self, unused: impl Fn(&str) -> bool) -> usize {
        let before = self.tensors.len();
        self.tensors.retain(|name, _| !unused(name));
        before - self.tensors.len()
    }

    /// A tensor that nobody took would silently change what the model says: so it is an error.
    pub(super) fn refuse_the_rest(&self) -> Result<(), InputError> {
        let Some((name, stored)) = self.tensors.first_key_value() else { return Ok(()) };
        let more = self.tensors.len() - 1;
        let more = if more > 0 { format!(" ({more} others too)") } else { String::new() };
        let expected = "only tensors of the architecture";
        let found = format!("one that would be ignored{more}");
        Err(InputError::unlike(&self.shards[stored.shard].file, format!("tensor `{name}`"), expected, found))
    }

    /// The numbers behind a tensor that was taken.
    pub(super) fn source(&self, taken: &Taken) -> Source<'_> {
        let Taken { name, shard, format, range } = taken.clone();
        Source { name, shard: &self.shards[shard], format, range }
    }
}

/// The claim on a tensor.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    name: String,
    shard: usize,
    format: Format,
    range: Range<usize>,
}

impl Source<'_> {
    /// The values `range`, as `f32`, to `out` of as many.
    pub(super) fn read(&self, range: Range<usize>, out: &mut [f32]) {
        let size = self.format.block_bytes();
        let bytes = &self.shard.mapped.as_bytes()[self.range.start + range.start * size..][..range.len() * size];
        kernels::dequantize(self.format, bytes, out).expect("as many bytes as the floats take");
    }

    /// An error about the tensor's numbers.
    pub(super) fn unlike(&self, expected: String, found: String) -> InputError {
        InputError::unlike(&self.shard.file, format!("tensor `{}`", self.name), expected, found)
    }

    /// Gives the memory behind the tensor back: it was read.
    pub(super) fn release(&self) {
        self.shard.mapped.release(self.range.clone());
    }
}

/// Checks the claimed length of the header, so that the message can say what was found.
fn check_length(bytes: &[u8], file: &str) -> Result<(), InputError> {
    let field = "length of the header";
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Err(InputError::unlike(file, field, "8 bytes", format!("a file of {}", bytes.len())));
    };
    let (length, left) = (u64::from_le_bytes(*length), (bytes.len() - LENGTH_BYTES) as u64);
    if length > left {
        return Err(InputError::unlike(
            file,
            field,
            format!("at most the {left} bytes that follow"),
            length.to_string(),
        ));
    }
    Ok(())
}

/// A header that lies about the data is the sign of a file that was cut short.
fn header_error(error: safetensors::SafeTensorError, bytes: &[u8], file: &str) -> InputError {
    match error {
        safetensors::SafeTensorError::MetadataIncompleteBuffer => {
            let found = format!("another length in {} bytes of file", bytes.len());
            InputError::unlike(file, "data", "exactly the bytes that the header speaks of", found)
        }
        error => InputError::new(file, "header", InputProblem::Header(error)),
    }
}
