//! The battery of a simulated device: its own, or one of another capacity.

use std::str::FromStr;
use std::time::Duration;

use nanomind_hal::profile::{BatteryProfile, DeviceProfile};
use nanomind_hal::{AcceleratorId, BatterySettings, MicroJoules, StateOfCharge, Warming};

use super::scenario::Scenario;

/// The voltage of a device without a battery of its own: that of a lithium cell.
const CELL_VOLTS: f64 = 3.7;

/// How much warmer than its surroundings a device gets in the end when everything in it works, in degrees: an estimate,
/// by which one that is built for a room bears that there, and not in the sun. Its battery is as warm as all of it.
const WARMEST: f64 = 50.0;

/// The time after which it is two thirds of the way there; an estimate too.
const WARMING_TIME: Duration = Duration::from_secs(300);

/// What a device lives on. As text: `2000mAh` or `50Wh`, as the label has it.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub enum BatteryChoice {
    /// The battery of its profile; mains, if it has none.
    #[default]
    Own,
    /// A battery that holds so many milliampere-hours at the voltage of its own one, or else 3.7 V. As much of it is usable
    /// as of its own one, or else all.
    MilliampHours(f64),
    /// A battery that holds so many watt-hours; as much of it is usable.
    WattHours(f64),
    /// None: it lives on mains.
    Mains,
}

/// A text that is no battery.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a capacity such as 2000mAh or 50Wh, above 0 and at most a million, found {found:?}")]
pub struct BatteryChoiceError {
    /// The text.
    pub found: String,
}

impl FromStr for BatteryChoice {
    type Err = BatteryChoiceError;

    fn from_str(text: &str) -> Result<BatteryChoice, BatteryChoiceError> {
        let number = |digits: &str| {
            let number = digits.trim().parse::<f64>().ok();
            number.filter(|number| *number > 0.0 && *number <= 1e6)
        };
        let milliamp_hours = text.strip_suffix("mAh").and_then(number).map(BatteryChoice::MilliampHours);
        let watt_hours = || text.strip_suffix("Wh").and_then(number).map(BatteryChoice::WattHours);
        milliamp_hours.or_else(watt_hours).ok_or_else(|| BatteryChoiceError { found: text.to_owned() })
    }
}

impl BatteryChoice {
    /// The energy that it gives the device from full to empty, in watt-hours; `None` on mains.
    pub fn usable_wh(self, device: &DeviceProfile) -> Option<f64> {
        let own = device.battery.as_ref();
        let volts = own.map_or(CELL_VOLTS, |own| own.voltage.value.get());
        let usable = own.map_or(1.0, |own| own.usable.value.get());
        match self {
            BatteryChoice::Own => own.map(BatteryProfile::usable_wh),
            BatteryChoice::MilliampHours(charge) => Some(charge / 1e3 * volts * usable),
            BatteryChoice::WattHours(energy) => Some(energy * usable),
            BatteryChoice::Mains => None,
        }
    }

    /// The battery at the beginning of a scenario; `None` on mains.
    pub(super) fn settings(self, device: &DeviceProfile, scenario: &Scenario) -> Option<BatterySettings> {
        let wh = self.usable_wh(device)?;
        let volts = device.battery.as_ref().map_or(CELL_VOLTS, |own| own.voltage.value.get());
        Some(BatterySettings {
            usable: MicroJoules::from_wh(wh),
            volts,
            level: StateOfCharge::new(scenario.level).unwrap_or(StateOfCharge::FULL),
            ambient_c: scenario.ambient_at_start(),
            warming: Some(warming(device)),
        })
    }
}

/// How a device warms by what it draws.
fn warming(device: &DeviceProfile) -> Warming {
    let whole = device.accelerators.iter().filter(|one| one.id == AcceleratorId::whole(one.id.kind()));
    let all: f64 = whole.map(|one| one.active.value.get()).sum::<f64>() + device.power.base.value.get();
    Warming { degrees_per_watt: WARMEST / all.max(0.1), time_constant: WARMING_TIME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_is_read_as_labels_have_it() {
        assert_eq!("2000mAh".parse(), Ok(BatteryChoice::MilliampHours(2000.0)));
        assert_eq!("49.5Wh".parse(), Ok(BatteryChoice::WattHours(49.5)));
        for text in ["", "2000", "mAh", "-3Wh", "0Wh", "NaNWh", "infWh", "3 V"] {
            let error = text.parse::<BatteryChoice>().unwrap_err().to_string();
            let expected = "expected a capacity such as 2000mAh or 50Wh, above 0 and at most a million, found";
            assert_eq!(error, format!("{expected} {text:?}"));
        }
    }

    #[test]
    fn the_same_charge_as_the_own_battery_is_the_own_battery() {
        let device = DeviceProfile::find("rk3566").unwrap();
        let settings = |choice: BatteryChoice| choice.settings(&device, &Scenario::day()).unwrap().usable;
        assert_eq!(settings(BatteryChoice::MilliampHours(2000.0)), settings(BatteryChoice::Own));
    }
}
