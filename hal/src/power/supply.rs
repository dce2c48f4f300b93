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
pub(super) fn read(root: &Path, at: Timestamp) -> Result<Option<BatteryReading>, BatteryError> {
    let mut supplies = Vec::new();
    for folder in devices(&root.join("sys/class/power_supply"), "") {
        if is_battery(&folder)? {
            supplies.push(Supply::read(&folder)?);
        }
    }
    Ok((!supplies.is_empty()).then(|| together(&supplies, at)))
}

/// Whether the supply is a battery that is there and that the machine itself lives on.
fn is_battery(folder: &Path) -> Result<bool, AttributeError> {
    Ok(text(&folder.join("type"))?.as_deref() == Some("Battery")
        && text(&folder.join("scope"))?.as_deref() != Some("Device")
        && number(&folder.join("present"))? != Some(0))
}

impl Supply {
    fn read(folder: &Path) -> Result<Supply, BatteryError> {
        let micro = |name: &str| Ok::<_, AttributeError>(amount(&folder.join(name))?.map(|value| value * MICRO));
        // Current flows either way, and drivers disagree on which is positive: the status says it.
        let magnitude = |name: &str| {
            let value = number(&folder.join(name))?;
            Ok::<_, AttributeError>(value.map(|value| value.unsigned_abs() as f64 * MICRO))
        };
        let volts = micro("voltage_now")?;
        let (level, full_wh) = match (micro("energy_now")?, micro("energy_full")?) {
            (Some(now), Some(full)) if full > 0.0 => (now / full, Some(full)),
            _ => match (micro("charge_now")?, micro("charge_full")?) {
                (Some(now), Some(full)) if full > 0.0 => (now / full, volts.map(|volts| full * volts)),
                _ => (capacity(folder)?, None),
            },
        };
        let watts = match magnitude("power_now")? {
            Some(watts) => Some(watts),
            None => magnitude("current_now")?.zip(volts).map(|(amperes, volts)| amperes * volts),
        };
        Ok(Supply {
            level,
            full_wh,
            status: status(text(&folder.join("status"))?.as_deref()),
            watts,
            volts,
            // Tenths of a degree.
            temperature_c: number(&folder.join("temp"))?.map(|tenths| tenths as f64 / 10.0),
        })
    }
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
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// A machine with these supplies, each a name and its files.
    fn machine(supplies: &[(&str, &[(&str, &str)])]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (name, files) in supplies {
            let folder = root.path().join("sys/class/power_supply").join(name);
            fs::create_dir_all(&folder).expect("a folder");
            for (file, text) in *files {
                fs::write(folder.join(file), format!("{text}\n")).expect("a file");
            }
        }
        root
    }

    fn reading(supplies: &[(&str, &[(&str, &str)])]) -> Option<BatteryReading> {
        read(machine(supplies).path(), Timestamp::default()).expect("a reading")
    }

    fn error(files: &[(&str, &str)]) -> String {
        let root = machine(&[("BAT0", files)]);
        let error = read(root.path(), Timestamp::default()).expect_err("an error").to_string();
        error.replace(&format!("{}/sys/class/power_supply", root.path().display()), "…")
    }

    const LAPTOP: &[(&str, &str)] = &[
        ("type", "Battery"),
        ("present", "1"),
        ("status", "Discharging"),
        ("energy_now", "30000000"),
        ("energy_full", "40000000"),
        ("power_now", "12500000"),
        ("voltage_now", "11400000"),
        ("temp", "312"),
    ];

    #[test]
    fn a_laptop_tells_energy_power_voltage_and_temperature() {
        let battery = reading(&[("AC", &[("type", "Mains"), ("online", "0")]), ("BAT0", LAPTOP)]).expect("a battery");
        assert_eq!(battery.level.to_string(), "75 %");
        assert_eq!(battery.status, ChargeStatus::Discharging);
        assert_eq!((battery.watts, battery.volts, battery.temperature_c), (Some(12.5), Some(11.4), Some(31.2)));
        assert_eq!(battery.full_wh, Some(40.0));
    }

