//! The kernel's power supplies: all batteries of the machine, read as one.

use std::path::Path;

use super::attribute::{AttributeError, amount, devices, number, text};
use super::battery::{BatteryError, BatteryReading, ChargeStatus, StateOfCharge};
use crate::clock::Timestamp;

/// Millionths: the kernel counts in micro-units.
const MICRO: f64 = 1e-6;

/// One battery.
struct Supply {
    level: f64,
    /// What it holds when full, in watt-hours, where that is known.
    full_wh: Option<f64>,
    status: ChargeStatus,
    watts: Option<f64>,
    volts: Option<f64>,
    temperature_c: Option<f64>,
}

/// Reads the batteries under `root` as one; `None` if there is none.
///
/// A battery that is taken out while it is read is not there; one of several that cannot be read does not count, so that
/// the others are still heard.
pub(super) fn read(root: &Path, at: Timestamp) -> Result<Option<BatteryReading>, BatteryError> {
    let (mut supplies, mut failure) = (Vec::new(), None);
    for folder in devices(&root.join("sys/class/power_supply"), "") {
        if !is_battery(&folder)? {
            continue;
        }
        match Supply::read(&folder) {
            Ok(supply) => supplies.push(supply),
            // Asked anew: it may be gone by now, and then this is no failure.
            Err(error) => {
                if is_battery(&folder)? {
                    tracing::debug!("{error}");
                    failure.get_or_insert(error);
                }
            }
        }
    }
    match failure {
        Some(error) if supplies.is_empty() => Err(error),
        _ => Ok((!supplies.is_empty()).then(|| together(&supplies, at))),
    }
}

/// Whether the supply is a battery that is there and that the machine itself lives on. One that says in a way that nobody
/// understands whether it is there, is.
fn is_battery(folder: &Path) -> Result<bool, AttributeError> {
    Ok(text(&folder.join("type"))?.as_deref() == Some("Battery")
        && text(&folder.join("scope"))?.as_deref() != Some("Device")
        && text(&folder.join("present"))?.as_deref() != Some("0"))
}

impl Supply {
    fn read(folder: &Path) -> Result<Supply, BatteryError> {
        // All but the level may be missing: what cannot be read or is nonsense is not measured.
        let micro = |name: &str| known(amount(&folder.join(name))).map(|value| value * MICRO);
        // Current flows either way, and drivers disagree on which is positive: the status says it.
        let magnitude = |name: &str| {
            let value = known(number(&folder.join(name)));
            value.map(|value| value.unsigned_abs() as f64 * MICRO)
        };
        let volts = micro("voltage_now");
        let (level, full) = level(folder)?;
        let full_wh = match full {
            Full::WattHours(full) => Some(full),
            Full::AmpereHours(full) => volts.map(|volts| full * volts),
            Full::Unknown => None,
        };
        let watts = magnitude("power_now");
        let watts = watts.or_else(|| magnitude("current_now").zip(volts).map(|(amperes, volts)| amperes * volts));
        Ok(Supply {
            level,
            full_wh,
            status: status(known(text(&folder.join("status"))).as_deref()),
            watts,
            volts,
            // Tenths of a degree.
            temperature_c: known(number(&folder.join("temp"))).map(|tenths| tenths as f64 / 10.0),
        })
    }
}

/// What a battery says that it holds when full.
enum Full {
    WattHours(f64),
    AmpereHours(f64),
    Unknown,
}

/// The level by the first pair of files that tells it: energy, charge, or percent. Where none does, the first thing that
/// was wrong with them is the error.
fn level(folder: &Path) -> Result<(f64, Full), BatteryError> {
    let ratio = |now: &str, full: &str| {
        let pair = (amount(&folder.join(now))?, amount(&folder.join(full))?);
        Ok::<_, AttributeError>(match pair {
            (Some(now), Some(full)) if full > 0.0 => Some((now / full, full * MICRO)),
            _ => None,
        })
    };
    let (energy, charge) = (ratio("energy_now", "energy_full"), ratio("charge_now", "charge_full"));
    let wrong = match (energy, charge) {
        (Ok(Some((level, full))), _) => return Ok((level, Full::WattHours(full))),
        (_, Ok(Some((level, full)))) => return Ok((level, Full::AmpereHours(full))),
        (Err(error), _) | (_, Err(error)) => Some(error),
        (Ok(None), Ok(None)) => None,
    };
    match (capacity(folder), wrong) {
        (Ok(level), _) => Ok((level, Full::Unknown)),
        (Err(_), Some(wrong)) => Err(wrong.into()),
        (Err(error), None) => Err(error),
    }
}

/// What was read, if it was; what is wrong with it is for whoever looks for it.
fn known<T>(read: Result<Option<T>, AttributeError>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::debug!("{error}");
        None
    })
}

/// The level of a battery that only says so many percent.
fn capacity(folder: &Path) -> Result<f64, BatteryError> {
    let path = folder.join("capacity");
    match number(&path)? {
        Some(percent @ 0..=100) => Ok(percent as f64 / 100.0),
        Some(found) => Err(AttributeError::OutOfRange { path, expected: "0 to 100", found }.into()),
        None => Err(BatteryError::NoLevel { path: folder.to_owned() }),
    }
}

fn status(text: Option<&str>) -> ChargeStatus {
    match text {
        Some("Charging") => ChargeStatus::Charging,
        Some("Discharging") => ChargeStatus::Discharging,
        Some("Full" | "Not charging") => ChargeStatus::Full,
        _ => ChargeStatus::Unknown,
    }
}

/// Several batteries as one: levels weighed by what each holds, or alike where that is not known of all; power is the
/// sum, and not measured where one is not; voltage is the first one's; temperature the warmest.
fn together(supplies: &[Supply], at: Timestamp) -> BatteryReading {
    let full: Option<Vec<f64>> = supplies.iter().map(|supply| supply.full_wh).collect();
    let full_wh = full.as_ref().map(|full| full.iter().sum());
    let weights = full.unwrap_or_else(|| vec![1.0; supplies.len()]);
    let weighted: f64 = supplies.iter().zip(&weights).map(|(supply, weight)| supply.level * weight).sum();
    let statuses = [ChargeStatus::Discharging, ChargeStatus::Charging, ChargeStatus::Unknown];
    let any = |status: &ChargeStatus| supplies.iter().any(|supply| supply.status == *status);
    BatteryReading {
        at,
        level: StateOfCharge::clamped(weighted / weights.iter().sum::<f64>()),
        status: statuses.into_iter().find(any).unwrap_or(ChargeStatus::Full),
        watts: supplies.iter().map(|supply| supply.watts).sum(),
        volts: supplies.iter().find_map(|supply| supply.volts),
        temperature_c: supplies.iter().filter_map(|supply| supply.temperature_c).reduce(f64::max),
        full_wh,
    }
}

#[cfg(test)]
mod tests;
