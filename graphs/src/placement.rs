//! Where a node may run, and how it is restarted.
use std::{fmt, time::Duration};

use nanomind_hal::AcceleratorId;
use serde::{Deserialize, Serialize};

use crate::units;

/// Where a node may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Wherever the governor finds best among the accelerators that can run it.
    Auto,
    /// There and nowhere else.
    Pin(AcceleratorId),
    /// On one of these, the first that can; the governor may move it among them. In a plan only those that exist here.
    Prefer(Vec<AcceleratorId>),
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Pin(name) => write!(f, "{name}"),
            Self::Prefer(names) => {
                for (index, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { " > " })?;
                }
                Ok(())
            }
        }
    }
}

/// What the supervisor does when a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// It stays down.
    Never,
    /// It is restarted after a failure, at most `max` times `within` a span.
    OnFailure {
        /// Restarts within the span.
        max: u32,
        /// The span.
        #[serde(serialize_with = "units::serialize_duration")]
        within: Duration,
    },
    /// It is restarted however it ended, at most `max` times `within` a span.
    Always {
        /// Restarts within the span.
        max: u32,
        /// The span.
        #[serde(serialize_with = "units::serialize_duration")]
        within: Duration,
    },
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self::OnFailure { max: 3, within: Duration::from_secs(60) }
    }
}

/// What the governor aims for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerPolicy {
    /// Latency first.
    Performance,
    /// Latency against energy.
    #[default]
    Balanced,
    /// Energy first.
    PowerSaver,
    /// By the battery's state of charge, both as fractions of 1, and by demand: only moving frames are looked at, the
    /// device stands by whenever nothing is asked of it, and weights stay as long as keeping them costs less than
    /// loading them again.
    Adaptive {
        /// At or above: latency first.
        high: f64,
        /// At or below: energy alone.
        low: f64,
    },
    /// By the battery's state of charge alone, literally as the NANOMIND paper (arXiv 2510.05109) has it: full parallel
    /// work, then α scales frame rate and working share, then On-Demand Cascade.
    AlphaRule {
        /// At or above: full parallel work.
        high: f64,
        /// At or below: standby until an event.
        low: f64,
    },
}

impl fmt::Display for PowerPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Performance => f.write_str("Performance"),
            Self::Balanced => f.write_str("Balanced"),
            Self::PowerSaver => f.write_str("PowerSaver"),
            Self::Adaptive { high, low } => write!(f, "Adaptive(high: {high:?}, low: {low:?})"),
            Self::AlphaRule { high, low } => write!(f, "AlphaRule(high: {high:?}, low: {low:?})"),
        }
    }
}
