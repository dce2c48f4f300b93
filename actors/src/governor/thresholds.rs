//! Thresholds of battery and temperature: which power mode is due, with hysteresis, and what α the level makes.

use nanomind_graphs::PowerPolicy;

use super::decision::Reason;
use super::mode::Mode;
use super::observation::BatteryObservation;

/// How far the level must pass a threshold before the mode that it guards is left again, as a fraction of the battery.
const HYSTERESIS: f64 = 0.02;
/// The states of charge between which α falls where the policy names none: those of the NANOMIND paper.
const DEFAULT_THRESHOLDS: (f64, f64) = (0.50, 0.20);
/// At or above this the mode is one step down, in degrees Celsius: small boards begin to throttle at 80 to 85.
const HOT_C: f64 = 78.0;
/// At or below this it is so no longer.
const COOL_C: f64 = 68.0;

/// The states of charge of a policy, `(high, low)`.
fn thresholds(policy: PowerPolicy) -> (f64, f64) {
    match policy {
        PowerPolicy::Adaptive { high, low } | PowerPolicy::AlphaRule { high, low } => (high, low),
        PowerPolicy::Performance | PowerPolicy::Balanced | PowerPolicy::PowerSaver => DEFAULT_THRESHOLDS,
    }
}

/// The mode that `policy` wants for this battery, coming from `mode`, and why.
pub(super) fn due_mode(mode: Mode, policy: PowerPolicy, battery: Option<BatteryObservation>) -> (Mode, Reason) {
    let (high, low) = match policy {
        PowerPolicy::Performance => return (Mode::Performance, Reason::Policy),
        PowerPolicy::Balanced => return (Mode::Balanced, Reason::Policy),
        PowerPolicy::PowerSaver => return (Mode::PowerSaver, Reason::Policy),
        PowerPolicy::Adaptive { .. } | PowerPolicy::AlphaRule { .. } => thresholds(policy),
    };
    let Some(battery) = battery else { return (Mode::Performance, Reason::NoBattery) };
    if battery.charging {
        return (Mode::Performance, Reason::Charging { level: battery.level });
    }
    let level = battery.level;
    // Each threshold lies where the present mode is left last, so that a level that hovers changes nothing.
    let low = if mode == Mode::PowerSaver { low + HYSTERESIS } else { low };
    let high = if mode == Mode::Performance { high - HYSTERESIS } else { high };
    if level <= low {
        (Mode::PowerSaver, Reason::BatteryLevel { level, threshold: low })
    } else if level >= high {
        (Mode::Performance, Reason::BatteryLevel { level, threshold: high })
    } else {
        let threshold = if mode == Mode::PowerSaver { low } else { high };
        (Mode::Balanced, Reason::BatteryLevel { level, threshold })
    }
}

/// α = (level − low) / (high − low), from 0 to 1; `None` where there is no battery to save.
pub(super) fn alpha(policy: PowerPolicy, battery: Option<BatteryObservation>) -> Option<f64> {
    let battery = battery.filter(|battery| !battery.charging)?;
    let (high, low) = thresholds(policy);
    Some(((battery.level - low) / (high - low)).clamp(0.0, 1.0))
}

/// Whether it is hot, having been so or not, and the threshold that says so.
pub(super) fn heat(was_hot: bool, temperature_c: Option<f64>) -> (bool, f64) {
    let threshold = if was_hot { COOL_C } else { HOT_C };
    // A sensor that is silent says nothing new.
    let hot = temperature_c.map_or(was_hot, |celsius| if was_hot { celsius > threshold } else { celsius >= threshold });
    (hot, threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: PowerPolicy = PowerPolicy::Adaptive { high: 0.5, low: 0.2 };

    fn battery(level: f64, charging: bool) -> Option<BatteryObservation> {
        Some(BatteryObservation { level, charging, watts: None })
    }

    fn follow(levels: &[f64]) -> Vec<Mode> {
        let mut mode = Mode::Performance;
        levels
            .iter()
            .map(|&level| {
                mode = due_mode(mode, ADAPTIVE, battery(level, false)).0;
                mode
            })
            .collect()
    }

    #[test]
    fn a_level_that_hovers_round_a_threshold_changes_the_mode_once() {
        use Mode::{Balanced, Performance, PowerSaver};
        assert_eq!(
            follow(&[0.6, 0.499, 0.501, 0.47, 0.49, 0.501]),
            [Performance, Performance, Performance, Balanced, Balanced, Performance]
        );
        assert_eq!(follow(&[0.3, 0.2, 0.21, 0.199, 0.23]), [Balanced, PowerSaver, PowerSaver, PowerSaver, Balanced]);
    }

    #[test]
    fn a_charger_or_a_machine_without_battery_means_performance() {
        assert_eq!(due_mode(Mode::PowerSaver, ADAPTIVE, battery(0.05, true)).0, Mode::Performance);
        assert_eq!(due_mode(Mode::PowerSaver, ADAPTIVE, None), (Mode::Performance, Reason::NoBattery));
    }

    #[test]
    fn alpha_falls_from_one_to_nothing_between_the_thresholds() {
        let of = |level| alpha(ADAPTIVE, battery(level, false)).unwrap();
        assert_eq!([of(0.9), of(0.5), of(0.2), of(0.0)], [1.0, 1.0, 0.0, 0.0]);
        assert!((of(0.35) - 0.5).abs() < 1e-12);
        assert_eq!(alpha(ADAPTIVE, battery(0.3, true)), None);
        assert_eq!(alpha(PowerPolicy::Balanced, battery(0.35, false)), Some(of(0.35)), "the paper's thresholds");
    }

    #[test]
    fn heat_comes_and_goes_at_different_temperatures() {
        let mut hot = false;
        let felt = [70.0, 77.9, 78.0, 70.0, 68.1, 68.0, 77.0].map(|celsius| {
            hot = heat(hot, Some(celsius)).0;
            hot
        });
        assert_eq!(felt, [false, false, true, true, true, false, false]);
        assert!(heat(true, None).0, "a silent sensor changes nothing");
    }
}
