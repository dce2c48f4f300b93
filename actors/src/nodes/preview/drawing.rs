//! A small picture as the bytes that a terminal draws it from.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use icy_sixel::SixelImage;
use nanomind_bricks::vision::{Picture, Thumbnail};

use super::screen::Style;

/// The most columns and lines of text that a preview takes.
const COLUMNS: usize = 40;
const LINES: usize = 14;
/// Pixels of a character cell, about: terminals scale to the cells that they are told, or show it a little larger.
const CELL: (usize, usize) = (10, 20);
/// Bytes of one escape sequence of kitty's protocol.
const KITTY_CHUNK: usize = 4096;

/// Draws `picture`; ends behind a line end. Empty for [`Style::Name`], and where an encoder fails.
pub(super) fn draw(style: Style, picture: &Picture) -> String {
    let (columns, lines) = cells(picture.width(), picture.height());
    match style {
        Style::Name => String::new(),
        Style::Blocks => blocks(&Thumbnail::of(picture, columns, lines * 2), any_colour),
        Style::FewColours => blocks(&Thumbnail::of(picture, columns, lines * 2), one_of_216),
        Style::Kitty => kitty(&Thumbnail::of(picture, columns * CELL.0, lines * CELL.1), columns, lines),
        Style::Sixel => sixel(Thumbnail::of(picture, columns * CELL.0, lines * CELL.1)),
    }
}

/// The columns and lines that a picture of this size takes: a cell is twice as high as wide.
fn cells(width: usize, height: usize) -> (usize, usize) {
    let lines = LINES.min((COLUMNS * height / (2 * width)).max(1));
    let columns = COLUMNS.min((lines * 2 * width / height).max(1));
    (columns, lines)
}

/// Two pixels above each other are one cell: the upper half of a block in one colour on a ground of the other.
fn blocks(small: &Thumbnail, colour: fn(&[u8]) -> String) -> String {
    let mut text = String::new();
    let row = small.width * 3;
    for pair in small.rgb.chunks_exact(row * 2) {
        let (upper, lower) = pair.split_at(row);
        for (above, below) in upper.chunks_exact(3).zip(lower.chunks_exact(3)) {
            // Writing to a String cannot fail, here and below.
            let _ = write!(text, "\x1b[38;{}m\x1b[48;{}m▀", colour(above), colour(below));
        }
        text.push_str("\x1b[0m\n");
    }
    text
}

fn any_colour(rgb: &[u8]) -> String {
    format!("2;{};{};{}", rgb[0], rgb[1], rgb[2])
}

/// The nearest of the 6 × 6 × 6 colours that every terminal of 256 has: 0, 95, 135, .. 255 of each primary.
fn one_of_216(rgb: &[u8]) -> String {
    let level = |value: u8| if value < 48 { 0 } else { ((u16::from(value).max(75) - 35) / 40).min(5) };
    format!("5;{}", 16 + 36 * level(rgb[0]) + 6 * level(rgb[1]) + level(rgb[2]))
}

fn kitty(small: &Thumbnail, columns: usize, lines: usize) -> String {
    let data = STANDARD.encode(&small.rgb);
    let mut text = String::new();
    let mut rest = data.as_str();
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(KITTY_CHUNK));
        let more = u8::from(!behind.is_empty());
        text.push_str("\x1b_G");
        if rest.len() == data.len() {
            // Show it at once (a=T) in so many cells, and answer nothing (q=2): nobody reads the answer.
            let (width, height) = (small.width, small.height);
            let _ = write!(text, "a=T,f=24,s={width},v={height},c={columns},r={lines},q=2,");
        }
        let _ = write!(text, "m={more};{chunk}\x1b\\");
        rest = behind;
    }
    text.push('\n');
    text
}

