//! Draws a scene: a backdrop, and sprites laid on it back to front, sampled bilinearly at any place, size and angle.

use super::dice::Dice;
use super::sheet::{SIDE, Sheet};
use super::truth::{Colour, Kind, What};

/// A sprite in its final colours: premultiplied red, green, blue and coverage.
#[derive(Clone)]
pub(super) struct Sprite(Vec<[f32; 4]>);

impl Sprite {
    /// A thing in its own colours or as if painted; a shape or a digit in its colour.
    pub(super) fn paint(sheet: &Sheet, what: What, tint: Option<Colour>) -> Sprite {
        let pixel = |rgba: &[u8]| {
            let [red, green, blue, cover] = [0, 1, 2, 3].map(|at| f32::from(rgba[at]) / 255.0);
            let colour = match tint {
                None => [red, green, blue],
                // Light and shade stay.
                Some(tint) if what.kind == Kind::Thing => {
                    let shade = 0.45 + 0.75 * (red + green + blue) / 3.0;
                    tint.rgb().map(|channel| (channel * shade).min(1.0))
                }
                Some(tint) => tint.rgb(),
            };
            [colour[0] * cover, colour[1] * cover, colour[2] * cover, cover]
        };
        Sprite(sheet.rows(what).flat_map(|row| row.chunks_exact(4)).map(pixel).collect())
    }

    /// What is at `u`, `v`, which go from −1 to 1 over the sprite; nothing is outside.
    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let [x, y] = [u, v].map(|at| (at + 1.0) * SIDE as f32 / 2.0 - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (right_share, bottom_share) = (x - left, y - top);
        let mut sum = [0.0; 4];
        for (down, row_share) in [(0, 1.0 - bottom_share), (1, bottom_share)] {
            for (along, share) in [(0, 1.0 - right_share), (1, right_share)] {
                let (column, row) = (left as i32 + along, top as i32 + down);
                let within = |at: i32| (0..SIDE as i32).contains(&at);
                if within(column) && within(row) {
                    let pixel = &self.0[row as usize * SIDE + column as usize];
                    let weight = row_share * share;
                    sum.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += channel * weight);
                }
            }
        }
        sum
    }
}

/// Where a sprite lies, in widths of the picture, and how far it is turned, in radians.
#[derive(Clone, Copy)]
pub(super) struct Pose {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) radius: f32,
    pub(super) spin: f32,
}

/// A square picture that is being drawn: rows of red, green and blue from 0 to 1.
#[derive(Clone)]
pub(super) struct Canvas {
    size: usize,
    pixels: Vec<[f32; 3]>,
}

impl Canvas {
    /// A backdrop of one colour with a slope, soft blotches and a light that falls in from somewhere.
    pub(super) fn backdrop(size: usize, base: [f32; 3], dice: &mut Dice) -> Canvas {
        let amount = dice.unit() * 0.25;
        let [coarse, fine] = [3, 12].map(|cells| Blotches::new(cells, dice));
        let slope = [(); 3].map(|()| [dice.between(-0.15, 0.15), dice.between(-0.15, 0.15)]);
        let light = [dice.between(-0.2, 0.2), dice.between(-0.2, 0.2)];
        let mut pixels = Vec::with_capacity(size * size);
        for row in 0..size {
            for column in 0..size {
                let [x, y] = [column, row].map(|at| (at as f32 + 0.5) / size as f32);
                let (coarse, fine) = (coarse.at(x, y), fine.at(x, y));
                let lit = 1.0 + light[0] * (x - 0.5) + light[1] * (y - 0.5);
                let channel = |at: usize| {
                    let blotch = amount * (coarse[at] + 0.6 * fine[at]);
                    let sloped = base[at] + slope[at][0] * (x - 0.5) + slope[at][1] * (y - 0.5);
                    ((sloped + blotch) * lit).clamp(0.0, 1.0)
                };
                pixels.push([0, 1, 2].map(channel));
            }
        }
        Canvas { size, pixels }
    }

    /// Lays a sprite over what is there.
    pub(super) fn lay(&mut self, sprite: &Sprite, pose: Pose) {
        let (sin, cos) = pose.spin.sin_cos();
        // A turned square reaches as far as its diagonal.
        let reach = pose.radius * (sin.abs() + cos.abs());
        let size = self.size as f32;
        let span = |centre: f32| {
            let from = ((centre - reach) * size).floor().max(0.0) as usize;
            let to = ((centre + reach) * size).ceil().clamp(0.0, size) as usize;
            from.min(to)..to
        };
        for row in span(pose.y) {
            for column in span(pose.x) {
                let [dx, dy] = [(column, pose.x), (row, pose.y)]
                    .map(|(at, centre)| ((at as f32 + 0.5) / size - centre) / pose.radius);
                let [red, green, blue, cover] = sprite.sample(cos * dx + sin * dy, cos * dy - sin * dx);
                let under = &mut self.pixels[row * self.size + column];
                for (channel, over) in under.iter_mut().zip([red, green, blue]) {
                    *channel = *channel * (1.0 - cover) + over;
                }
            }
        }
    }

    /// The picture, `[size, size, 3]`.
    pub(super) fn rgb(&self) -> Vec<u8> {
        self.pixels.iter().flatten().map(|channel| (channel * 255.0 + 0.5) as u8).collect()
    }
}

/// Random colours on a coarse grid, blended between.
struct Blotches {
    cells: usize,
    colours: Vec<[f32; 3]>,
}

impl Blotches {
    fn new(cells: usize, dice: &mut Dice) -> Blotches {
        let colours = (0..cells * cells).map(|_| [(); 3].map(|()| dice.between(-0.5, 0.5))).collect();
        Blotches { cells, colours }
    }

    fn at(&self, x: f32, y: f32) -> [f32; 3] {
        let place = |at: f32| {
            let at = (at * self.cells as f32 - 0.5).clamp(0.0, (self.cells - 1) as f32);
            let first = (at as usize).min(self.cells - 2);
            (first, at - first as f32)
        };
        let ((column, right), (row, bottom)) = (place(x), place(y));
        let colour = |down: usize, along: usize, channel: usize| {
            self.colours[(row + down) * self.cells + column + along][channel]
        };
        [0, 1, 2].map(|channel| {
            let [upper, lower] =
                [0, 1].map(|down| colour(down, 0, channel) * (1.0 - right) + colour(down, 1, channel) * right);
            upper * (1.0 - bottom) + lower * bottom
        })
    }
}
