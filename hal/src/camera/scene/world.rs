//! The world before the scene camera: what is there, how it sways, comes in and goes out.

use std::f32::consts::TAU;

use super::SceneOptions;
use super::dice::Dice;
use super::draw::{Canvas, Pose, Sprite};
use super::sheet::Sheet;
use super::truth::{Colour, Kind, Passage, Place, Scene, SceneEvent, SceneThing, What};
use super::{SceneEvents, SceneMotion};

/// So many things are to be seen at most.
const MOST: usize = 6;
/// A thing is on its way in or out for so many frames.
const PASSAGE: u64 = 4;
/// How far a thing may lie off the middle of its place, in widths of the frame; swaying takes most of it.
const JITTER: f32 = 0.05;
const SWAY: f32 = 0.03;

/// Something in the world.
struct Actor {
    what: What,
    colour: Option<Colour>,
    large: bool,
    place: Place,
    /// Where it rests.
    home: Pose,
    /// How it sways: radians at frame 0 and a frame, along and down.
    sway: [(f32, f32); 2],
    passage: Passage,
    /// The frame in which its passage began.
    since: u64,
    sprite: Sprite,
}

impl Actor {
    /// Where it is in `frame`.
    fn pose(&self, frame: u64, motion: SceneMotion) -> Pose {
        let mut pose = self.home;
        if motion == SceneMotion::Drift {
            let [along, down] = self.sway.map(|(phase, pace)| SWAY * (phase + pace * frame as f32).sin());
            (pose.x, pose.y) = (pose.x + along, pose.y + down);
        }
        let gone = frame.saturating_sub(self.since) as f32 / PASSAGE as f32;
        let out = match self.passage {
            Passage::There => return pose,
            Passage::Entering => 1.0 - gone,
            Passage::Leaving => gone,
        };
        // Over the nearest rim; from the middle column over the top or the bottom.
        let beyond = |at: f32| if at < 0.5 { -(at + pose.radius) } else { 1.0 - at + pose.radius };
        match self.place.cell() {
            (1, _) => pose.y += out * beyond(pose.y),
            _ => pose.x += out * beyond(pose.x),
        }
        pose
    }

    fn truth(&self, frame: u64, motion: SceneMotion) -> SceneThing {
        let Actor { what, colour, large, place, passage, .. } = *self;
        let Pose { x, y, radius, .. } = self.pose(frame, motion);
        let within = |at: f32| ((at + radius).min(1.0) - (at - radius).max(0.0)).max(0.0) / (2.0 * radius);
        SceneThing { what, colour, large, x, y, radius, place, passage, visible: within(x) * within(y) }
    }
}

/// The world, a frame at a time.
pub(super) struct World {
    options: SceneOptions,
    sheet: Sheet,
    dice: Dice,
    base: [f32; 3],
    backdrop: Canvas,
    actors: Vec<Actor>,
    frame: u64,
    number: u64,
}

impl World {
    pub(super) fn new(options: SceneOptions, sheet: Sheet) -> World {
        let mut dice = Dice::new(options.seed);
        let base = base_colour(&mut dice);
        let backdrop = Canvas::backdrop(options.size as usize, base, &mut dice);
        let mut world = World { options, sheet, dice, base, backdrop, actors: Vec::new(), frame: 0, number: 0 };
        world.people();
        world
    }

    /// Moves on by a frame: its pixels `[size, size, 3]`, and what they show.
    pub(super) fn advance(&mut self) -> (Vec<u8>, Scene) {
        let event = self.happen();
        let mut canvas = self.backdrop.clone();
        for actor in &self.actors {
            canvas.lay(&actor.sprite, actor.pose(self.frame, self.options.motion));
        }
        let things = self.actors.iter().map(|actor| actor.truth(self.frame, self.options.motion)).collect();
        let scene = Scene { number: self.number, things, event };
        self.frame += 1;
        (canvas.rgb(), scene)
    }

    /// Whatever begins with the frame that is drawn next.
    fn happen(&mut self) -> Option<SceneEvent> {
        let frame = self.frame;
        self.actors.retain(|actor| actor.passage != Passage::Leaving || frame - actor.since < PASSAGE);
        for actor in self.actors.iter_mut().filter(|actor| frame - actor.since >= PASSAGE) {
            actor.passage = Passage::There;
        }
        if frame == 0 || self.options.event_every == 0 || !frame.is_multiple_of(self.options.event_every) {
            return None;
        }
        match self.options.events {
            SceneEvents::Never => None,
            SceneEvents::Scenes => {
                self.base = base_colour(&mut self.dice);
                self.backdrop = Canvas::backdrop(self.options.size as usize, self.base, &mut self.dice);
                self.number += 1;
                self.people();
                Some(SceneEvent::NewScene)
            }
            SceneEvents::Things => Some(self.come_or_go()),
        }
    }