fn sixel(small: Thumbnail) -> String {
    let rgba = small.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let encoded = SixelImage::from_rgba(rgba, small.width, small.height).encode();
    encoded.map(|sixels| sixels + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red above blue, `width` by `height`.
    fn picture(width: usize, height: usize) -> Picture {
        let colour = |at: usize| if at / width < height / 2 { [255, 0, 0] } else { [0, 0, 255] };
        Picture::from_rgb(width, height, (0..width * height).flat_map(colour).collect()).unwrap()
    }

    #[test]
    fn a_preview_keeps_the_shape_of_its_picture_and_stays_small() {
        assert_eq!(cells(192, 192), (28, 14), "a square");
        assert_eq!(cells(640, 480), (37, 14));
        assert_eq!(cells(4000, 400), (40, 2), "a panorama");
        assert_eq!(cells(10, 16_384), (1, 14), "a strip");
        assert_eq!(cells(16_384, 1), (40, 1));
    }

    #[test]
    fn blocks_hold_two_pixels_a_cell_and_end_every_line_without_colour() {
        let drawn = draw(Style::Blocks, &picture(4, 4));
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 14);
        assert!(lines.iter().all(|line| line.ends_with("▀\x1b[0m") && line.matches('▀').count() == 28), "{drawn}");
        assert!(lines[0].starts_with("\x1b[38;2;255;0;0m\x1b[48;2;255;0;0m▀"), "{}", lines[0]);
        assert!(lines[13].starts_with("\x1b[38;2;0;0;255m\x1b[48;2;0;0;255m▀"), "{}", lines[13]);
        let few = draw(Style::FewColours, &picture(4, 4));
        assert!(few.starts_with("\x1b[38;5;196m\x1b[48;5;196m▀"), "{few}");
    }

    #[test]
    fn a_colour_becomes_the_nearest_of_the_216() {
        let levels = [0u8, 95, 135, 175, 215, 255];
        for value in 0..=255u8 {
            let nearest = levels.iter().enumerate().min_by_key(|(_, level)| level.abs_diff(value)).unwrap().0;
            let found: usize = one_of_216(&[value, 0, 0])[2..].parse().unwrap();
            let chosen = levels[(found - 16) / 36];
            assert_eq!(chosen.abs_diff(value), levels[nearest].abs_diff(value), "{value} became {chosen}");
        }
    }

    #[test]
    fn kittys_chunks_hold_every_pixel_and_only_the_last_says_so() {
        let drawn = draw(Style::Kitty, &picture(8, 8));
        let chunks: Vec<&str> =
            drawn.trim_end().split("\x1b\\").filter(|chunk| !chunk.is_empty()).map(|chunk| &chunk[3..]).collect();
        assert!(chunks[0].starts_with("a=T,f=24,s=280,v=280,c=28,r=14,q=2,m=1;"), "{}", &chunks[0][..50]);
        let (last, others) = chunks.split_last().unwrap();
        assert!(last.starts_with("m=0;") && others[1..].iter().all(|chunk| chunk.starts_with("m=1;")));
        let data: String = chunks.iter().map(|chunk| chunk.split_once(';').unwrap().1).collect();
        let pixels = STANDARD.decode(data).unwrap();
        assert_eq!(
            (pixels.len(), &pixels[..3], &pixels[pixels.len() - 3..]),
            (280 * 280 * 3, &[255, 0, 0][..], &[0, 0, 255][..])
        );
    }

    #[test]
    fn sixels_decode_to_the_colours_that_went_in() {
        let drawn = draw(Style::Sixel, &picture(8, 8));
        let decoded = SixelImage::decode(drawn.trim_end().as_bytes()).unwrap();
        // Sixels come six rows at a time.
        assert_eq!((decoded.width, decoded.height), (280, 282));
        let near = |at: usize, colour: [u8; 3]| {
            decoded.pixels[at * 4..][..3].iter().zip(colour).all(|(found, wanted)| found.abs_diff(wanted) < 8)
        };
        assert!(near(0, [255, 0, 0]) && near(280 * 280 - 1, [0, 0, 255]), "{:?}", &decoded.pixels[..4]);
    }
}
