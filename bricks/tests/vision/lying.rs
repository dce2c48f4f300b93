//! Image files whose headers promise what is not there, in each format.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};
use nanomind_bricks::vision::{Picture, PictureLimits};

/// A sound file of 24 by 16 pixels, and where its header says how large it is: bytes of the width and of the height, and
/// whether the first byte is the low one.
fn files() -> Vec<(ImageFormat, Vec<u8>, [std::ops::Range<usize>; 2], bool)> {
    let encoded = |format| {
        let mut file = Cursor::new(Vec::new());
        let image = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 12, 80]));
        image.write_to(&mut file, format).unwrap();
        file.into_inner()
    };
    let formats = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Jpeg];
    let file = |format| {
        let file: Vec<u8> = encoded(format);
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
        (format, file, sides, little)
    };
    formats.into_iter().map(file).collect()
}

/// The file with another size in its header.
fn with_size(file: &[u8], sides: &[std::ops::Range<usize>; 2], little: bool, size: [u32; 2]) -> Vec<u8> {
    let mut file = file.to_vec();
    for (at, side) in sides.iter().zip(size) {
        let bytes = if little { side.to_le_bytes() } else { side.to_be_bytes() };
        let field = &mut file[at.clone()];
        let kept = if little { &bytes[..field.len()] } else { &bytes[4 - field.len()..] };
        field.copy_from_slice(kept);
    }
    file
}

#[test]
fn a_header_that_promises_more_than_the_limits_is_refused_with_what_it_promises() {
    for (format, file, sides, little) in files() {
        for size in [[60_000, 16], [24, 60_000], [16_000, 16_000]] {
            let told = Picture::decode("big.img", &with_size(&file, &sides, little, size), &PictureLimits::default());
            let told = told.expect_err("an error").to_string();
            assert!(told.starts_with("big.img: expected a"), "{format:?} {size:?}: {told}");
        }
    }
}

#[test]
fn a_header_that_promises_nothing_is_refused() {
    for (format, file, sides, little) in files() {
        for size in [[0, 16], [24, 0]] {
            let told = Picture::decode("none.img", &with_size(&file, &sides, little, size), &PictureLimits::default());
            let told = told.expect_err("an error").to_string();
            assert!(told.starts_with("none.img: expected a"), "{format:?} {size:?}: {told}");
        }
    }
}

#[test]
fn a_header_that_promises_somewhat_more_than_there_is_gives_an_error_or_a_bounded_picture() {
    let limits = PictureLimits::default();
    for (format, file, sides, little) in files() {
        for size in [[25, 16], [24, 17], [240, 160], [4000, 3000]] {
            if let Ok(picture) = Picture::decode("lie.img", &with_size(&file, &sides, little, size), &limits) {
                let [width, height] = size.map(|side| side as usize);
                assert!(picture.width() <= width && picture.height() <= height, "{format:?} {size:?}: {picture:?}");
            }
        }
    }
}