    /// One thing comes in or goes out; there is always one, and always room for another.
    fn come_or_go(&mut self) -> SceneEvent {
        let staying: Vec<usize> =
            (0..self.actors.len()).filter(|&at| self.actors[at].passage != Passage::Leaving).collect();
        let leave = self.actors.len() >= MOST - 1 || (staying.len() > 1 && self.dice.chance(0.5));
        if leave && !staying.is_empty() {
            let leaver = &mut self.actors[staying[self.dice.below(staying.len())]];
            (leaver.passage, leaver.since) = (Passage::Leaving, self.frame);
            return SceneEvent::Leaves(leaver.truth(self.frame, SceneMotion::Still).to_string());
        }
        let free: Vec<usize> =
            (0..Place::COUNT).filter(|&cell| self.actors.iter().all(|actor| actor.place != Place(cell))).collect();
        let place = Place(self.dice.pick(&free));
        let mut entrant = self.actor(place, 0.19);
        (entrant.passage, entrant.since) = (Passage::Entering, self.frame);
        let event = SceneEvent::Enters(entrant.truth(self.frame, SceneMotion::Still).to_string());
        self.actors.push(entrant);
        self.actors.sort_by_key(|actor| actor.place);
        event
    }

    /// Fills the world anew.
    fn people(&mut self) {
        let room = if self.options.events == SceneEvents::Things { MOST - 1 } else { MOST };
        let count = self.dice.pick(&[1, 1, 2, 2, 3, 3, 4, 4, 5, 6]).min(room);
        let largest = if count == 1 && self.options.events != SceneEvents::Things { 0.28 } else { 0.19 };
        let mut places: Vec<usize> = (0..Place::COUNT).collect();
        let mut taken: Vec<usize> = (0..count).map(|_| places.swap_remove(self.dice.below(places.len()))).collect();
        taken.sort_unstable();
        self.actors = taken.into_iter().map(|place| self.actor(Place(place), largest)).collect();
    }

    /// Something new at a place, at rest.
    fn actor(&mut self, place: Place, largest: f32) -> Actor {
        let (base, dice) = (self.base, &mut self.dice);
        let kind = match dice.unit() {
            digit if digit < 0.1 => Kind::Digit,
            shape if shape < 0.4 => Kind::Shape,
            _ => Kind::Thing,
        };
        let what = dice.pick(self.sheet.all(kind));
        let tinted = kind != Kind::Thing || dice.chance(0.2);
        let apart: Vec<Colour> = Colour::ALL.into_iter().filter(|colour| distance(colour.rgb(), base) > 0.4).collect();
        let colour = tinted.then(|| dice.pick(&apart));
        let large = dice.chance(0.5);
        let radius = if large { dice.between(0.155, largest) } else { dice.between(0.085, 0.105) };
        let off = if self.options.motion == SceneMotion::Drift { JITTER - SWAY } else { JITTER };
        // Nothing is cut off by the frame, not even where it sways to.
        let rim = radius * 0.8 + 0.02 + (JITTER - off);
        let (column, row) = place.cell();
        let [x, y] =
            [column, row].map(|cell| ((cell as f32 + 0.5) / 3.0 + dice.between(-off, off)).clamp(rim, 1.0 - rim));
        let spin = dice.between(-0.35, 0.35);
        let sway = [(); 2].map(|()| (dice.between(0.0, TAU), TAU / dice.between(20.0, 60.0)));
        let sprite = Sprite::paint(&self.sheet, what, colour);
        let home = Pose { x, y, radius, spin };
        Actor { what, colour, large, place, home, sway, passage: Passage::There, since: 0, sprite }
    }
}

/// Grey or tinged, at times nearly white; always far from most colours.
fn base_colour(dice: &mut Dice) -> [f32; 3] {
    if dice.chance(0.2) {
        return [(); 3].map(|()| dice.between(0.88, 1.0));
    }
    let grey = dice.between(0.2, 0.8);
    [(); 3].map(|()| (grey + dice.between(-0.25, 0.25)).clamp(0.1, 0.9))
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}
