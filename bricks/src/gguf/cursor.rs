//! A reader over the bytes of a GGUF file that never reads past the end and never allocates.

use super::error::GgufProblem;

/// A position in the bytes of a file; every read is checked against what is left.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, offset: 0 }
    }

    /// Bytes from the start of the file.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], GgufProblem> {
        let truncated = GgufProblem::Truncated { offset: self.offset, expected: len, found: self.left() };
        let Some(end) = usize::try_from(len).ok().and_then(|len| self.offset.checked_add(len)) else {
            return Err(truncated);
        };
        let Some(taken) = self.bytes.get(self.offset..end) else {
            return Err(truncated);
        };
        self.offset = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufProblem> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Result<u8, GgufProblem> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, GgufProblem> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufProblem> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufProblem> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string: its length as 64 bits, then its bytes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], GgufProblem> {
        let len = self.u64()?;
        self.take(len)
    }

    /// A count of entries that take at least `least` bytes each, so that what is left can hold them.
    pub(super) fn count(&mut self, least: u64) -> Result<usize, GgufProblem> {
        let found = self.u64()?;
        self.check_count(found, least)
    }

    /// Checks that `found` entries of at least `least` bytes each fit in what is left.
    pub(super) fn check_count(&self, found: u64, least: u64) -> Result<usize, GgufProblem> {
        let limit = self.left() as u64 / least;
        match usize::try_from(found) {
            Ok(count) if found <= limit => Ok(count),
            _ => Err(GgufProblem::Count { found, limit, left: self.left() }),
        }
    }
}
