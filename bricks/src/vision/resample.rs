//! Resampling as PIL and Hugging Face's processors do it: bicubic with antialiasing, across and then down, rounded to a
//! byte after each.

use nanomind_hal::Lane;

use super::picture::Picture;

/// A square of the resized picture; only its pixels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Width and height that the whole picture is resized to.
    pub(super) resized: (usize, usize),
    /// Columns to the left of the square.
    pub(super) left: usize,
    /// Rows above the square.
    pub(super) top: usize,
    /// Width and height of the square.
    pub(super) side: usize,
}

/// What one output pixel is made of: input pixels from `first` on and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The square of `picture`, `[side, side, 3]`.
pub(super) fn resample(lane: &Lane, picture: &Picture, window: Window) -> Vec<u8> {
    let Window { resized: (width, height), left, top, side } = window;
    let across = taps(picture.width(), width, left, side);
    let down = taps(picture.height(), height, top, side);
    let first = down.iter().map(|taps| taps.first).min().unwrap_or(0);
    let last = down.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
    let row_len = side * 3;
    let mut rows = vec![0; (last - first) * row_len];
    lane.for_each_chunk_mut(&mut rows, row_len, |row, out| {
        let row = &picture.rgb()[(first + row) * picture.width() * 3..][..picture.width() * 3];
        for (taps, out) in across.iter().zip(out.chunks_exact_mut(3)) {
            let mut sums = [0.0; 3];
            for (weight, pixel) in taps.weights.iter().zip(row[taps.first * 3..].chunks_exact(3)) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * f32::from(*value);
                }
            }
            out.copy_from_slice(&sums.map(to_byte));
        }
    });
    let mut square = vec![0; side * row_len];
    lane.for_each_chunk_mut(&mut square, row_len, |index, out| {
        let taps = &down[index];
        let rows = &rows[(taps.first - first) * row_len..];
        let mut sums = vec![0.0; row_len];
        for (weight, row) in taps.weights.iter().zip(rows.chunks_exact(row_len)) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * f32::from(*value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = to_byte(sum);
        }
    });
    square
}

fn to_byte(value: f32) -> u8 {
    // The conversion saturates.
    (value + 0.5).floor() as u8
}

/// The taps of output pixels `start..start + count` where `input` pixels become `output`.
fn taps(input: usize, output: usize, start: usize, count: usize) -> Vec<Taps> {
    let scale = input as f64 / output as f64;
    // Shrinking widens the filter, so that every input pixel counts.
    let widening = scale.max(1.0);
    let support = 2.0 * widening;
    (start..start + count)
        .map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input);
            let weights: Vec<f64> = (first..last).map(|at| cubic((at as f64 - centre + 0.5) / widening)).collect();
            let sum: f64 = weights.iter().sum();
            Taps { first, weights: weights.into_iter().map(|weight| (weight / sum) as f32).collect() }
        })
        .collect()
}

/// The cubic convolution kernel with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_the_right_size_stays_as_it_is() {
        let rgb: Vec<u8> = (0..8 * 8 * 3).map(|index| (index * 37 % 256) as u8).collect();
        let picture = Picture::from_rgb(8, 8, rgb.clone()).expect("a picture");
        let window = Window { resized: (8, 8), left: 0, top: 0, side: 8 };
        assert_eq!(resample(&Lane::single(), &picture, window), rgb);
    }

    #[test]
    fn the_longest_and_thinnest_picture_takes_no_more_memory_than_its_square() {
        let picture = Picture::from_rgb(16_384, 1, vec![200; 16_384 * 3]).expect("a picture");
        let window = Window { resized: (16_384 * 336, 336), left: 16_383 * 168, top: 0, side: 336 };
        assert_eq!(resample(&Lane::single(), &picture, window), vec![200; 336 * 336 * 3]);
    }
}
