//! The text of a scenario: RON, each mistake with its place.
//!
//! ```ron
//! Scenario(
//!     name: "an evening",
//!     begins: "17:00",                    // the time of day; by default "00:00"
//!     lasts: "6h",                        // by default "24h"; an empty battery ends it earlier
//!     level: 0.8,                         // how full the battery is at the beginning; by default 1
//!     ambient: [(from: "0h", celsius: 18), (from: "2h", celsius: 30)],    // by default 22
//!     prompts: (
//!         at: [(time: "10min", tokens: 12, answer: 40)],                  // since the beginning
//!         by_hour: [(from: "17:00", to: "22:00", rate: 7)],               // by chance, so many an hour
//!         tokens: (8, 24),                // of a question that comes by chance: from, to
//!         answers: (20, 60),              // of an answer of which nothing else is said
//!     ),
//!     motion: (
//!         at: [(time: "30min", lasts: "2min")],
//!         by_hour: [(from: "17:00", to: "22:00", rate: 12)],
//!         lasts: ("5s", "60s"),           // of motion that comes by chance: from, to
//!     ),
//!     picture: (640, 480),                // pixels, where the graph does not say
//!     charging: [(from: "3h", to: "4h", watts: 5)],
//!     faults: [
//!         Accelerator(name: "npu", from: "1h", to: "2h"),
//!         Sensor(node: "source.picture", from: "5h", to: "5.5h"),
//!         Meter(from: "1h", to: "3h"),
//!     ],
//!     holds: [(mode: "power-saver", from: "4h", to: "5h", owner: "a person", reason: "dinner")],
//! )
//! ```
//!
//! Every field but `name` may be left out: then nothing of the kind happens.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use nanomind_graphs::nearest_word;
use nanomind_hal::{AcceleratorId, ron_fault};
use ron::extensions::Extensions;
use serde::Deserialize;

use super::mistake::ScenarioError;
use super::values::{Celsius, ChargerWatts, Level, NamedMode, PerHour, Side, Time, TimeOfDay, Tokens};
use super::{Ambient, Charging, Failing, Fault, ModeHold, Motion, Moving, Prompts, Question, Rate, Scenario};

/// A scenario is no larger than this: a year of questions by the minute would fit.
const MAX_BYTES: u64 = 64 << 20;

impl Scenario {
    /// Reads the scenario at `path`.
    ///
    /// # Errors
    /// It cannot be read, is larger than 64 MiB, or is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Scenario, ScenarioError> {
        let path = path.as_ref();
        let failed = |source| ScenarioError::Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(ScenarioError::TooLarge { path: path.to_owned(), limit: MAX_BYTES });
        }
        Scenario::parse(path, &text)
    }

    /// Reads the text of a scenario; `path` is what errors call it.
    ///
    /// # Errors
    /// It is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Scenario, ScenarioError> {
        let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
        let written: Written = options.from_str(text).map_err(|error| ScenarioError::Wrong {
            path: path.to_owned(),
            line: error.span.start.line,
            column: error.span.start.col,
            what: ron_fault::describe(&error, text, |found, expected| nearest_word(found, expected.iter().copied())),
        })?;
        Ok(written.into())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Scenario")]
struct Written {
    name: String,
    begins: Option<TimeOfDay>,
    lasts: Option<Time>,
    level: Option<Level>,
    #[serde(default)]
    ambient: AmbientList,
    #[serde(default)]
    prompts: WrittenPrompts,
    #[serde(default)]
    motion: WrittenMotion,
    picture: Option<(Side, Side)>,
    #[serde(default)]
    charging: Vec<WrittenCharging>,
    #[serde(default)]
    faults: Vec<WrittenFault>,
    #[serde(default)]
    holds: Vec<WrittenHold>,
}

impl From<Written> for Scenario {
    fn from(written: Written) -> Scenario {
        let nothing = Scenario::default();
        Scenario {
            name: written.name,
            begins: written.begins.map_or(nothing.begins, |time| time.0),
            lasts: written.lasts.map_or(nothing.lasts, |time| time.0),
            level: written.level.map_or(nothing.level, |level| level.0),
            ambient: written.ambient.0,
            prompts: written.prompts.into(),
            motion: written.motion.into(),
            picture: written.picture.map_or(nothing.picture, |(width, height)| (width.pixels(), height.pixels())),
            charging: written.charging.into_iter().map(|charging| charging.0).collect(),
            faults: written.faults.into_iter().map(|fault| fault.0).collect(),
            holds: written.holds.into_iter().map(|hold| hold.0).collect(),
            recorded: Vec::new(),
        }
    }
}

/// Two values of which the second is the smaller one.
#[derive(Debug, thiserror::Error)]
#[error("expected {what}, after {from}, found {to}")]
struct OrderError {
    what: &'static str,
    from: String,
    to: String,
}

fn in_order<T: PartialOrd + Display>(what: &'static str, from: T, to: T) -> Result<(), OrderError> {
    (from < to).then_some(()).ok_or_else(|| OrderError { what, from: from.to_string(), to: to.to_string() })
}

