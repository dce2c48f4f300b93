//! Where the rows of a picture's squares stand in its slot, and what a prompt reads between them.

use std::ops::Range;

use super::super::framing::TilePlan;
use super::super::layout::{RowLayout, Span};
use super::config::{Merge, ProjectorConfig, ProjectorKind};

/// Rows that are this much more than the limit, per side, stay as they are.
const TOLERATED: f64 = 1.1;

/// The rows of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangement {
    plan: TilePlan,
    rows: usize,
    layout: RowLayout,
    /// Rows of a square that stand together.
    run: usize,
    /// The rows of the tiles in the order of lines; `None` where each square's stand together.
    pub(super) lines: Option<Lines>,
    /// A learned row stands at the very end.
    pub(super) closed: bool,
}

/// The rows of all tiles in the order of the picture's lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lines {
    /// The first of them in the slot.
    pub(super) first: usize,
    /// Patches of a tile's side, and tiles side by side.
    side: usize,
    columns: usize,
    /// Patches above and to the left of the picture, in what the tiles show.
    top: usize,
    left: usize,
    /// Lines of the picture and patches of a line.
    height: usize,
    width: usize,
    /// Lines in the slot and rows of a line, without the learned one that ends it.
    pub(super) out: (usize, usize),
}

/// Where some of a square's patches go.
pub(super) enum Place {
    /// To these rows.
    Run(usize),
    /// Nowhere, patches of one line at a time: the picture does not reach there; or to the rows of a line from `row` on.
    Lines,
    /// Weighed into several rows each.
    Interpolated,
}

impl Arrangement {
    pub(super) fn new(config: &ProjectorConfig, plan: TilePlan) -> Arrangement {
        let run = match config.kind {
            ProjectorKind::Ldpv2 => (config.side / 2).pow(2),
            _ => config.blocks(),
        };
        let flat = Arrangement {
            plan,
            rows: run * plan.count(),
            layout: RowLayout::whole(run * plan.count()),
            run,
            lines: None,
            closed: false,
        };
        match config.kind {
            ProjectorKind::Mlp(Merge::SpatialUnpad { .. }) if plan.columns == 0 => {
                Arrangement { rows: run + 1, layout: RowLayout::whole(run + 1), closed: true, ..flat }
            }
            ProjectorKind::Mlp(Merge::SpatialUnpad { most_tiles }) => {
                let lines = Lines::new(run, config.side, plan, most_tiles);
                let rows = run + lines.out.0 * (lines.out.1 + 1);
                Arrangement { rows, layout: RowLayout::whole(rows), lines: Some(lines), ..flat }
            }
            ProjectorKind::Idefics3 { .. } => Arrangement { layout: idefics3(plan, run), ..flat },
            ProjectorKind::Mlp(Merge::Flat) | ProjectorKind::Ldpv2 => flat,
        }
    }

    /// The most rows of any picture of the kind whose tiles are in one of `grids` (columns and rows).
    pub(super) fn most_rows(kind: ProjectorKind, side: usize, grids: &[(usize, usize)]) -> usize {
        let tiles = grids.iter().map(|(columns, rows)| columns * rows).max().unwrap_or(0);
        let patches = side * side;
        match kind {
            ProjectorKind::Ldpv2 => (side / 2).pow(2) * (tiles + 1),
            ProjectorKind::Idefics3 { scale } => (side / scale).pow(2) * (tiles + 1),
            ProjectorKind::Mlp(Merge::Flat) => patches * (tiles + 1),
            ProjectorKind::Mlp(Merge::SpatialUnpad { most_tiles }) => {
                let limit =
                    most_tiles.map_or(usize::MAX, |most| (TOLERATED.powi(2) * (most * patches) as f64) as usize);
                let of_lines = grids.iter().map(|(columns, rows)| (columns * rows * patches).min(limit) + rows * side);
                patches + of_lines.max().unwrap_or(1)
            }
        }
    }

    /// What the picture's squares are.
    pub fn plan(&self) -> TilePlan {
        self.plan
    }

    /// Rows of the picture.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How a prompt takes them in.
    pub fn layout(&self) -> &RowLayout {
        &self.layout
    }

    /// Where the rows of square `tile` go.
    pub(super) fn place(&self, tile: usize) -> Place {
        match &self.lines {
            Some(lines) if tile > 0 => match lines.out == (lines.height, lines.width) {
                true => Place::Lines,
                false => Place::Interpolated,
            },
            _ => Place::Run(tile * self.run),
        }
    }
}

