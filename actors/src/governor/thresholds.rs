//! The battery thresholds: which power mode a policy wants, with hysteresis.

use nanomind_graphs::PowerPolicy;

use super::decision::Reason;
use super::mode::Mode;
use super::observation::BatteryObservation;

/// How far the level must pass a threshold before the mode that it guards is left again, as a fraction of the battery.
const HYSTERESIS: f64 = 0.02;

/// The mode that `policy` wants for this battery, coming from `mode`, and why.
pub(super) fn next_mode(mode: Mode, policy: PowerPolicy, battery: Option<BatteryObservation>) -> (Mode, Reason) {
    let (high, low) = match policy {
        PowerPolicy::Performance => return (Mode::Performance, Reason::Policy),
        PowerPolicy::Balanced => return (Mode::Balanced, Reason::Policy),
        PowerPolicy::PowerSaver => return (Mode::PowerSaver, Reason::Policy),
        PowerPolicy::Adaptive { high, low } => (high, low),
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

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: PowerPolicy = PowerPolicy::Adaptive { high: 0.5, low: 0.2 };

    fn follow(levels: &[f64]) -> Vec<Mode> {
        let mut mode = Mode::Performance;
        levels
            .iter()
            .map(|&level| {
                mode = next_mode(mode, ADAPTIVE, Some(BatteryObservation { level, charging: false })).0;
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
        let charging = Some(BatteryObservation { level: 0.05, charging: true });
        assert_eq!(next_mode(Mode::PowerSaver, ADAPTIVE, charging).0, Mode::Performance);
        assert_eq!(next_mode(Mode::PowerSaver, ADAPTIVE, None), (Mode::Performance, Reason::NoBattery));
    }
}
