//! How a picture becomes the squares that an encoder sees, as the model was trained: one square, or many tiles of it.
//!
//! What a file says, and what its silence means:
//!
//! - projector `idefics3`: [`Framing::Split`]; `clip.vision.preproc_image_size` is the longer side
//! - `clip.vision.image_aspect_ratio` = `pad`: [`Framing::Pad`]; `square`: what the encoder's own processor does, which is
//!   [`Framing::CentreCrop`] with a class token (CLIP) and [`Framing::Stretch`] without (SigLIP)
//! - `anyres`, `anyres_max_9` or none of these but `clip.vision.image_grid_pinpoints`: [`Framing::Grid`]. The pinpoints are
//!   pairs of height and width, as Hugging Face's configurations have them; llama.cpp reads the pairs the other way
//!   round, which is the same for every list that has each pair both ways
//! - none of all this: [`Framing::Fit`], which is what llama.cpp does
//!
//! llama.cpp's converters do not write `image_aspect_ratio`; without it, its users and those of this crate see the same.

use std::sync::Arc;

use super::fields::Fields;
use super::projector::ProjectorKind;
use super::resample::Filter;
use crate::gguf::GgufError;

/// The most tiles that a picture is cut into, and the most sizes that a file offers.
const MAX_TILES: usize = 256;
/// The most pixels of all tiles of a picture together.
const MAX_PIXELS: usize = 1 << 26;
/// Idefics3's processor makes no picture larger.
const LONGEST_SIDE: usize = 4096;
const ASPECT: &str = "image_aspect_ratio";
const PINPOINTS: &str = "image_grid_pinpoints";
const LONGEST: &str = "preproc_image_size";

/// How a picture becomes squares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// The shorter side is resized to the square's, the middle is cut out; CLIP's way.
    CentreCrop,
    /// Both sides are resized to the square's; SigLIP's way.
    Stretch,
    /// The picture is put in the middle of a square of the mean colour, which is resized; LLaVA 1.5's way.
    Pad,
    /// The picture is resized to fit into the square, and put in its middle on LLaVA's mean colour; llama.cpp's way.
    Fit,
    /// The picture is resized to fit into the best of these sizes, height and width, and put in its middle on black. The
    /// squares of that are the tiles; before them comes the picture, stretched to one square. LLaVA-NeXT's and
    /// LLaVA-OneVision's way.
    Grid(Arc<[(usize, usize)]>),
    /// The longer side is resized to this, then both sides to the next multiples of the square's. The squares are the
    /// tiles; after them comes the whole, resized to one square. Idefics3's and SmolVLM's way.
    Split {
        /// The longer side.
        longest: usize,
    },
}

/// What the squares of one picture are; it follows from the picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePlan {
    /// Width and height of the picture.
    pub picture: (usize, usize),
    /// Tiles side by side beside the square that shows the whole; 0 where there is no other.
    pub columns: usize,
    /// Tiles one below the other.
    pub rows: usize,
}

impl TilePlan {
    /// A picture that is one square.
    pub fn single(width: usize, height: usize) -> TilePlan {
        TilePlan { picture: (width, height), columns: 0, rows: 0 }
    }

    /// Squares: the tiles, and the one that shows the whole.
    pub fn count(&self) -> usize {
        self.columns * self.rows + 1
    }
}