/// Temperatures, in the order of time.
#[derive(Default, Deserialize)]
#[serde(try_from = "Vec<WrittenAmbient>")]
struct AmbientList(Vec<Ambient>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAmbient {
    from: Time,
    celsius: Celsius,
}

impl TryFrom<Vec<WrittenAmbient>> for AmbientList {
    type Error = OrderError;

    fn try_from(written: Vec<WrittenAmbient>) -> Result<AmbientList, OrderError> {
        for pair in written.windows(2) {
            in_order("temperatures in the order of time, the next one", pair[0].from, pair[1].from)?;
        }
        let ambient = |one: WrittenAmbient| Ambient { from: one.from.0, celsius: one.celsius.0 };
        Ok(AmbientList(written.into_iter().map(ambient).collect()))
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenPrompts {
    at: Vec<WrittenQuestion>,
    by_hour: Vec<WrittenRate>,
    tokens: Option<Between<Tokens>>,
    answers: Option<Between<Tokens>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenQuestion {
    time: Time,
    tokens: Tokens,
    answer: Tokens,
}

impl From<WrittenPrompts> for Prompts {
    fn from(written: WrittenPrompts) -> Prompts {
        let nobody = Prompts::default();
        let tokens = |range: Between<Tokens>| range.0.count()..=range.1.count();
        let question = |one: WrittenQuestion| Question {
            time: one.time.0,
            tokens: one.tokens.count(),
            answer: one.answer.count(),
        };
        Prompts {
            at: written.at.into_iter().map(question).collect(),
            by_hour: written.by_hour.into_iter().map(Rate::from).collect(),
            tokens: written.tokens.map_or(nobody.tokens, tokens),
            answers: written.answers.map_or(nobody.answers, tokens),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenMotion {
    at: Vec<WrittenMoving>,
    by_hour: Vec<WrittenRate>,
    lasts: Option<Between<Time>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMoving {
    time: Time,
    lasts: Time,
}

impl From<WrittenMotion> for Motion {
    fn from(written: WrittenMotion) -> Motion {
        let spans = |range: Between<Time>| -> RangeInclusive<Duration> { range.0.0..=range.1.0 };
        Motion {
            at: written.at.into_iter().map(|one| Moving { time: one.time.0, lasts: one.lasts.0 }).collect(),
            by_hour: written.by_hour.into_iter().map(Rate::from).collect(),
            lasts: written.lasts.map_or(Motion::default().lasts, spans),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRate {
    from: TimeOfDay,
    to: TimeOfDay,
    rate: PerHour,
}

impl From<WrittenRate> for Rate {
    fn from(written: WrittenRate) -> Rate {
        Rate { from: written.from.0, to: written.to.0, per_hour: written.rate.0 }
    }
}

/// `(from, to)`, which may be equal.
#[derive(Deserialize)]
#[serde(try_from = "(T, T)", bound(deserialize = "T: Deserialize<'de> + PartialOrd + Display + Copy"))]
struct Between<T>(T, T);

impl<T: PartialOrd + Display + Copy> TryFrom<(T, T)> for Between<T> {
    type Error = OrderError;

    fn try_from((from, to): (T, T)) -> Result<Between<T>, OrderError> {
        if from != to {
            in_order("the least and the most, the most", from, to)?;
        }
        Ok(Between(from, to))
    }
}

const UNTIL: &str = "`to`";

#[derive(Deserialize)]
#[serde(try_from = "PlainCharging")]
struct WrittenCharging(Charging);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainCharging {
    from: Time,
    to: Time,
    watts: ChargerWatts,
}

impl TryFrom<PlainCharging> for WrittenCharging {
    type Error = OrderError;

    fn try_from(plain: PlainCharging) -> Result<WrittenCharging, OrderError> {
        in_order(UNTIL, plain.from, plain.to)?;
        Ok(WrittenCharging(Charging { from: plain.from.0, to: plain.to.0, watts: plain.watts.0 }))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "PlainFault")]
struct WrittenFault(Fault);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Fault")]
enum PlainFault {
    Accelerator { name: AcceleratorId, from: Time, to: Time },
    Sensor { node: String, from: Time, to: Time },
    Meter { from: Time, to: Time },
}

impl TryFrom<PlainFault> for WrittenFault {
    type Error = OrderError;

    fn try_from(plain: PlainFault) -> Result<WrittenFault, OrderError> {
        let (what, from, to) = match plain {
            PlainFault::Accelerator { name, from, to } => (Failing::Accelerator(name), from, to),
            PlainFault::Sensor { node, from, to } => (Failing::Sensor(node), from, to),
            PlainFault::Meter { from, to } => (Failing::Meter, from, to),
        };
        in_order(UNTIL, from, to)?;
        Ok(WrittenFault(Fault { from: from.0, to: to.0, what }))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "PlainHold")]
struct WrittenHold(ModeHold);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainHold {
    mode: NamedMode,
    from: Time,
    to: Time,
    owner: String,
    reason: String,
}

impl TryFrom<PlainHold> for WrittenHold {
    type Error = OrderError;

    fn try_from(plain: PlainHold) -> Result<WrittenHold, OrderError> {
        let PlainHold { mode, from, to, owner, reason } = plain;
        in_order(UNTIL, from, to)?;
        Ok(WrittenHold(ModeHold { from: from.0, to: to.0, mode: mode.0, owner, reason }))
    }
}
