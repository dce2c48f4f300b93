//! Power: what is known of batteries, energy and heat.

use std::path::Path;

use super::{Finding, FindingKind};
use crate::clock::{Clock, Timestamp};
use crate::power::{AttributeError, BatterySource, energy_meters, thermal_zones};

pub(super) fn batteries(root: &Path) -> Vec<Finding> {
    let kind = FindingKind::Battery;
    let battery = BatterySource::Sysfs { root: root.to_owned() };
    vec![match battery.read(&Clock::system()) {
        Ok(None) => Finding::none(
            kind,
            "the kernel shows no battery in /sys/class/power_supply",
            "none needed on mains; a recorded one can be played from a trace",
        ),
        Err(error) => {
            Finding::lacks(kind, "a battery", error.to_string(), "update the kernel, or report the file's text")
        }
        Ok(Some(reading)) => {
            let found = format!("{}, {}", reading.level, reading.status);
            match reading.watts {
                Some(watts) => Finding::works(kind, format!("{found}, {watts:.1} W")),
                None => Finding::lacks(kind, found, "a measurement of its power", "none: energy is not taken from it"),
            }
        }
    }]
}

pub(super) fn meters(root: &Path) -> Vec<Finding> {
    let kind = FindingKind::Energy;
    let meters = energy_meters(root);
    if meters.is_empty() {
        return vec![Finding::none(
            kind,
            "neither RAPL counters in /sys/class/powercap nor power sensors in /sys/class/hwmon",
            "virtual machines and many boards have none; energy stays unmeasured",
        )];
    }
    let finding = |mut meter: crate::power::EnergyMeter| match meter.read(Timestamp::default()) {
        Ok(_) => Finding::works(kind, meter.name()),
        Err(error @ AttributeError::NotAllowed { .. }) => Finding::lacks(
            kind,
            meter.name(),
            error.to_string(),
            &format!("sudo chmod a+r {} (until the next start)", meter.path().display()),
        ),
        Err(error) => Finding::lacks(kind, meter.name(), error.to_string(), "none: it is left out"),
    };
    meters.into_iter().map(finding).collect()
}

pub(super) fn zones(root: &Path) -> Vec<Finding> {
    let kind = FindingKind::Thermal;
    let zones = thermal_zones(root);
    if zones.is_empty() {
        let missing = "the kernel shows no zone in /sys/class/thermal";
        return vec![Finding::none(kind, missing, "virtual machines have none; heat is not looked at")];
    }
    let finding = |zone: crate::power::ThermalZone| match zone.read() {
        Ok(Some(celsius)) => Finding::works(kind, format!("{}, {celsius:.0} °C", zone.name())),
        Ok(None) => Finding::lacks(kind, zone.name(), "its sensor is off", "none: it is left out"),
        Err(error) => Finding::lacks(kind, zone.name(), error.to_string(), "none: it is left out"),
    };
    zones.into_iter().map(finding).collect()
}
