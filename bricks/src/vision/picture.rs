//! A picture out of an image file: JPEG, PNG, WebP, BMP or GIF, upright, in RGB. A file is hostile until decoded.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::digest::PictureDigest;
use super::error::PictureError;

/// How large an image may be. What is larger is refused before memory is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLimits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Pixels of width and of height.
    pub side: u32,
    /// Bytes of the decoded image.
    pub decoded_bytes: u64,
}

impl Default for PictureLimits {
    /// Files of 64 MiB, sides of 16,384 pixels, 256 MiB decoded: beyond what cameras make.
    fn default() -> PictureLimits {
        PictureLimits { file_bytes: 64 << 20, side: 16_384, decoded_bytes: 256 << 20 }
    }
}

/// A picture: rows of RGB pixels from the top, a byte a channel, and what a person calls it.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    name: Arc<str>,
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    digest: PictureDigest,
}

impl Picture {
    /// Reads and decodes the image file at `path`. Transparency is dropped; of an animation the first frame is taken.
    pub fn open(path: impl AsRef<Path>, limits: &PictureLimits) -> Result<Picture, PictureError> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let unreadable = |source| PictureError::Unreadable { file: file.clone(), source };
        let mut bytes = Vec::new();
        let source = File::open(path).map_err(unreadable)?;
        source.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        Picture::decode(&file, &bytes, limits)
    }

    /// Decodes an image that is in memory already; `file` is its name in messages.
    pub fn decode(file: &str, bytes: &[u8], limits: &PictureLimits) -> Result<Picture, PictureError> {
        if bytes.len() as u64 > limits.file_bytes {
            return Err(PictureError::TooLong { file: file.to_owned(), limit: limits.file_bytes });
        }
        let (format, name) = format_of(file, bytes)?;
        let damaged = |source| PictureError::Damaged { file: file.to_owned(), format: name, source };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        // Decoders take some memory beside the image's own.
        let mut decoder_limits = Limits::no_limits();
        decoder_limits.max_alloc = Some(limits.decoded_bytes.saturating_mul(2));
        reader.limits(decoder_limits);
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        check_size(file, name, &decoder, limits)?;
        if format == ImageFormat::Jpeg && !holds_end_of_jpeg(bytes) {
            return Err(PictureError::Truncated { file: file.to_owned(), format: name, found: bytes.len() });
        }
        let orientation = decoder.orientation().map_err(damaged)?;
        let rgb = DynamicImage::from_decoder(decoder).map_err(damaged)?.into_rgb8();
        let mut upright = DynamicImage::ImageRgb8(rgb);
        upright.apply_orientation(orientation);
        let upright = upright.into_rgb8();
        let (width, height) = (upright.width() as usize, upright.height() as usize);
        let name = Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy());
        Ok(Picture::of_pixels(width, height, upright.into_raw()).named(&*name))
    }

    /// A picture of pixels that are there already, `[height, width, 3]`; nothing where the length is another or there
    /// is no pixel.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Option<Picture> {
        let expected = width.checked_mul(height)?.checked_mul(3)?;
        (expected > 0 && rgb.len() == expected).then(|| Picture::of_pixels(width, height, rgb))
    }

    /// A picture that nobody takes: it has a size and is known by a number, but holds no pixels. For simulations, in which
    /// nothing looks at pictures.
    ///
    /// # Panics
    /// A side is zero.
    pub fn unseen(width: usize, height: usize, number: u64) -> Picture {
        assert!(width > 0 && height > 0, "{width} by {height}");
        Picture { name: "".into(), width, height, rgb: Vec::new(), digest: PictureDigest::nameless(number) }
    }

    /// Takes the digest here, in the job that makes the picture, so that nobody who only passes it on has to.
    fn of_pixels(width: usize, height: usize, rgb: Vec<u8>) -> Picture {
        let digest = PictureDigest::of_rgb(width, height, &rgb);
        Picture { name: "".into(), width, height, rgb, digest }
    }

    /// The same picture under another name: what a camera or a painter of scenes calls it.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Picture {
        Picture { name: name.into(), ..self }
    }

    /// What a person calls it: the name of its file; empty where nobody gave it one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Pixels of a row; never zero.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows; never zero.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, `[height, width, 3]`; none of a picture that nobody took.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// What the picture is known by: equal for equal pictures.
    pub fn digest(&self) -> PictureDigest {
        self.digest
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} × {})", self.width, self.height)
    }
}

/// The format by the first bytes: a file's name may lie.
fn format_of(file: &str, bytes: &[u8]) -> Result<(ImageFormat, &'static str), PictureError> {
    let unknown = |found| Err(PictureError::UnknownFormat { file: file.to_owned(), found });
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => Ok((ImageFormat::Jpeg, "JPEG")),
        Ok(ImageFormat::Png) => Ok((ImageFormat::Png, "PNG")),
        Ok(ImageFormat::WebP) => Ok((ImageFormat::WebP, "WebP")),
        Ok(ImageFormat::Bmp) => Ok((ImageFormat::Bmp, "BMP")),
        Ok(ImageFormat::Gif) => Ok((ImageFormat::Gif, "GIF")),
        Ok(other) => unknown(format!("{other:?}")),
        Err(_) if bytes.is_empty() => unknown("an empty file".to_owned()),
        Err(_) => unknown(format!("bytes that begin with `{}`", bytes[..bytes.len().min(8)].escape_ascii())),
    }
}

