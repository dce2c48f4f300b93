//! What a picture is known by: a digest of its size and pixels, and of what was made of it.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 digest of a picture's size and pixels. Two pictures with the same digest are the same picture, whatever
/// file or camera they came from.
///
/// Rows that a model made of a picture are known by the digest of both, [`PictureDigest::through`]: the same picture seen
/// by two models gives other rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PictureDigest([u8; 32]);

impl PictureDigest {
    /// The digest of `rgb`, `[height, width, 3]`.
    pub fn of_rgb(width: usize, height: usize, rgb: &[u8]) -> PictureDigest {
        let mut hasher = Sha256::new();
        hasher.update((width as u64).to_le_bytes());
        hasher.update((height as u64).to_le_bytes());
        hasher.update(rgb);
        PictureDigest(hasher.finalize().into())
    }

    /// The digest of rows whose origin is not known: like that of no picture, and of no other number.
    pub(crate) fn nameless(number: u64) -> PictureDigest {
        let mut hasher = Sha256::new();
        hasher.update("nameless");
        hasher.update(number.to_le_bytes());
        PictureDigest(hasher.finalize().into())
    }

    /// The digest of what `step` makes of this: a model and whatever else decides about the result.
    #[must_use]
    pub fn through(self, step: &str) -> PictureDigest {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(step);
        PictureDigest(hasher.finalize().into())
    }
}

/// The first eight hexadecimal digits: enough for a person to tell pictures apart.
impl fmt::Display for PictureDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PictureDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PictureDigest({self}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_pixels_and_steps_all_count() {
        let pixels: Vec<u8> = (0..24).collect();
        let digest = PictureDigest::of_rgb(4, 2, &pixels);
        assert_eq!(digest, PictureDigest::of_rgb(4, 2, &pixels.clone()));
        assert_ne!(digest, PictureDigest::of_rgb(2, 4, &pixels), "the same bytes in other rows");
        let mut other = pixels;
        other[23] ^= 1;
        assert_ne!(digest, PictureDigest::of_rgb(4, 2, &other), "one bit of the last pixel");
        let [eye, other_eye] = ["eye.gguf", "other.gguf"].map(|step| digest.through(step));
        assert!(eye != digest && eye != other_eye, "{eye} {other_eye} {digest}");
        assert_eq!(eye, digest.through("eye.gguf"));
    }

    #[test]
    fn a_person_is_shown_its_beginning() {
        // sha256 of sixteen bytes (1 and 1, little-endian) and a black pixel, by coreutils.
        assert_eq!(PictureDigest::of_rgb(1, 1, &[0, 0, 0]).to_string(), "d71c7916");
    }
}