impl Framing {
    /// Reads and bounds what the file says; see the module's page.
    pub(super) fn read(
        fields: &Fields<'_>,
        size: usize,
        class_token: bool,
        projector: ProjectorKind,
    ) -> Result<Framing, GgufError> {
        if let ProjectorKind::Idefics3 { .. } = projector {
            let longest = fields.size_or(LONGEST, 1..=LONGEST_SIDE, size)?;
            let tiles = longest.next_multiple_of(2).div_ceil(size).pow(2);
            if tiles > MAX_TILES {
                let expected = format!("at most {MAX_TILES} tiles of {size} by {size} pixels");
                return Err(fields.wrong(LONGEST, expected, format!("{longest}, which makes {tiles}")));
            }
            return Ok(Framing::Split { longest });
        }
        match fields.text(ASPECT)? {
            Some("square") if class_token => Ok(Framing::CentreCrop),
            Some("square") => Ok(Framing::Stretch),
            Some("pad") => Ok(Framing::Pad),
            Some(anyres) if anyres.starts_with("anyres") => {
                let sizes = fields.sizes(PINPOINTS)?.unwrap_or_default();
                Framing::grid(fields, size, &sizes)
            }
            Some(found) => Err(fields.wrong(ASPECT, "square, pad or anyres".into(), found)),
            None => match fields.sizes(PINPOINTS)? {
                Some(sizes) if !sizes.is_empty() => Framing::grid(fields, size, &sizes),
                _ => Ok(Framing::Fit),
            },
        }
    }

    /// The flat list of heights and widths as sizes, each a whole number of squares.
    fn grid(fields: &Fields<'_>, size: usize, flat: &[usize]) -> Result<Framing, GgufError> {
        if flat.is_empty() || !flat.len().is_multiple_of(2) || flat.len() > 2 * MAX_TILES {
            let expected = format!("1 to {MAX_TILES} pairs of height and width");
            return Err(fields.wrong(PINPOINTS, expected, format!("{} numbers", flat.len())));
        }
        let sizes: Arc<[(usize, usize)]> = flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        for (height, width) in sizes.iter() {
            let whole = |side: usize| side > 0 && side.is_multiple_of(size) && side / size <= MAX_TILES;
            let tiles = height / size * (width / size);
            if !whole(*height) || !whole(*width) || tiles > MAX_TILES || height * width > MAX_PIXELS {
                let expected = format!(
                    "multiples of the image_size of {size} that make at most {MAX_TILES} tiles and {MAX_PIXELS} pixels"
                );
                return Err(fields.wrong(PINPOINTS, expected, format!("{height} by {width}")));
            }
        }
        Ok(Framing::Grid(sizes))
    }

    /// The filter of the processor that this is the way of.
    pub(super) fn filter(&self) -> Filter {
        match self {
            Framing::Split { .. } => Filter::Lanczos,
            _ => Filter::Bicubic,
        }
    }

    /// How a picture of this size is cut into squares of `size`.
    pub(super) fn plan(&self, size: usize, width: usize, height: usize) -> TilePlan {
        let picture = (width, height);
        match self {
            Framing::Grid(sizes) => {
                let (tall, wide) = best_size(sizes, width, height);
                TilePlan { picture, columns: wide / size, rows: tall / size }
            }
            Framing::Split { longest } => {
                let (wide, tall) = whole_tiles(longest_to(*longest, width, height), size);
                match (wide / size, tall / size) {
                    (1, 1) => TilePlan::single(width, height),
                    (columns, rows) => TilePlan { picture, columns, rows },
                }
            }
            _ => TilePlan::single(width, height),
        }
    }

    /// Columns and rows of tiles of which no picture has more.
    pub(super) fn largest_grids(&self, size: usize) -> Vec<(usize, usize)> {
        match self {
            Framing::Grid(sizes) => sizes.iter().map(|(height, width)| (width / size, height / size)).collect(),
            Framing::Split { longest } => {
                // The shorter side is made even, and so may be the longer one.
                let side = longest.next_multiple_of(2).div_ceil(size);
                vec![(side, side)]
            }
            _ => Vec::new(),
        }
    }
}