/// Holds what the header says against the limits.
fn check_size(
    file: &str,
    format: &'static str,
    decoder: &impl ImageDecoder,
    limits: &PictureLimits,
) -> Result<(), PictureError> {
    let (width, height) = decoder.dimensions();
    let too_large = |expected, found| Err(PictureError::TooLarge { file: file.to_owned(), format, expected, found });
    if width == 0 || height == 0 || width > limits.side || height > limits.side {
        let expected = format!("{0} by {0} pixels and at least one", limits.side);
        return too_large(expected, format!("{width} by {height}"));
    }
    if decoder.total_bytes() > limits.decoded_bytes {
        let found = format!("{} ({width} by {height} pixels)", decoder.total_bytes());
        return too_large(format!("{} bytes decoded", limits.decoded_bytes), found);
    }
    Ok(())
}

/// Whether an end-of-image marker follows the last start of a scan. The decoder fills what is missing with grey.
fn holds_end_of_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    matches!((last(0xD9), last(0xDA)), (Some(end), Some(scan)) if end > scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG or JPEG of `width` by `height` pixels of one colour.
    fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8 * 6, y as u8 * 7, 90]));
        image.write_to(&mut bytes, format).expect("an image");
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 5] =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif];

    #[test]
    fn each_format_is_read_whatever_the_file_is_called() {
        for format in FORMATS {
            let picture = Picture::decode("in/a.txt", &encoded(format, 20, 13), &PictureLimits::default());
            let picture = picture.unwrap_or_else(|error| panic!("{format:?}: {error}"));
            assert_eq!((picture.width(), picture.height(), picture.rgb().len()), (20, 13, 780), "{format:?}");
            assert_eq!(picture.name(), "a.txt");
            let blue = picture.rgb()[2];
            assert!(blue.abs_diff(90) < 24, "{format:?}: blue is {blue}");
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error_that_names_it_and_never_a_panic() {
        for format in FORMATS {
            let whole = encoded(format, 40, 33);
            for end in (0..whole.len() - 2).step_by(1 + whole.len() / 60) {
                match Picture::decode("cut.img", &whole[..end], &PictureLimits::default()) {
                    Err(error) => assert!(error.to_string().starts_with("cut.img: expected"), "{error}"),
                    Ok(picture) => panic!("{format:?}: cut to {end} of {}, found {picture:?}", whole.len()),
                }
            }
        }
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_a_picture_and_never_a_panic() {
        for format in FORMATS {
            let whole = encoded(format, 16, 16);
            for at in 0..whole.len().min(200) {
                for flip in [0xFF, 0x80, 0x01] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= flip;
                    let _ = Picture::decode("flip.img", &bytes, &PictureLimits::default());
                }
            }
        }
    }

    #[test]
    fn a_photo_taken_sideways_is_turned_upright() {
        // An APP1 segment: EXIF, big-endian, one entry: orientation (0x0112), a short, 6: turn by 90° clockwise.
        let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let mut jpeg = encoded(ImageFormat::Jpeg, 40, 24);
        jpeg.splice(2..2, exif.iter().copied());
        let picture = Picture::decode("photo.jpg", &jpeg, &PictureLimits::default()).expect("a picture");
        assert_eq!((picture.width(), picture.height()), (24, 40));
        // Red grows along the rows of the file, and so down the upright picture; green grows from right to left.
        let [top_right, bottom_left] = [23, 39 * 24].map(|pixel| &picture.rgb()[pixel * 3..][..2]);
        assert!(top_right[0] < 60 && top_right[1] < 60, "top right is {top_right:?}");
        assert!(bottom_left[0] > 180 && bottom_left[1] > 120, "bottom left is {bottom_left:?}");
    }

    #[test]
    fn limits_are_held_before_the_image_is_decoded() {
        let mut png = encoded(ImageFormat::Png, 16, 16);
        let refused =
            |bytes: &[u8], limits| Picture::decode("big.png", bytes, &limits).expect_err("an error").to_string();
        let limits = PictureLimits { side: 15, ..PictureLimits::default() };
        let expected = "big.png: expected a PNG image of at most 15 by 15 pixels and at least one, found 16 by 16";
        assert_eq!(refused(&png, limits), expected);
        let limits = PictureLimits { decoded_bytes: 767, ..PictureLimits::default() };
        let expected = "big.png: expected a PNG image of at most 767 bytes decoded, found 768 (16 by 16 pixels)";
        assert_eq!(refused(&png, limits), expected);
        let limits = PictureLimits { file_bytes: 10, ..PictureLimits::default() };
        assert_eq!(refused(&png, limits), "big.png: expected at most 10 bytes, found more");
        // A header that lies about its size.
        png[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
        assert!(refused(&png, PictureLimits::default()).starts_with("big.png: expected a"));
    }

    #[test]
    fn what_is_no_image_is_named() {
        let refused =
            |bytes: &[u8]| Picture::decode("x", bytes, &PictureLimits::default()).expect_err("an error").to_string();
        let formats = "x: expected a JPEG, PNG, WebP, BMP or GIF image, found";
        assert_eq!(refused(b""), format!("{formats} an empty file"));
        assert_eq!(refused(b"%PDF-1.7 and more"), format!("{formats} bytes that begin with `%PDF-1.7`"));
        assert_eq!(refused(b"II*\0\x08\0\0\0"), format!("{formats} Tiff"));
    }
}
