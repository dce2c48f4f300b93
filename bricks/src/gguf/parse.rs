//! The parser of GGUF headers: bounded work and memory for any bytes, and every offset checked before use.

use std::collections::HashSet;
use std::ops::Range;

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::cursor::Cursor;
use super::error::{Fault, GgufProblem};
use super::tensor::{TensorInfo, TensorType};
use super::value::{Value, ValueType, read_value};

/// Alignment of tensor data where the file does not say.
pub(super) const DEFAULT_ALIGNMENT: u32 = 32;
const LEAST_ALIGNMENT: u32 = 8;
const MOST_ALIGNMENT: u32 = 1 << 20;
/// The format's bound on the length of a key.
const MAX_KEY_BYTES: usize = 65_535;
/// ggml allows 63; converters of other tools write longer ones.
const MAX_NAME_BYTES: usize = 512;
const MAX_DIMS: u32 = 4;
/// A key's length, one letter, the type and a one-byte value.
const LEAST_PAIR_BYTES: u64 = 8 + 1 + 4 + 1;
/// A name's length, one letter, the number of dimensions, the type and the offset.
const LEAST_TENSOR_BYTES: u64 = 8 + 1 + 4 + 4 + 8;
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";

/// Where the value of a key lies; decoded again when it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) value_type: ValueType,
    pub(super) range: Range<usize>,
}

/// The checked table of contents of a file. Holds keys and names, no values and no tensor data.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: u32,
    pub(super) alignment: u32,
    pub(super) metadata: IndexMap<String, Slot>,
    pub(super) tensors: IndexMap<String, TensorInfo>,
}

impl Layout {
    /// Checks everything but the tensor data itself.
    pub(super) fn parse(bytes: &[u8]) -> Result<Layout, Fault> {
        let mut cursor = Cursor::new(bytes);
        let version = parse_version(&mut cursor)?;
        let in_header = |field: &'static str| move |problem| Fault::new(field, problem);
        // The tensor count stands first, and is bounded by what is left there, as is the pair count after it.
        let tensor_count = cursor.count(LEAST_TENSOR_BYTES).map_err(in_header("tensor count"))?;
        let pair_count = cursor.count(LEAST_PAIR_BYTES).map_err(in_header("metadata count"))?;

        let metadata = parse_metadata(&mut cursor, pair_count)?;
        let alignment = parse_alignment(bytes, metadata.get(ALIGNMENT_KEY))?;
        // Again, now that the metadata has taken its part.
        cursor.check_count(tensor_count as u64, LEAST_TENSOR_BYTES).map_err(in_header("tensor count"))?;
        let tensors = parse_tensors(&mut cursor, tensor_count)?;
        let tensors = place_tensors(tensors, bytes.len(), cursor.offset(), alignment)?;
        Ok(Layout { version, alignment, metadata, tensors })
    }
}

fn parse_version(cursor: &mut Cursor<'_>) -> Result<u32, Fault> {
    let magic = cursor.take(4).map_err(|problem| Fault::new("magic", problem))?;
    if magic != b"GGUF" {
        let mut found = [0; 4];
        found.copy_from_slice(magic);
        return Err(Fault::new("magic", GgufProblem::Magic { found }));
    }
    let version = cursor.u32().map_err(|problem| Fault::new("version", problem))?;
    match version {
        2 | 3 => Ok(version),
        // A small number in the upper half is a small number written the other way round.
        found if found & 0xffff == 0 && found != 0 => Err(Fault::new("version", GgufProblem::BigEndian { found })),
        found => Err(Fault::new("version", GgufProblem::Version { found })),
    }
}

fn parse_metadata(cursor: &mut Cursor<'_>, count: usize) -> Result<IndexMap<String, Slot>, Fault> {
    let mut metadata = IndexMap::new();
    for index in 0..count {
        let field = || format!("metadata key {index}");
        let key = parse_name(cursor, MAX_KEY_BYTES, "1 to 65535 bytes").map_err(|p| Fault::new(field(), p))?;
        let in_key = |problem| Fault::new(format!("key `{key}`"), problem);
        let value_type = cursor.u32().and_then(ValueType::from_number).map_err(in_key)?;
        let start = cursor.offset();
        read_value(cursor, value_type, 0).map_err(in_key)?;
        let range = start..cursor.offset();
        match metadata.entry(key.to_owned()) {
            Entry::Occupied(_) => return Err(in_key(GgufProblem::Duplicate)),
            Entry::Vacant(entry) => entry.insert(Slot { value_type, range }),
        };
    }
    Ok(metadata)
}

