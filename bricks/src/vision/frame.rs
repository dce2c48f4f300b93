//! A picture out of a camera's frame: RGB as it is, YUYV by BT.601, JPEG through the decoder of files.

use nanomind_hal::camera::{Frame, FramePixels};

use super::error::PictureError;
use super::motion_jpeg::with_huffman_tables;
use super::picture::{Picture, PictureLimits};

impl Picture {
    /// The picture of a frame, called `name`. A driver is trusted no more than a file: sizes are held against the limits,
    /// and the pixels against the size.
    pub fn from_frame(name: &str, frame: &Frame, limits: &PictureLimits) -> Result<Picture, PictureError> {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let (coding, row) = match &frame.pixels {
            FramePixels::Jpeg(bytes) => {
                return Picture::decode(name, &with_huffman_tables(bytes), limits).map(|picture| picture.named(name));
            }
            FramePixels::Yuyv(_) => ("YUYV", width.div_ceil(2) * 4),
            FramePixels::Rgb(_) => ("RGB", width * 3),
        };
        let bytes = frame.pixels.bytes();
        let too_large = frame.width.max(frame.height) > limits.side
            || (frame.width as u64 * frame.height as u64).saturating_mul(3) > limits.decoded_bytes;
        if too_large || width == 0 || height == 0 {
            return Err(PictureError::TooLarge {
                file: name.to_owned(),
                format: coding,
                expected: format!(
                    "{0} by {0} pixels and {1} bytes, and at least one",
                    limits.side, limits.decoded_bytes
                ),
                found: format!("{width} by {height}"),
            });
        }
        let (expected, found) = (row * height, bytes.len());
        let wrong = || PictureError::FrameLength { file: name.to_owned(), coding, width, height, expected, found };
        if found != expected {
            return Err(wrong());
        }
        let rgb = match &frame.pixels {
            FramePixels::Yuyv(bytes) => rgb_of_yuyv(bytes, width, height),
            FramePixels::Rgb(bytes) | FramePixels::Jpeg(bytes) => bytes.clone(),
        };
        Picture::from_rgb(width, height, rgb).map(|picture| picture.named(name)).ok_or_else(wrong)
    }
}

/// Rows of Y₀ U Y₁ V to `[height, width, 3]`. Of an odd row the last Y₁ is dropped.
fn rgb_of_yuyv(yuyv: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in yuyv.chunks_exact(width.div_ceil(2) * 4) {
        let end = rgb.len() + width * 3;
        for pair in row.chunks_exact(4) {
            let [y0, u, y1, v] = [pair[0], pair[1], pair[2], pair[3]];
            rgb.extend_from_slice(&bt601(y0, u, v));
            rgb.extend_from_slice(&bt601(y1, u, v));
        }
        rgb.truncate(end);
    }
    rgb
}

