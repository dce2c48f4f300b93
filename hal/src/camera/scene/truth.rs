//! What a scene shows, in words and numbers: the truth beside each frame, against which an answer can be held.

use std::fmt;

/// What is to be seen on one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Number of the scene, from 0: a new one begins when everything is replaced.
    pub number: u64,
    /// What is there, by place from the top left, line by line; what lies later covers what lies before.
    pub things: Vec<SceneThing>,
    /// What has begun with this frame.
    pub event: Option<SceneEvent>,
}

impl Scene {
    /// Whether everything is at its place: nothing is on its way in or out.
    pub fn is_settled(&self) -> bool {
        self.things.iter().all(|thing| thing.passage == Passage::There)
    }
}

/// `a small television on the left, a large red circle at the top right`.
impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, thing) in self.things.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}a {} {thing} {}", thing.size(), thing.place)?;
        }
        if self.things.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

/// One thing on a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SceneThing {
    /// What it is.
    pub what: What,
    /// The colour that it is tinted in; `None`: a thing in its own colours.
    pub colour: Option<Colour>,
    /// Whether it is large; else it is small.
    pub large: bool,
    /// Its centre from the left, in widths of the frame.
    pub x: f32,
    /// Its centre from the top, in heights of the frame.
    pub y: f32,
    /// Half of its side, in widths of the frame.
    pub radius: f32,
    /// The ninth of the frame where it has its place.
    pub place: Place,
    /// Whether it is at its place or on its way.
    pub passage: Passage,
    /// How much of it lies within the frame, from 0 to 1.
    pub visible: f32,
}

impl SceneThing {
    /// `large` or `small`.
    pub fn size(&self) -> &'static str {
        if self.large { "large" } else { "small" }
    }
}

/// Its colour, where it is tinted, and its name: `red circle`, `cat`.
impl fmt::Display for SceneThing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.colour {
            Some(colour) => write!(f, "{} {}", colour.name(), self.what.name),
            None => f.write_str(self.what.name),
        }
    }
}

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// Of which kind.
    pub kind: Kind,
    /// Its name: `cat`, `circle`, `digit 7`.
    pub name: &'static str,
    pub(super) sprite: usize,
}

/// The kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An everyday thing.
    Thing,
    /// A coloured shape.
    Shape,
    /// A printed digit.
    Digit,
}

/// Whether a thing is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// At its place, where it may sway a little.
    There,
    /// On its way in from outside of the frame.
    Entering,
    /// On its way out.
    Leaving,
}

/// Something that happens in a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SceneEvent {
    /// Everything was replaced.
    NewScene,
    /// A thing begins to come in.
    Enters(String),
    /// A thing begins to go out.
    Leaves(String),
}

impl fmt::Display for SceneEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SceneEvent::NewScene => f.write_str("a new scene"),
            SceneEvent::Enters(thing) => write!(f, "{thing} enters"),
            SceneEvent::Leaves(thing) => write!(f, "{thing} leaves"),
        }
    }
}

/// One ninth of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub(super) usize);

impl Place {
    pub(super) const COUNT: usize = 9;

    /// Column and row, each from 0 to 2.
    pub(super) fn cell(self) -> (usize, usize) {
        (self.0 % 3, self.0 / 3)
    }
}

/// `at the top left`, `in the middle`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "at the top left",
            1 => "at the top",
            2 => "at the top right",
            3 => "on the left",
            4 => "in the middle",
            5 => "on the right",
            6 => "at the bottom left",
            7 => "at the bottom",
            _ => "at the bottom right",
        })
    }
}

/// The colours that things are tinted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Colour {
    Red,
    Green,
    Blue,
    Yellow,
    Orange,
    Purple,
    White,
    Black,
    Cyan,
    Pink,
}

impl Colour {
    /// All of them.
    pub const ALL: [Colour; 10] = [
        Colour::Red,
        Colour::Green,
        Colour::Blue,
        Colour::Yellow,
        Colour::Orange,
        Colour::Purple,
        Colour::White,
        Colour::Black,
        Colour::Cyan,
        Colour::Pink,
    ];

    /// Its name in English.
    pub fn name(self) -> &'static str {
        match self {
            Colour::Red => "red",
            Colour::Green => "green",
            Colour::Blue => "blue",
            Colour::Yellow => "yellow",
            Colour::Orange => "orange",
            Colour::Purple => "purple",
            Colour::White => "white",
            Colour::Black => "black",
            Colour::Cyan => "cyan",
            Colour::Pink => "pink",
        }
    }

    /// Red, green and blue from 0 to 1.
    pub(super) fn rgb(self) -> [f32; 3] {
        match self {
            Colour::Red => [0.85, 0.12, 0.12],
            Colour::Green => [0.13, 0.65, 0.2],
            Colour::Blue => [0.13, 0.3, 0.9],
            Colour::Yellow => [0.95, 0.85, 0.1],
            Colour::Orange => [0.98, 0.5, 0.05],
            Colour::Purple => [0.55, 0.15, 0.7],
            Colour::White => [0.95, 0.95, 0.95],
            Colour::Black => [0.06, 0.06, 0.06],
            Colour::Cyan => [0.1, 0.8, 0.85],
            Colour::Pink => [0.98, 0.55, 0.75],
        }
    }
}
