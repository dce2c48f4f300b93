//! The battery that the machine runs on: how full it is and what it gives, from whichever source.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::attribute::AttributeError;
use super::simulated::SimulatedBattery;
use super::supply;
use super::trace::BatteryTrace;
use crate::clock::{Clock, Timestamp};

/// Where battery readings come from.
#[derive(Clone, Debug, PartialEq)]
pub enum BatterySource {
    /// The kernel's power supplies, under `sys/class/power_supply` in `root`. All batteries of the machine count as
    /// one; those of a mouse or a headset do not count.
    Sysfs {
        /// The root of the file system: `/`, but for tests.
        root: PathBuf,
    },
    /// A recording that is played by the clock.
    Trace(BatteryTrace),
    /// A simulated one, which a simulation draws from.
    Simulated(SimulatedBattery),
    /// No battery: the machine lives on mains.
    None,
}

impl BatterySource {
    /// The batteries of this machine.
    pub fn system() -> BatterySource {
        BatterySource::Sysfs { root: Path::new("/").to_owned() }
    }

    /// How the battery is now; `None` if there is none. Reads some small files, which takes well below a millisecond
    /// with most drivers.
    ///
    /// # Errors
    /// A file cannot be read, or holds what it should not.
    pub fn read(&self, clock: &Clock) -> Result<Option<BatteryReading>, BatteryError> {
        let now = clock.now();
        match self {
            BatterySource::Sysfs { root } => supply::read(root, now),
            BatterySource::Trace(trace) => Ok(Some(trace.at(now))),
            BatterySource::Simulated(battery) if battery.is_silent() => Err(BatteryError::Silent),
            BatterySource::Simulated(battery) => Ok(Some(battery.read(now))),
            BatterySource::None => Ok(None),
        }
    }
}

/// A battery at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatteryReading {
    /// When it was read.
    pub at: Timestamp,
    /// How full it is.
    pub level: StateOfCharge,
    /// Which way it goes.
    pub status: ChargeStatus,
    /// What it gives while discharging, or takes while charging, in watts; never below zero. `None`: not measured.
    pub watts: Option<f64>,
    /// Its voltage. `None`: not measured.
    pub volts: Option<f64>,
    /// Its temperature in degrees Celsius. `None`: not measured.
    pub temperature_c: Option<f64>,
    /// What it holds when full, in watt-hours. `None`: it does not say.
    pub full_wh: Option<f64>,
}

/// How full a battery is: 0 is empty, 1 is full.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct StateOfCharge(f64);

impl StateOfCharge {
    /// Full.
    pub const FULL: StateOfCharge = StateOfCharge(1.0);

    /// Empty.
    pub const EMPTY: StateOfCharge = StateOfCharge(0.0);

    /// A state of charge from 0 to 1; `None` outside of that.
    pub fn new(fraction: f64) -> Option<StateOfCharge> {
        (0.0..=1.0).contains(&fraction).then_some(StateOfCharge(fraction))
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0
    }

    /// The nearest possible state: a battery that was calibrated when it was new may hold more than it should.
    pub(super) fn clamped(fraction: f64) -> StateOfCharge {
        StateOfCharge(fraction.clamp(0.0, 1.0))
    }
}

impl fmt::Display for StateOfCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %", self.0 * 100.0)
    }
}

impl TryFrom<f64> for StateOfCharge {
    type Error = StateOfChargeError;

    fn try_from(fraction: f64) -> Result<StateOfCharge, StateOfChargeError> {
        StateOfCharge::new(fraction).ok_or(StateOfChargeError { found: fraction })
    }
}

impl From<StateOfCharge> for f64 {
    fn from(level: StateOfCharge) -> f64 {
        level.0
    }
}

/// A number that is no state of charge.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("expected a state of charge from 0 to 1, found {found}")]
pub struct StateOfChargeError {
    /// The number.
    pub found: f64,
}

/// Which way a battery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeStatus {
    /// It is being charged.
    Charging,
    /// The machine lives on it.
    Discharging,
    /// It is full, or kept where it is while the machine lives on mains.
    Full,
    /// It does not say.
    Unknown,
}

impl ChargeStatus {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            ChargeStatus::Charging => "charging",
            ChargeStatus::Discharging => "discharging",
            ChargeStatus::Full => "full",
            ChargeStatus::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ChargeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a battery could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BatteryError {
    /// One of its files cannot be read, or holds what it should not.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// A simulated one is to say nothing just now.
    #[error("the simulated battery does not answer")]
    Silent,
    /// It says in none of the known ways how full it is.
    #[error("{}: expected energy_now with energy_full, charge_now with charge_full, or capacity, found none of them", path.display())]
    NoLevel {
        /// Its folder.
        path: PathBuf,
    },
}
