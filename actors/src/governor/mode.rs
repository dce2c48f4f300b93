//! The power mode: what a run aims for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the run aims for now, the most frugal last. The names are those of power-profiles-daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Latency first.
    #[default]
    Performance,
    /// Latency against energy.
    Balanced,
    /// Energy first.
    PowerSaver,
}

impl Mode {
    /// All modes, the most frugal last.
    pub const ALL: [Mode; 3] = [Mode::Performance, Mode::Balanced, Mode::PowerSaver];

    /// Its name: `performance`, `balanced` or `power-saver`.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Performance => "performance",
            Mode::Balanced => "balanced",
            Mode::PowerSaver => "power-saver",
        }
    }

    /// The next more frugal one; the most frugal stays.
    pub fn stepped_down(self) -> Mode {
        match self {
            Mode::Performance => Mode::Balanced,
            Mode::Balanced | Mode::PowerSaver => Mode::PowerSaver,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is no mode's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected performance, balanced or power-saver, found {found:?}")]
pub struct ModeError {
    /// The text.
    pub found: String,
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Mode, ModeError> {
        Mode::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| ModeError { found: text.to_owned() })
    }
}
