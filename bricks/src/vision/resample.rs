//! Resampling as PIL does it (Pillow 13), bit for bit: filters that widen when they shrink, weights of 22 bits, one
//! direction after the other, rounded to a byte after each. Pillow up to 12 and llama.cpp always begin across, which
//! differs where a sum at a hard edge is cut off.

use std::ops::Range;

use nanomind_hal::Lane;

/// Bits behind the point of a weight.
const WEIGHT_BITS: u32 = 22;

/// What one output pixel is weighed together with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// Cubic convolution with a = −0.5, of CLIP's and SigLIP's processors.
    Bicubic,
    /// A windowed sinc of three lobes, of Idefics3's processor.
    Lanczos,
}

impl Filter {
    /// Pixels on each side that have a weight.
    fn support(self) -> f64 {
        match self {
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel `x` pixels away.
    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Bicubic => cubic(x.abs()),
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Filter::Lanczos => 0.0,
        }
    }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

/// Pixels to resample: a picture, or a picture in the middle of a square of one colour that is never made.
#[derive(Clone, Copy)]
pub(super) struct Raster<'a> {
    width: usize,
    height: usize,
    rgb: &'a [u8],
    /// Width and height with what is around the picture.
    full: (usize, usize),
    /// The colour around it.
    colour: [u8; 3],
}

impl<'a> Raster<'a> {
    /// The pixels `rgb`, `[height, width, 3]`.
    pub(super) fn new(width: usize, height: usize, rgb: &'a [u8]) -> Raster<'a> {
        Raster { width, height, rgb, full: (width, height), colour: [0; 3] }
    }

    /// The same pixels in the middle of the smallest square of `colour` that holds them.
    pub(super) fn on_square(self, colour: [u8; 3]) -> Raster<'a> {
        let side = self.width.max(self.height);
        Raster { full: (side, side), colour, ..self }
    }

    /// Row `y` with what is around the picture, put together in `scratch` where it is not there as it is.
    fn row<'s>(&'s self, y: usize, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        let (left, top) = ((self.full.0 - self.width) / 2, (self.full.1 - self.height) / 2);
        let inside = y.checked_sub(top).filter(|y| *y < self.height);
        let pixels = inside.map(|y| &self.rgb[y * self.width * 3..][..self.width * 3]);
        match pixels {
            Some(pixels) if self.full.0 == self.width => pixels,
            _ => {
                scratch.clear();
                scratch.extend(self.colour.iter().cycle().take(self.full.0 * 3));
                if let Some(pixels) = pixels {
                    scratch[left * 3..][..pixels.len()].copy_from_slice(pixels);
                }
                scratch
            }
        }
    }
}

/// A part of the resized picture; only its pixels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Width and height that the whole picture is resized to.
    pub(super) resized: (usize, usize),
    /// Columns to the left of the window and rows above it.
    pub(super) at: (usize, usize),
    /// Width and height of the window.
    pub(super) size: (usize, usize),
}

/// What one output pixel is made of: input pixels from `first` on and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The pixels of `window` on the resized `raster`, `[height, width, 3]`.
pub(super) fn resample(lane: &Lane, raster: Raster<'_>, filter: Filter, window: Window) -> Vec<u8> {
    let Window { resized, at, size } = window;
    let across = taps(filter, raster.full.0, resized.0, at.0, size.0);
    let down = taps(filter, raster.full.1, resized.1, at.1, size.1);
    if is_down_first(raster.full, resized) {
        let columns = reach(&across);
        let squeezed = squeeze_down(lane, raster, columns.clone(), &down, 0);
        let raster = Raster::new(columns.len(), size.1, &squeezed);
        squeeze_across(lane, raster, 0..size.1, &across, columns.start)
    } else {
        let rows = reach(&down);
        let squeezed = squeeze_across(lane, raster, rows.clone(), &across, 0);
        let raster = Raster::new(size.0, rows.len(), &squeezed);
        squeeze_down(lane, raster, 0..size.0, &down, rows.start)
    }
}

/// Whether a picture of size `from` that becomes `to` is squeezed down before across: where it loses more than twice as
/// many rows as columns.
fn is_down_first(from: (usize, usize), to: (usize, usize)) -> bool {
    from.1 > to.1 && from.1 - to.1 > 2 * from.0.saturating_sub(to.0)
}

/// What the taps read.
fn reach(taps: &[Taps]) -> Range<usize> {
    let first = taps.iter().map(|taps| taps.first).min().unwrap_or(0);
    let last = taps.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
    first..last
}

