//! The values of a scenario as its text has them: each is bounded where it is read.

use std::fmt;
use std::time::Duration;

use nanomind_graphs::{parse_time, show_time};
use serde::Deserialize;

use super::DAY;
use crate::governor::Mode;

/// The longest that anything lasts: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A span of time, or a moment since the beginning: `"90s"`, `"1.5h"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Duration);

/// A time of day: `"07:30"`, up to `"24:00"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TimeOfDay(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_time(self.0))
    }
}

/// A text that is no time.
#[derive(Debug, thiserror::Error)]
pub(super) enum TimeError {
    #[error("expected a time such as \"90s\", \"5min\" or \"1.5h\", found {found:?}")]
    Time { found: String },
    #[error("expected at most a year, found {found:?}")]
    TooLong { found: String },
    #[error("expected a time of day from \"00:00\" to \"24:00\", found {found:?}")]
    TimeOfDay { found: String },
}

impl TryFrom<String> for Time {
    type Error = TimeError;

    fn try_from(found: String) -> Result<Time, TimeError> {
        match parse_time(&found) {
            None => Err(TimeError::Time { found }),
            Some(time) if time > LONGEST => Err(TimeError::TooLong { found }),
            Some(time) => Ok(Time(time)),
        }
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = TimeError;

    fn try_from(found: String) -> Result<TimeOfDay, TimeError> {
        let digits = |text: &str| -> Option<u64> {
            let are_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            are_two.then(|| text.parse().ok()).flatten()
        };
        let parts = found.split_once(':').and_then(|(hours, minutes)| digits(hours).zip(digits(minutes)));
        let time = parts.filter(|(_, minutes)| *minutes < 60);
        let time = time.map(|(hours, minutes)| Duration::from_secs(hours * 3600 + minutes * 60));
        time.filter(|time| *time <= DAY).map(TimeOfDay).ok_or(TimeError::TimeOfDay { found })
    }
}

/// A power mode by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NamedMode(pub(super) Mode);

/// A text that names no mode.
#[derive(Debug, thiserror::Error)]
#[error("expected \"performance\", \"balanced\" or \"power-saver\", found {found:?}")]
pub(super) struct ModeError {
    found: String,
}

impl TryFrom<String> for NamedMode {
    type Error = ModeError;

    fn try_from(found: String) -> Result<NamedMode, ModeError> {
        let modes = [Mode::Performance, Mode::Balanced, Mode::PowerSaver];
        let named = modes.into_iter().find(|mode| mode.to_string() == found);
        named.map(NamedMode).ok_or(ModeError { found })
    }
}

/// A number that lies outside of its bounds.
#[derive(Debug, thiserror::Error)]
#[error("expected {what} from {least} to {most}, found {found}")]
pub(super) struct BoundsError {
    what: &'static str,
    least: f64,
    most: f64,
    found: f64,
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $least:literal to $most:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Deserialize)]
        #[serde(try_from = "f64")]
        pub(super) struct $name(pub(super) f64);

        impl TryFrom<f64> for $name {
            type Error = BoundsError;

            fn try_from(found: f64) -> Result<$name, BoundsError> {
                let (least, most) = ($least as f64, $most as f64);
                let fits = (least..=most).contains(&found);
                fits.then_some($name(found)).ok_or(BoundsError { what: $what, least, most, found })
            }
        }
    )*};
}

numbers! {
    /// How full a battery is.
    Level: "a level", 0 to 1;
    /// A temperature.
    Celsius: "degrees Celsius", -60 to 120;
    /// What a charger gives.
    ChargerWatts: "watts", 0.01 to 1_000;
    /// Events an hour.
    PerHour: "events an hour", 0 to 36_000;
    /// Tokens of a question or an answer.
    Tokens: "tokens", 1 to 1_000_000;
    /// A side of a picture.
    Side: "pixels", 1 to 16_384;
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Tokens {
    pub(super) fn count(self) -> u32 {
        // Within bounds that fit.
        self.0 as u32
    }
}

impl Side {
    pub(super) fn pixels(self) -> u32 {
        self.0 as u32
    }
}