/// A key or a tensor's name: short and UTF-8.
fn parse_name<'a>(cursor: &mut Cursor<'a>, most: usize, expected: &'static str) -> Result<&'a str, GgufProblem> {
    let name = cursor.string()?;
    if name.is_empty() || name.len() > most {
        return Err(GgufProblem::Length { expected, found: name.len() as u64 });
    }
    std::str::from_utf8(name).map_err(|error| GgufProblem::Utf8 { at: error.valid_up_to() })
}

fn parse_alignment(bytes: &[u8], slot: Option<&Slot>) -> Result<u32, Fault> {
    let Some(slot) = slot else { return Ok(DEFAULT_ALIGNMENT) };
    let in_key = |problem| Fault::new(format!("key `{ALIGNMENT_KEY}`"), problem);
    let found = value_at(bytes, slot).and_then(|value| value.as_u32()).map_err(in_key)?;
    if found.is_power_of_two() && (LEAST_ALIGNMENT..=MOST_ALIGNMENT).contains(&found) {
        Ok(found)
    } else {
        Err(in_key(GgufProblem::Alignment { least: LEAST_ALIGNMENT, most: MOST_ALIGNMENT, found }))
    }
}

/// Decodes a value that was checked before.
pub(super) fn value_at<'a>(bytes: &'a [u8], slot: &Slot) -> Result<Value<'a>, GgufProblem> {
    read_value(&mut Cursor::new(&bytes[slot.range.clone()]), slot.value_type, 0)
}

/// A tensor as the file describes it, its place not yet checked.
struct Described {
    name: String,
    tensor_type: TensorType,
    dims: Vec<u64>,
    /// From the start of the data section.
    offset: u64,
    len: u64,
}

fn parse_tensors(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Described>, Fault> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for index in 0..count {
        let name = parse_name(cursor, MAX_NAME_BYTES, "1 to 512 bytes")
            .map_err(|problem| Fault::new(format!("name of tensor {index}"), problem))?;
        let in_tensor = |problem| Fault::new(format!("tensor `{name}`"), problem);
        if !names.insert(name) {
            return Err(in_tensor(GgufProblem::Duplicate));
        }
        tensors.push(parse_tensor(cursor, name).map_err(in_tensor)?);
    }
    Ok(tensors)
}

fn parse_tensor(cursor: &mut Cursor<'_>, name: &str) -> Result<Described, GgufProblem> {
    let dimensions = cursor.u32()?;
    if dimensions > MAX_DIMS {
        return Err(GgufProblem::Dimensions { limit: MAX_DIMS, found: dimensions });
    }
    let dims = (0..dimensions).map(|_| cursor.u64()).collect::<Result<Vec<_>, _>>()?;
    let tensor_type = TensorType::from_number(cursor.u32()?)?;
    let offset = cursor.u64()?;
    let len = tensor_type.tensor_bytes(&dims)?;
    Ok(Described { name: name.to_owned(), tensor_type, dims, offset, len })
}

/// Checks alignment, bounds and overlaps, and turns offsets into ranges of the file.
fn place_tensors(
    tensors: Vec<Described>,
    file_len: usize,
    header_len: usize,
    alignment: u32,
) -> Result<IndexMap<String, TensorInfo>, Fault> {
    let data_start = header_len.next_multiple_of(alignment as usize);
    // A file without tensors may end with its header, before the padding.
    let data_len = file_len.saturating_sub(data_start) as u64;
    for tensor in &tensors {
        let in_tensor = |problem| Fault::new(format!("tensor `{}`", tensor.name), problem);
        if tensor.offset % u64::from(alignment) != 0 {
            let problem = GgufProblem::Misaligned { alignment: alignment.into(), found: tensor.offset };
            return Err(in_tensor(problem));
        }
        if tensor.offset.checked_add(tensor.len).is_none_or(|end| end > data_len) {
            let problem = GgufProblem::OutOfFile { data_len, offset: tensor.offset, len: tensor.len };
            return Err(in_tensor(problem));
        }
    }
    check_overlaps(&tensors)?;
    let placed = tensors.into_iter().map(|tensor| {
        // Both fit: the end was checked against the length of the file.
        let start = data_start + tensor.offset as usize;
        let range = start..start + tensor.len as usize;
        let info = TensorInfo { name: tensor.name.clone(), tensor_type: tensor.tensor_type, dims: tensor.dims, range };
        (tensor.name, info)
    });
    Ok(placed.collect())
}

fn check_overlaps(tensors: &[Described]) -> Result<(), Fault> {
    let mut by_offset: Vec<&Described> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    for pair in by_offset.windows(2) {
        let (first, second) = (pair[0], pair[1]);
        if first.offset + first.len > second.offset {
            let problem = GgufProblem::Overlap { other: first.name.clone(), offset: second.offset };
            return Err(Fault::new(format!("tensor `{}`", second.name), problem));
        }
    }
    Ok(())
}