/// Limited-range BT.601, in units of 2⁻¹⁶: black is 16, white 235, colour differences span 224 about 128.
fn bt601(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (i32::from(y) - 16, i32::from(u) - 128, i32::from(v) - 128);
    let grey = 76_309 * y + (1 << 15);
    let channels = [grey + 104_597 * v, grey - 25_675 * u - 53_279 * v, grey + 132_201 * u];
    channels.map(|channel| (channel >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn frame(width: u32, height: u32, pixels: FramePixels) -> Frame {
        Frame { width, height, sequence: 0, pixels }
    }

    fn picture(frame: &Frame) -> Picture {
        Picture::from_frame("a camera", frame, &PictureLimits::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(frame: &Frame, limits: PictureLimits) -> String {
        Picture::from_frame("a camera", frame, &limits).expect_err("an error").to_string()
    }

    /// Y, Cb, Cr of the full bars of BT.601, as test pictures and their documentation have them, and their colours.
    const BARS: [([u8; 3], [u8; 3]); 8] = [
        ([235, 128, 128], [255, 255, 255]),
        ([210, 16, 146], [255, 255, 0]),
        ([170, 166, 16], [0, 255, 255]),
        ([145, 54, 34], [0, 255, 0]),
        ([106, 202, 222], [255, 0, 255]),
        ([81, 90, 240], [255, 0, 0]),
        ([41, 240, 110], [0, 0, 255]),
        ([16, 128, 128], [0, 0, 0]),
    ];

    #[test]
    fn colour_bars_come_out_in_their_colours() {
        let yuyv = BARS.iter().flat_map(|([y, u, v], _)| [*y, *u, *y, *v]).collect();
        let shown = picture(&frame(16, 1, FramePixels::Yuyv(yuyv)));
        for (at, (_, colour)) in BARS.iter().enumerate() {
            for pixel in [2 * at, 2 * at + 1] {
                let found = &shown.rgb()[pixel * 3..][..3];
                let near = colour.iter().zip(found).all(|(a, b)| a.abs_diff(*b) <= 1);
                assert!(near, "bar {at}: expected {colour:?}, found {found:?}");
            }
        }
    }

    #[test]
    fn every_colour_is_that_of_the_definition_to_a_rounding() {
        // From the luma weights of red and blue alone, in real numbers.
        let (red, blue) = (0.299, 0.114);
        let green = 1.0 - red - blue;
        for y in (0..=255).step_by(5) {
            for u in (0..=255).step_by(5) {
                for v in (0..=255).step_by(5) {
                    let luma = (f64::from(y) - 16.0) / 219.0;
                    let [cb, cr] = [u, v].map(|c| (f64::from(c) - 128.0) / 224.0);
                    let (r, b) = (luma + 2.0 * (1.0 - red) * cr, luma + 2.0 * (1.0 - blue) * cb);
                    let g = (luma - red * r - blue * b) / green;
                    let expected = [r, g, b].map(|c| (c * 255.0).clamp(0.0, 255.0));
                    let found = bt601(y as u8, u as u8, v as u8);
                    let near = expected.iter().zip(found).all(|(a, b)| (a - f64::from(b)).abs() <= 0.51);
                    assert!(near, "{y} {u} {v}: expected {expected:?}, found {found:?}");
                }
            }
        }
    }

    #[test]
    fn rows_of_an_odd_width_end_with_half_a_pair() {
        let yuyv = [[235, 128, 16, 128, 235, 128, 99, 128], [16, 128, 235, 128, 16, 128, 99, 128]].concat();
        let shown = picture(&frame(3, 2, FramePixels::Yuyv(yuyv)));
        let reds: Vec<u8> = shown.rgb().chunks_exact(3).map(|pixel| pixel[0]).collect();
        assert_eq!((shown.width(), shown.height(), reds), (3, 2, vec![255, 0, 255, 0, 255, 0]));
    }

    #[test]
    fn rgb_is_taken_as_it_is_under_the_name_that_it_was_given() {
        let bytes: Vec<u8> = (0..24).collect();
        let shown = picture(&frame(4, 2, FramePixels::Rgb(bytes.clone())));
        assert_eq!((shown.rgb(), shown.name()), (bytes.as_slice(), "a camera"));
    }

    #[test]
    fn a_frame_whose_bytes_do_not_fit_its_size_or_the_limits_is_refused() {
        let short = frame(4, 2, FramePixels::Yuyv(vec![0; 15]));
        let told = refused(&short, PictureLimits::default());
        assert_eq!(told, "a camera: expected 16 bytes of YUYV for 4 by 2 pixels, found 15");
        let none = refused(&frame(0, 2, FramePixels::Rgb(Vec::new())), PictureLimits::default());
        assert!(none.starts_with("a camera: expected a RGB image of at most"), "{none}");
        let limits = PictureLimits { side: 3, ..PictureLimits::default() };
        let large = refused(&frame(4, 2, FramePixels::Yuyv(vec![0; 16])), limits);
        assert!(large.ends_with("found 4 by 2"), "{large}");
        let jpeg = refused(&frame(4, 2, FramePixels::Jpeg(vec![0xFF, 0xD8, 0xFF])), PictureLimits::default());
        assert!(jpeg.starts_with("a camera: expected a whole JPEG image"), "{jpeg}");
    }

    /// A JPEG of several tones, and the same without its Huffman tables; with the header that AVI files have, or with none.
    fn motion_jpeg() -> [Vec<u8>; 3] {
        let image = image::RgbImage::from_fn(40, 24, |x, y| image::Rgb([x as u8 * 6, y as u8 * 10, (x * y) as u8]));
        let mut whole = Cursor::new(Vec::new());
        image.write_to(&mut whole, image::ImageFormat::Jpeg).expect("an image");
        let whole = whole.into_inner();
        let (mut bare, mut at, mut tables) = (whole[..2].to_vec(), 2, 0);
        while whole[at + 1] != 0xDA {
            let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
            match whole[at + 1] {
                0xC4 => tables += 1,
                0xE0 => {}
                _ => bare.extend_from_slice(&whole[at..end]),
            }
            at = end;
        }
        bare.extend_from_slice(&whole[at..]);
        assert!(tables > 0, "the encoder wrote no tables");
        let mut avi = bare.clone();
        avi.splice(2..2, *b"\xFF\xE0\0\x10AVI1\0\0\0\0\0\0\0\0\0\0");
        [whole, bare, avi]
    }

    #[test]
    fn motion_jpeg_without_huffman_tables_is_the_picture_that_it_is_with_them() {
        let [whole, bare, avi] = motion_jpeg();
        let expected = picture(&frame(40, 24, FramePixels::Jpeg(whole)));
        for stripped in [bare, avi] {
            let found = picture(&frame(40, 24, FramePixels::Jpeg(stripped)));
            assert!(found.rgb() == expected.rgb(), "another picture without its tables");
        }
    }

    #[test]
    fn motion_jpeg_that_is_cut_anywhere_is_an_error_and_never_a_panic() {
        let [_, bare, avi] = motion_jpeg();
        for stripped in [bare, avi] {
            for end in 0..stripped.len() - 2 {
                let cut = frame(40, 24, FramePixels::Jpeg(stripped[..end].to_vec()));
                let told = refused(&cut, PictureLimits::default());
                assert!(told.starts_with("a camera: expected"), "cut to {end}: {told}");
            }
        }
    }
}
