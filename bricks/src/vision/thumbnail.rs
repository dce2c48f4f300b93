//! A picture made small enough to be shown beside text.

use image::imageops;
use image::{ImageBuffer, Rgb};

use super::Picture;

/// A small copy of a picture: rows of RGB pixels from the top, a byte a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thumbnail {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The pixels, `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Thumbnail {
    /// `picture` scaled to exactly `width` by `height` pixels, each the mean of those that it stands for; at least one.
    pub fn of(picture: &Picture, width: usize, height: usize) -> Thumbnail {
        let side = |side: usize| u32::try_from(side.max(1)).unwrap_or(u32::MAX);
        let whole: Option<ImageBuffer<Rgb<u8>, &[u8]>> =
            ImageBuffer::from_raw(side(picture.width()), side(picture.height()), picture.rgb());
        // A picture has as many pixels as its sides say.
        let small = whole.map(|whole| imageops::thumbnail(&whole, side(width), side(height))).unwrap_or_default();
        Thumbnail { width: small.width() as usize, height: small.height() as usize, rgb: small.into_raw() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_the_mean_of_those_that_it_stands_for() {
        // The left half black, the right half white, made of two columns each.
        let rgb: Vec<u8> = (0..8).flat_map(|pixel| [if pixel % 4 < 2 { 0 } else { 240 }; 3]).collect();
        let picture = Picture::from_rgb(4, 2, rgb).expect("a picture");
        assert_eq!(Thumbnail::of(&picture, 2, 1).rgb, [0, 0, 0, 240, 240, 240]);
        assert_eq!(Thumbnail::of(&picture, 1, 1).rgb, [120, 120, 120]);
        let larger = Thumbnail::of(&picture, 8, 0);
        assert_eq!((larger.width, larger.height, larger.rgb.len()), (8, 1, 24));
    }
}
