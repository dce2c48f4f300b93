//! The power mode: what a run aims for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the run aims for now. The names are those of power-profiles-daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
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
    /// How much energy weighs against latency: 0 not at all, 1 energy alone.
    pub(super) fn thrift(self) -> f64 {
        match self {
            Mode::Performance => 0.0,
            Mode::Balanced => 0.5,
            Mode::PowerSaver => 1.0,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Performance => "performance",
            Mode::Balanced => "balanced",
            Mode::PowerSaver => "power-saver",
        })
    }
}
