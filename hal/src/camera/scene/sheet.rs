//! The sprite sheet that the scene camera draws from, and the names of what is on it.

use std::io::Cursor;

use super::truth::{Kind, What};

/// Pixels of a sprite's side.
pub(super) const SIDE: usize = 64;
const COLUMNS: usize = 10;
const PNG: &[u8] = include_bytes!("sheet/things.png");
const THINGS: &str = include_str!("sheet/things.txt");
const SHAPES: [&str; 8] = ["circle", "square", "triangle", "star", "cross", "diamond", "ring", "heart"];
const DIGITS: [&str; 10] =
    ["digit 0", "digit 1", "digit 2", "digit 3", "digit 4", "digit 5", "digit 6", "digit 7", "digit 8", "digit 9"];

/// Sprites in the order of the sheet: things, shapes, digits.
pub(super) struct Sheet {
    rgba: Vec<u8>,
    things: Vec<What>,
    shapes: Vec<What>,
    digits: Vec<What>,
}

impl Sheet {
    /// Decodes the sheet that is built into the program; the error says what is wrong with it.
    pub(super) fn decode() -> Result<Sheet, String> {
        let mut reader = png::Decoder::new(Cursor::new(PNG)).read_info().map_err(|error| error.to_string())?;
        let mut rgba = vec![0; reader.output_buffer_size().unwrap_or(0)];
        let info = reader.next_frame(&mut rgba).map_err(|error| error.to_string())?;
        let names = THINGS.lines().count() + SHAPES.len() + DIGITS.len();
        let (width, height) = (COLUMNS * SIDE, names.div_ceil(COLUMNS) * SIDE);
        let found = (info.width as usize, info.height as usize, info.color_type, info.bit_depth);
        if found != (width, height, png::ColorType::Rgba, png::BitDepth::Eight) {
            return Err(format!("expected a sheet of {width} by {height} pixels in RGBA, found {found:?}"));
        }
        let mut sprite = 0;
        let mut listed = |kind, name| {
            sprite += 1;
            What { kind, name, sprite: sprite - 1 }
        };
        let things = THINGS.lines().map(|name| listed(Kind::Thing, name)).collect();
        let shapes = SHAPES.iter().map(|name| listed(Kind::Shape, name)).collect();
        let digits = DIGITS.iter().map(|name| listed(Kind::Digit, name)).collect();
        Ok(Sheet { rgba, things, shapes, digits })
    }

    /// All sprites of a kind; at least one.
    pub(super) fn all(&self, kind: Kind) -> &[What] {
        match kind {
            Kind::Thing => &self.things,
            Kind::Shape => &self.shapes,
            Kind::Digit => &self.digits,
        }
    }

    /// The sprite's rows of RGBA, `[64][64 · 4]`.
    pub(super) fn rows(&self, what: What) -> impl Iterator<Item = &[u8]> {
        let (column, row) = (what.sprite % COLUMNS, what.sprite / COLUMNS);
        let stride = COLUMNS * SIDE * 4;
        self.rgba[row * SIDE * stride..].chunks_exact(stride).take(SIDE).map(move |line| {
            let from = column * SIDE * 4;
            &line[from..from + SIDE * 4]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sprite_of_the_sheet_shows_something() {
        let sheet = Sheet::decode().expect("a sheet");
        let all = [Kind::Thing, Kind::Shape, Kind::Digit].map(|kind| sheet.all(kind).len());
        assert_eq!(all, [60, 8, 10]);
        for kind in [Kind::Thing, Kind::Shape, Kind::Digit] {
            for what in sheet.all(kind) {
                let opaque = sheet.rows(*what).flat_map(|row| row.chunks_exact(4)).filter(|pixel| pixel[3] > 128);
                let share = opaque.count() as f32 / (SIDE * SIDE) as f32;
                assert!((0.05..0.95).contains(&share), "{}: {share} of the sprite is opaque", what.name);
            }
        }
    }
}
