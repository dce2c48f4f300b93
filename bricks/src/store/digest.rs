//! SHA-256 digests: written as hex, compared as bytes, computed from files.
use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
    str::FromStr,
};

use serde::{Serialize, Serializer};
use sha2::Digest;

/// The SHA-256 digest of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// A text that is no SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a SHA-256 digest: expected 64 hexadecimal digits, found {} characters", found.chars().count())]
pub struct InvalidDigest {
    found: String,
}

impl Sha256 {
    /// A digest written in the source; a wrong one does not compile.
    pub const fn from_hex(hex: &str) -> Sha256 {
        match parse_hex(hex.as_bytes()) {
            Some(bytes) => Sha256(bytes),
            None => panic!("a digest has 64 hexadecimal digits"),
        }
    }

    /// The digest of everything in `path`.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Sha256> {
        let mut hasher = Hasher::default();
        hasher.update_from(&mut fs::File::open(path)?)?;
        Ok(hasher.finish())
    }
}

const fn parse_hex(hex: &[u8]) -> Option<[u8; 32]> {
    if hex.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 64 {
        let digit = match hex[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            digit @ b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        bytes[at / 2] = bytes[at / 2] << 4 | digit;
        at += 1;
    }
    Some(bytes)
}

impl FromStr for Sha256 {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Sha256, InvalidDigest> {
        parse_hex(text.as_bytes()).map(Sha256).ok_or_else(|| InvalidDigest { found: text.into() })
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A digest in the making, and how many bytes it has seen.
#[derive(Clone, Default)]
pub(super) struct Hasher {
    state: sha2::Sha256,
    seen: u64,
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.seen += bytes.len() as u64;
    }

    /// Hashes the rest of `reader`.
    pub(super) fn update_from(&mut self, reader: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => self.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many bytes have been hashed.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn finish(self) -> Sha256 {
        Sha256(self.state.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let empty = Hasher::default().finish();
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), hex);
        assert_eq!(hex.to_uppercase().parse(), Ok(empty));
        let error = "e3b0".parse::<Sha256>().expect_err("too short").to_string();
        assert_eq!(error, "\"e3b0\" is not a SHA-256 digest: expected 64 hexadecimal digits, found 4 characters");
    }
}