/// A pixel for each of the taps in each of `rows`; what the taps call `first` is the first column of `raster`.
fn squeeze_across(lane: &Lane, raster: Raster<'_>, rows: Range<usize>, taps: &[Taps], first: usize) -> Vec<u8> {
    let mut out = vec![0; rows.len() * taps.len() * 3];
    lane.for_each_chunk_mut(&mut out, taps.len() * 3, |row, out| {
        let mut scratch = Vec::new();
        let row = raster.row(rows.start + row, &mut scratch);
        for (taps, out) in taps.iter().zip(out.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (weight, pixel) in taps.weights.iter().zip(row[(taps.first - first) * 3..].chunks_exact(3)) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(*value);
                }
            }
            out.copy_from_slice(&sums.map(to_byte));
        }
    });
    out
}

/// A row of `columns` for each of the taps; what the taps call `first` is the first row of `raster`.
fn squeeze_down(lane: &Lane, raster: Raster<'_>, columns: Range<usize>, taps: &[Taps], first: usize) -> Vec<u8> {
    let row_len = columns.len() * 3;
    let mut out = vec![0; taps.len() * row_len];
    lane.for_each_chunk_mut(&mut out, row_len, |index, out| {
        let taps = &taps[index];
        let (mut sums, mut scratch) = (vec![HALF; row_len], Vec::new());
        for (row, weight) in (taps.first - first..).zip(&taps.weights) {
            let row = &raster.row(row, &mut scratch)[columns.start * 3..columns.end * 3];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(*value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = to_byte(sum);
        }
    });
    out
}

/// Half of a level, so that cutting rounds.
const HALF: i32 = 1 << (WEIGHT_BITS - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> WEIGHT_BITS).clamp(0, 255) as u8
}

/// The taps of output pixels `start..start + count` where `input` pixels become `output`.
fn taps(filter: Filter, input: usize, output: usize, start: usize, count: usize) -> Vec<Taps> {
    let scale = input as f64 / output as f64;
    // Shrinking widens the filter, so that every input pixel counts.
    let widening = scale.max(1.0);
    let (support, narrowing) = (filter.support() * widening, 1.0 / widening);
    (start..start + count)
        .map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input);
            let weight = |at: usize| filter.weight((at as f64 - centre + 0.5) * narrowing);
            let weights: Vec<f64> = (first..last).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let sum = if sum == 0.0 { 1.0 } else { sum };
            Taps { first, weights: weights.into_iter().map(|weight| to_fixed(weight / sum)).collect() }
        })
        .collect()
}

/// Rounds a weight to [`WEIGHT_BITS`]; halves go away from zero.
fn to_fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << WEIGHT_BITS)).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_the_right_size_stays_as_it_is() {
        let rgb: Vec<u8> = (0..8 * 8 * 3).map(|index| (index * 37 % 256) as u8).collect();
        let window = Window { resized: (8, 8), at: (0, 0), size: (8, 8) };
        for filter in [Filter::Bicubic, Filter::Lanczos] {
            assert_eq!(resample(&Lane::single(), Raster::new(8, 8, &rgb), filter, window), rgb, "{filter:?}");
        }
    }

    #[test]
    fn the_longest_and_thinnest_picture_takes_no_more_memory_than_its_window() {
        let rgb = vec![200; 16_384 * 3];
        let window = Window { resized: (16_384 * 336, 336), at: (16_383 * 168, 0), size: (336, 336) };
        let square = resample(&Lane::single(), Raster::new(16_384, 1, &rgb), Filter::Bicubic, window);
        assert_eq!(square, vec![200; 336 * 336 * 3]);
    }

    #[test]
    fn a_square_around_a_picture_is_resized_as_if_it_had_been_made() {
        let rgb: Vec<u8> = (0..9 * 4 * 3).map(|index| (index * 53 % 256) as u8).collect();
        let colour = [3, 90, 200];
        let mut made: Vec<u8> = colour.iter().copied().cycle().take(9 * 9 * 3).collect();
        made[2 * 9 * 3..6 * 9 * 3].copy_from_slice(&rgb);
        let window = Window { resized: (5, 5), at: (0, 0), size: (5, 5) };
        let lane = Lane::single();
        let wide = resample(&lane, Raster::new(9, 4, &rgb).on_square(colour), Filter::Bicubic, window);
        assert_eq!(wide, resample(&lane, Raster::new(9, 9, &made), Filter::Bicubic, window));
    }

    #[test]
    fn bands_of_a_picture_are_the_whole() {
        let rgb: Vec<u8> = (0..31 * 23 * 3).map(|index| (index * 91 % 256) as u8).collect();
        let (lane, raster) = (Lane::single(), Raster::new(31, 23, &rgb));
        // Down first, and across first.
        for resized in [(40, 17), (20, 17)] {
            let whole = Window { resized, at: (0, 0), size: resized };
            let band = |(top, rows)| Window { at: (0, top), size: (resized.0, rows), ..whole };
            let bands = [(0, 5), (5, 11), (16, 1)].map(band);
            let bands = bands.map(|band| resample(&lane, raster, Filter::Lanczos, band)).concat();
            assert_eq!(bands, resample(&lane, raster, Filter::Lanczos, whole));
        }
    }
}