impl Lines {
    fn new(first: usize, side: usize, plan: TilePlan, most_tiles: Option<usize>) -> Lines {
        let (tall, wide) = (plan.rows * side, plan.columns * side);
        let (width, height) = (plan.picture.0 as f64, plan.picture.1 as f64);
        // As `unpad_image` of transformers has it, to the rounding.
        let (top, left) = match width / height > wide as f64 / tall as f64 {
            true => ((tall - rounded(height * (wide as f64 / width)).min(tall)) / 2, 0),
            false => (0, (wide - rounded(width * (tall as f64 / height)).min(wide)) / 2),
        };
        let kept = (tall - 2 * top, wide - 2 * left);
        let ratio = most_tiles.map_or(0.0, |most| {
            let limit = most * side * side;
            ((kept.0 * kept.1) as f64 / limit as f64).sqrt()
        });
        let out = match ratio > TOLERATED {
            true => ((kept.0 as f64 / ratio).floor() as usize, (kept.1 as f64 / ratio).floor() as usize),
            false => kept,
        };
        Lines { first, side, columns: plan.columns, top, left, height: kept.0, width: kept.1, out }
    }

    /// Rows in the slot, with the learned ones.
    pub(super) fn range(&self) -> Range<usize> {
        self.first..self.first + self.out.0 * (self.out.1 + 1)
    }

    /// Column and line, among all tiles' patches, of patch `patch` of tile `tile`, of which 0 is the first beside the
    /// whole.
    fn at(&self, tile: usize, patch: usize) -> (usize, usize) {
        let (tile_x, tile_y) = (tile % self.columns, tile / self.columns);
        (tile_x * self.side + patch % self.side, tile_y * self.side + patch / self.side)
    }

    /// The patches `patches` of tile `tile`, cut where a line ends: those that the picture reaches, and the row of the
    /// first.
    pub(super) fn runs(&self, tile: usize, patches: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> {
        let lines = *self;
        let mut next = patches.start;
        std::iter::from_fn(move || {
            while next < patches.end {
                let start = next;
                next = patches.end.min((start / lines.side + 1) * lines.side);
                let (x, y) = lines.at(tile, start);
                let end_x = x + next - start;
                let (from, to) = (x.max(lines.left), end_x.min(lines.left + lines.width));
                if (lines.top..lines.top + lines.height).contains(&y) && from < to {
                    let row = lines.first + (y - lines.top) * (lines.width + 1) + from - lines.left;
                    return Some((start + from - x..start + to - x, row));
                }
            }
            None
        })
    }

    /// The patches of tile `tile` that row `row` of the interpolated lines is made of, with their weights; none for a
    /// learned row. The corners are those of PyTorch's bilinear interpolation, in its precision.
    pub(super) fn taps(&self, row: usize, tile: usize) -> impl Iterator<Item = (usize, f32)> {
        let (line, column) = (row / (self.out.1 + 1), row % (self.out.1 + 1));
        let corners = (column < self.out.1).then(|| {
            let (y, x) = (corner(line, self.height, self.out.0), corner(column, self.width, self.out.1));
            let weigh = move |(at_y, by_y): (usize, f32)| x.map(|(at_x, by_x)| ((at_x, at_y), by_y * by_x));
            let [above, below] = y.map(weigh);
            [above[0], above[1], below[0], below[1]]
        });
        let lines = *self;
        corners.into_iter().flatten().filter_map(move |((x, y), weight)| {
            let (x, y) = (x + lines.left, y + lines.top);
            let of_tile = y / lines.side * lines.columns + x / lines.side == tile;
            of_tile.then_some((y % lines.side * lines.side + x % lines.side, weight))
        })
    }
}

/// The two of `from` positions that position `index` of `to` lies between, and their weights.
fn corner(index: usize, from: usize, to: usize) -> [(usize, f32); 2] {
    let scale = from as f32 / to as f32;
    let centre = (scale * (index as f32 + 0.5) - 0.5).max(0.0);
    let first = (centre as usize).min(from - 1);
    let second = (first + 1).min(from - 1);
    let share = centre - first as f32;
    [(first, 1.0 - share), (second, share)]
}

/// Python's `int(round(x, 7))`.
fn rounded(x: f64) -> usize {
    ((x * 1e7).round_ties_even() / 1e7) as usize
}

/// The words that Idefics3's processor puts between the rows of a picture's squares.
fn idefics3(plan: TilePlan, run: usize) -> RowLayout {
    const FAKE: &str = "<fake_token_around_image>";
    let mut spans = Vec::new();
    let mut row = 0;
    let mut text = String::new();
    let mut square = |text: &mut String| {
        spans.push(Span::Text(std::mem::take(text).into()));
        spans.push(Span::Rows(row..row + run));
        row += run;
    };
    for tile_row in 1..=plan.rows {
        for column in 1..=plan.columns {
            text += &format!("{FAKE}<row_{tile_row}_col_{column}>");
            square(&mut text);
        }
        text += "\n";
    }
    if plan.rows > 0 {
        text += "\n";
    }
    text += &format!("{FAKE}<global-img>");
    square(&mut text);
    spans.push(Span::Text(FAKE.into()));
    RowLayout::new(spans)
}
