//! Image files whose headers promise what is not there, in each format.

use std::io::Cursor;
use std::ops::Range;

use image::{ImageFormat, RgbImage};
use nanomind_bricks::vision::{Picture, PictureLimits};

/// A sound file, and where its header says how large it is.
struct Sound {
    format: ImageFormat,
    file: Vec<u8>,
    /// The bytes of the width and of the height.
    sides: [Range<usize>; 2],
    /// Whether their first byte is the low one.
    little: bool,
}

/// A file of 24 by 16 pixels in each format whose header is plain to read.
fn files() -> [Sound; 4] {
    [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Jpeg].map(|format| {
        let mut file = Cursor::new(Vec::new());
        let image = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 12, 80]));
        image.write_to(&mut file, format).unwrap();
        let file = file.into_inner();
        let (sides, little) = match format {
            ImageFormat::Png => ([16..20, 20..24], false),
            ImageFormat::Bmp => ([18..22, 22..26], true),
            ImageFormat::Gif => ([6..8, 8..10], true),
            _ => {
                // The frame header: marker, length, precision, height, width.
                let frame = file.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
                ([frame + 7..frame + 9, frame + 5..frame + 7], false)
            }
        };
        Sound { format, file, sides, little }
    })
}

impl Sound {
    /// What comes of the file called `name` when its header promises another size.
    fn promising(&self, name: &str, size: [u32; 2]) -> Result<Picture, String> {
        let mut file = self.file.clone();
        for (at, side) in self.sides.iter().zip(size) {
            let field = &mut file[at.clone()];
            let length = field.len();
            if self.little {
                field.copy_from_slice(&side.to_le_bytes()[..length]);
            } else {
                field.copy_from_slice(&side.to_be_bytes()[4 - length..]);
            }
        }
        Picture::decode(name, &file, &PictureLimits::default()).map_err(|error| error.to_string())
    }
}

#[test]
fn a_header_that_promises_more_than_the_limits_is_refused_with_what_it_promises() {
    for sound in files() {
        for size in [[60_000, 16], [24, 60_000], [16_000, 16_000]] {
            let told = sound.promising("big.img", size).expect_err("an error");
            assert!(told.starts_with("big.img: expected a"), "{:?} {size:?}: {told}", sound.format);
        }
    }
}

#[test]
fn a_header_that_promises_nothing_is_refused() {
    for sound in files() {
        for size in [[0, 16], [24, 0]] {
            let told = sound.promising("none.img", size).expect_err("an error");
            assert!(told.starts_with("none.img: expected a"), "{:?} {size:?}: {told}", sound.format);
        }
    }
}

#[test]
fn a_header_that_promises_somewhat_more_than_there_is_gives_an_error_or_a_bounded_picture() {
    for sound in files() {
        for size in [[25, 16], [24, 17], [240, 160], [4000, 3000]] {
            if let Ok(picture) = sound.promising("lie.img", size) {
                let [width, height] = size.map(|side| side as usize);
                let bounded = picture.width() <= width && picture.height() <= height;
                assert!(bounded, "{:?} {size:?}: {picture:?}", sound.format);
            }
        }
    }
}