    #[test]
    fn a_board_tells_charge_and_a_current_of_either_sign() {
        let files = [
            ("type", "Battery"),
            ("status", "Charging"),
            ("charge_now", "1000000"),
            ("charge_full", "2000000"),
            ("current_now", "-500000"),
            ("voltage_now", "4000000"),
        ];
        let battery = reading(&[("rk817-battery", &files)]).expect("a battery");
        assert_eq!((battery.level.fraction(), battery.status, battery.watts), (0.5, ChargeStatus::Charging, Some(2.0)));
    }

    #[test]
    fn a_gauge_that_knows_percent_only_has_no_measured_power() {
        let battery = reading(&[("gauge", &[("type", "Battery"), ("capacity", "7")])]).expect("a battery");
        assert_eq!((battery.level.to_string(), battery.status), ("7 %".to_owned(), ChargeStatus::Unknown));
        assert_eq!((battery.watts, battery.volts, battery.temperature_c), (None, None, None));
        assert_eq!(battery.full_wh, None);
    }

    #[test]
    fn batteries_of_mice_absent_ones_and_chargers_do_not_count() {
        let mouse = [("type", "Battery"), ("scope", "Device"), ("capacity", "3")];
        let absent = [("type", "Battery"), ("present", "0")];
        assert_eq!(reading(&[("hidpp", &mouse), ("BAT1", &absent), ("usb", &[("type", "USB")])]), None);
        assert_eq!(reading(&[]), None);
    }

    #[test]
    fn two_batteries_count_by_what_they_hold_and_discharge_if_one_does() {
        let small = [
            ("type", "Battery"),
            ("status", "Full"),
            ("energy_now", "10000000"),
            ("energy_full", "10000000"),
            ("power_now", "0"),
        ];
        let battery = reading(&[("BAT0", LAPTOP), ("BAT1", &small)]).expect("a battery");
        assert_eq!(
            (battery.level.fraction(), battery.status, battery.watts),
            (0.8, ChargeStatus::Discharging, Some(12.5))
        );
        let percent = [("type", "Battery"), ("status", "Full"), ("capacity", "25")];
        let battery = reading(&[("BAT0", LAPTOP), ("BAT1", &percent)]).expect("a battery");
        assert_eq!((battery.level.fraction(), battery.watts), (0.5, None), "one of them measures no power");
    }

    #[test]
    fn more_than_full_is_full_and_a_full_of_zero_falls_back_to_percent() {
        let over = [("type", "Battery"), ("energy_now", "41"), ("energy_full", "40")];
        assert_eq!(reading(&[("BAT0", &over)]).expect("a battery").level.fraction(), 1.0);
        let broken = [("type", "Battery"), ("energy_now", "41"), ("energy_full", "0"), ("capacity", "60")];
        assert_eq!(reading(&[("BAT0", &broken)]).expect("a battery").level.fraction(), 0.6);
    }

    #[test]
    fn garbage_is_an_error_that_names_the_file() {
        let battery = ("type", "Battery");
        assert_eq!(
            error(&[battery, ("energy_now", "lots"), ("energy_full", "40")]),
            "…/BAT0/energy_now: expected a whole number, found \"lots\""
        );
        assert_eq!(error(&[battery, ("capacity", "101")]), "…/BAT0/capacity: expected 0 to 100, found 101");
        assert_eq!(
            error(&[battery, ("charge_now", "-4"), ("charge_full", "4")]),
            "…/BAT0/charge_now: expected zero or more, found -4"
        );
        assert_eq!(
            error(&[battery]),
            "…/BAT0: expected energy_now with energy_full, charge_now with charge_full, or capacity, found none of them"
        );
        let root = machine(&[("BAT0", &[battery])]);
        fs::create_dir(root.path().join("sys/class/power_supply/BAT0/capacity")).expect("a folder");
        let error = read(root.path(), Timestamp::default()).expect_err("a folder for a file").to_string();
        assert!(error.contains("BAT0/capacity: Is a directory"), "{error}");
    }
}
