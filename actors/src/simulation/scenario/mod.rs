//! The scenario: all that happens to a simulated device from outside. As data, as a RON text, and as a stated day.

mod day;
mod fit;
mod mistake;
#[cfg(test)]
mod tests;
mod text;
mod values;

use std::ops::RangeInclusive;
use std::time::Duration;

use nanomind_hal::AcceleratorId;

use crate::governor::Mode;

pub use mistake::ScenarioError;

/// All that happens to a simulated device. Times count from its beginning, unless they are hours of the day.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// The time of day at its beginning, since midnight.
    pub begins: Duration,
    /// How long it lasts; an empty battery ends it earlier.
    pub lasts: Duration,
    /// How full the battery is at the beginning: 0 to 1.
    pub level: f64,
    /// The temperature around the device from each moment on, in order; 22 °C before the first.
    pub ambient: Vec<Ambient>,
    /// What people ask.
    pub prompts: Prompts,
    /// What moves before the cameras.
    pub motion: Motion,
    /// Width and height of the pictures that cameras take, in pixels, where their nodes do not say.
    pub picture: (u32, u32),
    /// When a charger is there.
    pub charging: Vec<Charging>,
    /// What fails.
    pub faults: Vec<Fault>,
    /// Who holds a power mode.
    pub holds: Vec<ModeHold>,
    /// What sensors send at given moments, in place of what would be drawn for them: the arrivals of a recorded run.
    pub recorded: Vec<Recorded>,
}

/// The temperature around the device from a moment on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ambient {
    /// From when on.
    pub from: Duration,
    /// Degrees Celsius.
    pub celsius: f64,
}

/// What people ask: each sensor of questions is asked by people of its own.
#[derive(Clone, PartialEq, Debug)]
pub struct Prompts {
    /// Questions at given moments.
    pub at: Vec<Question>,
    /// How many come by chance in each part of the day.
    pub by_hour: Vec<Rate>,
    /// Tokens of a question that comes by chance.
    pub tokens: RangeInclusive<u32>,
    /// Tokens of an answer, where nothing else is said.
    pub answers: RangeInclusive<u32>,
}

/// A question at a given moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// When it is asked.
    pub time: Duration,
    /// Its tokens.
    pub tokens: u32,
    /// Tokens of its answer, if no bound of the graph ends it earlier.
    pub answer: u32,
}

/// What moves before the cameras, each of which sees motion of its own.
#[derive(Clone, PartialEq, Debug)]
pub struct Motion {
    /// Motion at given moments.
    pub at: Vec<Moving>,
    /// How often something begins to move by chance in each part of the day.
    pub by_hour: Vec<Rate>,
    /// How long it moves then.
    pub lasts: RangeInclusive<Duration>,
}

/// Something moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moving {
    /// When it begins.
    pub time: Duration,
    /// How long it goes on.
    pub lasts: Duration,
}

/// How many events come by chance in a part of the day: a Poisson process.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// From this time of day on, since midnight.
    pub from: Duration,
    /// Up to this time of day; it may lie on the next day.
    pub to: Duration,
    /// Events an hour, in the mean.
    pub per_hour: f64,
}

/// A charger is there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Charging {
    /// From when on.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// What it gives at most, in watts.
    pub watts: f64,
}

/// Something fails for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// From when on.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// What fails.
    pub what: Failing,
}

/// What fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failing {
    /// An accelerator is lost: its driver or its power is gone.
    Accelerator(AcceleratorId),
    /// The sensor of this name sees nothing.
    Sensor(String),
    /// The battery cannot be read.
    Meter,
}

/// Somebody holds a power mode for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModeHold {
    /// From when on.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// The mode.
    pub mode: Mode,
    /// Who holds it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// What a sensor sends at a given moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// The sensor.
    pub sensor: String,
    /// When.
    pub time: Duration,
    /// What.
    pub what: Arrival,
}

/// What a sensor sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A question of so many tokens, whose answer has so many.
    Question {
        /// Tokens of the question.
        tokens: u32,
        /// Tokens of the answer, if no bound of the graph ends it earlier.
        answer: u32,
    },
    /// A frame in which something has moved since the one before, or nothing has.
    Frame {
        /// Whether something has moved.
        moving: bool,
    },
}

impl Default for Scenario {
    /// A day from midnight on in which nothing happens.
    fn default() -> Scenario {
        Scenario {
            name: "nothing happens".to_owned(),
            begins: Duration::ZERO,
            lasts: DAY,
            level: 1.0,
            ambient: Vec::new(),
            prompts: Prompts::default(),
            motion: Motion::default(),
            picture: (640, 480),
            charging: Vec::new(),
            faults: Vec::new(),
            holds: Vec::new(),
            recorded: Vec::new(),
        }
    }
}

impl Default for Prompts {
    /// Nobody asks.
    fn default() -> Prompts {
        Prompts { at: Vec::new(), by_hour: Vec::new(), tokens: 8..=24, answers: 20..=60 }
    }
}

impl Default for Motion {
    /// Nothing moves.
    fn default() -> Motion {
        Motion { at: Vec::new(), by_hour: Vec::new(), lasts: Duration::from_secs(5)..=Duration::from_secs(60) }
    }
}

/// 24 hours.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// The temperature where a scenario says nothing, in degrees Celsius.
pub(super) const ROOM_C: f64 = 22.0;

impl Scenario {
    /// The temperature around the device at the beginning, in degrees Celsius.
    pub fn ambient_at_start(&self) -> f64 {
        self.ambient.iter().take_while(|ambient| ambient.from.is_zero()).last().map_or(ROOM_C, |first| first.celsius)
    }
}
