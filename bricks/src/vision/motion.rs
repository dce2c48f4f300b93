//! Motion: whether a picture differs from another one by more than noise and light.

use super::Picture;

/// Cells of a side of the grid that pictures are compared on.
const CELLS: usize = 32;

/// How much it takes for something to have moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MotionThreshold {
    /// By how much the mean brightness of a cell must differ, in levels of 255.
    pub levels: f32,
    /// In which share of the cells it must, from 0 to 1.
    pub share: f32,
}

impl MotionThreshold {
    /// While nothing moved before: six levels in eight of the 1,024 cells. The noise of a camera at dusk is some ten levels
    /// a pixel, and below one level in the mean of a cell of a 640 by 480 picture; a person ten metres away fills some
    /// twenty cells.
    pub const FROM_REST: MotionThreshold = MotionThreshold { levels: 6.0, share: 8.0 / 1024.0 };
    /// While something moved just before: four levels in four cells, so that what slows down is seen to its end.
    pub const IN_MOTION: MotionThreshold = MotionThreshold { levels: 4.0, share: 4.0 / 1024.0 };
}

/// The brightness of a picture on a grid of 32 by 32 cells, or fewer where it has fewer pixels: what motion is seen by.
/// Made in one pass over the pixels; takes 4 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct Luma {
    size: (usize, usize),
    /// The mean luma of each cell (BT.601 weights), from 0 to 255.
    cells: Vec<f32>,
}

impl Luma {
    /// The brightness of `picture`.
    pub fn of(picture: &Picture) -> Luma {
        let (width, height) = (picture.width(), picture.height());
        let (columns, rows) = (width.min(CELLS), height.min(CELLS));
        let mut sums = vec![0u64; columns * rows];
        let mut counts = vec![0u64; columns * rows];
        for (y, row) in picture.rgb().chunks_exact(width * 3).enumerate() {
            let line = y * rows / height * columns;
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                let cell = line + x * columns / width;
                sums[cell] += 299 * u64::from(pixel[0]) + 587 * u64::from(pixel[1]) + 114 * u64::from(pixel[2]);
                counts[cell] += 1;
            }
        }
        let mean = |(sum, count): (&u64, &u64)| *sum as f32 / (1000 * count).max(1) as f32;
        Luma { size: (width, height), cells: sums.iter().zip(&counts).map(mean).collect() }
    }

    /// Whether something has moved between two pictures. A light that goes on or a camera that sets its exposure anew
    /// changes all cells by about as much, which is no motion: the median of the changes is taken off each of them first.
    /// Pictures of different sizes always differ.
    pub fn has_moved_since(&self, earlier: &Luma, threshold: MotionThreshold) -> bool {
        if self.size != earlier.size {
            return true;
        }
        let mut changes: Vec<f32> = self.cells.iter().zip(&earlier.cells).map(|(now, before)| now - before).collect();
        let middle = changes.len() / 2;
        let (_, &mut median, _) = changes.select_nth_unstable_by(middle, f32::total_cmp);
        let moved = changes.iter().filter(|change| (*change - median).abs() > threshold.levels).count();
        // One cell at least, however few there are.
        moved as f32 >= (threshold.share * changes.len() as f32).max(1.0)
    }
}

/// Tells which pictures of a stream show motion since the last one that did, with hysteresis: what moves is followed until
/// it rests, and what rests takes more to be noticed again.
#[derive(Clone, Debug, Default)]
pub struct MotionGate {
    /// The last picture that was let through.
    passed: Option<Luma>,
    moving: bool,
}

impl MotionGate {
    /// Whether something has moved since the last picture that was let through. The first picture always is.
    pub fn lets_through(&mut self, picture: &Picture) -> bool {
        let luma = Luma::of(picture);
        let threshold = if self.moving { MotionThreshold::IN_MOTION } else { MotionThreshold::FROM_REST };
        match &self.passed {
            Some(passed) => self.moving = luma.has_moved_since(passed, threshold),
            None => {
                self.passed = Some(luma);
                return true;
            }
        }
        if self.moving {
            self.passed = Some(luma);
        }
        self.moving
    }

    /// Forgets what was seen: the next picture is let through.
    pub fn reset(&mut self) {
        *self = MotionGate::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture with noise of up to `noise` levels, and a square of 24 pixels at `x`, brighter by `contrast`.
    fn picture(light: u8, noise: u64, seed: u64, square: Option<(usize, u8)>) -> Picture {
        let (width, height) = (320, 240);
        let mut state = seed;
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let grain = if noise == 0 { 0 } else { (state >> 33) % noise };
                let within = square.filter(|(left, _)| (*left..left + 24).contains(&x) && (100..124).contains(&y));
                let value = u64::from(light) + grain + within.map_or(0, |(_, contrast)| u64::from(contrast));
                rgb.extend([u8::try_from(value).unwrap_or(u8::MAX); 3]);
            }
        }
        Picture::from_rgb(width, height, rgb).expect("a picture")
    }

    #[test]
    fn noise_and_light_are_no_motion_and_a_thing_that_comes_is() {
        let mut gate = MotionGate::default();
        assert!(gate.lets_through(&picture(80, 24, 1, None)), "the first picture");
        assert!(!gate.lets_through(&picture(80, 24, 2, None)), "other noise");
        assert!(!gate.lets_through(&picture(130, 24, 3, None)), "the light went on");
        assert!(gate.lets_through(&picture(130, 24, 4, Some((60, 60)))), "something came in");
        assert!(!gate.lets_through(&picture(130, 24, 5, Some((60, 60)))), "it stays where it is");
        assert!(gate.lets_through(&picture(130, 24, 6, Some((150, 60)))), "it has moved");
        assert!(gate.lets_through(&picture(130, 24, 7, None)), "it is gone");
    }

    #[test]
    fn slow_motion_is_seen_when_it_has_come_far_enough_from_the_last_picture_shown() {
        let mut gate = MotionGate::default();
        gate.lets_through(&picture(80, 0, 1, Some((60, 40))));
        let shown: Vec<bool> = (61..100).map(|x| gate.lets_through(&picture(80, 0, 1, Some((x, 40))))).collect();
        assert!(!shown[0], "one pixel is nothing");
        assert!(shown.iter().any(|shown| *shown), "but many are something: {shown:?}");
    }

    #[test]
    fn what_moves_takes_less_to_be_followed_than_what_rests_takes_to_be_noticed() {
        let (rest, moved) = (Luma::of(&picture(80, 0, 1, None)), Luma::of(&picture(80, 0, 1, Some((60, 7)))));
        assert!(moved.has_moved_since(&rest, MotionThreshold::IN_MOTION));
        assert!(!moved.has_moved_since(&rest, MotionThreshold::FROM_REST));
    }

    #[test]
    fn a_picture_of_another_size_or_of_a_few_pixels_is_compared_all_the_same() {
        let small = |value| Picture::from_rgb(3, 1, vec![value, value, value, 0, 0, 0, 0, 0, 0]).expect("a picture");
        let (dark, bright) = (Luma::of(&small(0)), Luma::of(&small(200)));
        assert!(bright.has_moved_since(&dark, MotionThreshold::FROM_REST));
        assert!(!dark.has_moved_since(&dark.clone(), MotionThreshold::FROM_REST));
        assert!(dark.has_moved_since(&Luma::of(&picture(0, 0, 1, None)), MotionThreshold::FROM_REST), "another size");
    }
}