/// The size that shows most of the picture's pixels, and of those the one that wastes least; height and width.
fn best_size(sizes: &[(usize, usize)], width: usize, height: usize) -> (usize, usize) {
    let (mut best, mut most, mut least_wasted) = ((0, 0), 0, usize::MAX);
    for &(tall, wide) in sizes {
        let scale = (wide as f64 / width as f64).min(tall as f64 / height as f64);
        let (shown_wide, shown_tall) = ((width as f64 * scale) as usize, (height as f64 * scale) as usize);
        let shown = (shown_wide * shown_tall).min(width * height);
        let wasted = (wide * tall).saturating_sub(shown);
        if shown > most || (shown == most && wasted < least_wasted) {
            (best, most, least_wasted) = ((tall, wide), shown, wasted);
        }
    }
    best
}

/// Width and height of the picture when it fits into `(wide, tall)` and touches two of its sides.
pub(super) fn fitted((wide, tall): (usize, usize), width: usize, height: usize) -> (usize, usize) {
    let (scale_wide, scale_tall) = (wide as f64 / width as f64, tall as f64 / height as f64);
    if scale_wide < scale_tall {
        (wide, ((height as f64 * scale_wide).ceil() as usize).min(tall))
    } else {
        (((width as f64 * scale_tall).ceil() as usize).min(wide), tall)
    }
}

/// As [`fitted`], in a square and in the precision of llama.cpp.
pub(super) fn fitted_square(side: usize, width: usize, height: usize) -> (usize, usize) {
    let scale = (side as f32 / width as f32).min(side as f32 / height as f32);
    let fit = |length: usize| ((length as f32 * scale).ceil() as usize).clamp(1, side);
    (fit(width), fit(height))
}

/// Width and height of the picture when its longer side is `longest`; the other one is made even.
pub(super) fn longest_to(longest: usize, width: usize, height: usize) -> (usize, usize) {
    let ratio = width as f64 / height as f64;
    let even = |side: f64| (side as usize).next_multiple_of(2).max(1);
    match width >= height {
        true => (longest, even(longest as f64 / ratio)),
        false => (even(longest as f64 * ratio), longest),
    }
}

/// Both sides up to the next multiples of `size`; the shorter one is taken from the longer one's.
pub(super) fn whole_tiles((width, height): (usize, usize), size: usize) -> (usize, usize) {
    let ratio = width as f64 / height as f64;
    let up = |side: usize| side.max(1).next_multiple_of(size);
    match width >= height {
        true => (up(width), up((up(width) as f64 / ratio) as usize)),
        false => (up((up(height) as f64 * ratio) as usize), up(height)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_shown_on_the_size_that_keeps_most_of_it_and_wastes_least() {
        let sizes: Vec<(usize, usize)> = (1..=6).flat_map(|tall| (1..=6).map(move |wide| (tall, wide))).collect();
        let sizes: Vec<(usize, usize)> = sizes.into_iter().map(|(tall, wide)| (tall * 384, wide * 384)).collect();
        let framing = Framing::Grid(sizes.into());
        let grid = |width, height| {
            let plan = framing.plan(384, width, height);
            (plan.columns, plan.rows)
        };
        // As transformers' `select_best_resolution` has it.
        assert_eq!(grid(100, 100), (1, 1));
        assert_eq!(grid(640, 480), (2, 2));
        assert_eq!(grid(1280, 720), (4, 2));
        assert_eq!(grid(400, 1600), (2, 5));
        assert_eq!(grid(4000, 3000), (6, 5));
        assert_eq!(grid(16_384, 1), (1, 1));
    }

    #[test]
    fn the_longer_side_is_a_whole_number_of_tiles_and_the_shorter_one_follows() {
        // As transformers' `get_resize_output_image_size` and `resize_for_vision_encoder` have it.
        for ((width, height), resized, whole) in [
            ((640, 480), (2048, 1536), (2048, 1536)),
            ((480, 641), (1534, 2048), (1536, 2048)),
            ((1000, 333), (2048, 682), (2048, 1024)),
            ((16_384, 1), (2048, 1), (2048, 512)),
        ] {
            assert_eq!(longest_to(2048, width, height), resized, "{width} by {height}");
            assert_eq!(whole_tiles(resized, 512), whole, "{width} by {height}");
        }
    }
}
