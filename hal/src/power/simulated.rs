//! A simulated battery: what a simulation draws from and charges, read like a real one.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::battery::{BatteryReading, ChargeStatus, StateOfCharge};
use super::energy::{FemtoJoules, MicroJoules, MicroWatts};
use crate::clock::Timestamp;
use crate::profile::BatteryProfile;

/// What a simulated battery is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatterySettings {
    /// What it gives from full to the moment at which the device turns itself off.
    pub usable: MicroJoules,
    /// Its voltage, which is taken to be steady.
    pub volts: f64,
    /// How full it is at the start: of what is usable.
    pub level: StateOfCharge,
    /// The temperature around it, in degrees Celsius.
    pub ambient_c: f64,
    /// How it warms; none: it stays as warm as what is around it.
    pub warming: Option<Warming>,
}

/// How something warms by the power that flows through it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warming {
    /// How much warmer it gets in the end, in degrees for each watt.
    pub degrees_per_watt: f64,
    /// The time after which it is two thirds of the way there.
    pub time_constant: Duration,
}

impl BatterySettings {
    /// The full battery of a profile, at 25 degrees.
    pub fn of(profile: &BatteryProfile) -> BatterySettings {
        BatterySettings {
            usable: MicroJoules::from_wh(profile.usable_wh()),
            volts: profile.voltage.value.get(),
            level: StateOfCharge::FULL,
            ambient_c: 25.0,
            warming: None,
        }
    }
}

/// A battery that is drawn from in simulated time. Clones are handles of the same battery. It is as it was when it was
/// drawn from last: whoever wants to know how it is now draws what was taken up to now first.
#[derive(Clone, Debug)]
pub struct SimulatedBattery {
    cell: Arc<Mutex<Cell>>,
}

#[derive(Debug)]
struct Cell {
    settings: BatterySettings,
    stored: MicroJoules,
    /// What the charger gives, and what of it is less than a microjoule.
    charger: Option<MicroWatts>,
    crumbs: FemtoJoules,
    at: Timestamp,
    /// The power that flowed in or out in the mean when time last passed.
    watts: f64,
    /// Whether it gave more than it took then.
    discharging: bool,
    temperature_c: f64,
    emptied_at: Option<Timestamp>,
    silent: bool,
}

impl SimulatedBattery {
    /// A battery as it is at this moment.
    pub fn new(now: Timestamp, settings: BatterySettings) -> SimulatedBattery {
        let stored = settings.usable.joules() * settings.level.fraction();
        let cell = Cell {
            settings,
            stored: MicroJoules::from_joules(stored).min(settings.usable),
            charger: None,
            crumbs: FemtoJoules::default(),
            at: now,
            watts: 0.0,
            discharging: true,
            temperature_c: settings.ambient_c,
            emptied_at: None,
            silent: false,
        };
        SimulatedBattery { cell: Arc::new(Mutex::new(cell)) }
    }

    /// The device took this much since it drew last, up to now; a charger gave what it gives meanwhile. Once empty, it
    /// gives nothing until it is charged.
    pub fn draw(&self, now: Timestamp, taken: MicroJoules) {
        self.cell.lock().draw(now, taken);
    }

    /// A charger that gives at most this power is there from now on, which is when the device drew last.
    pub fn plug_in(&self, watts: f64) {
        let mut cell = self.cell.lock();
        cell.charger = Some(MicroWatts::from_watts(watts));
        cell.discharging = false;
    }

    /// There is no charger from now on, which is when the device drew last.
    pub fn unplug(&self) {
        let mut cell = self.cell.lock();
        cell.charger = None;
        cell.discharging = true;
    }

    /// It is this warm around it from now on, which is when the device drew last.
    pub fn set_ambient(&self, degrees_c: f64) {
        let mut cell = self.cell.lock();
        cell.settings.ambient_c = degrees_c;
        if cell.settings.warming.is_none() {
            cell.temperature_c = degrees_c;
        }
    }

    /// Whether it cannot be read from now on, as a meter that fails: [`BatterySource::read`](super::BatterySource::read)
    /// gives an error then. It goes on all the same.
    pub fn set_silent(&self, silent: bool) {
        self.cell.lock().silent = silent;
    }

    pub(super) fn is_silent(&self) -> bool {
        self.cell.lock().silent
    }

    /// What it still gives.
    pub fn remaining(&self) -> MicroJoules {
        self.cell.lock().stored
    }

    /// When it ran empty first: between two draws, as if the power had been steady. `None`: not yet.
    pub fn emptied_at(&self) -> Option<Timestamp> {
        self.cell.lock().emptied_at
    }

    /// How it was when it was drawn from last.
    pub fn read(&self, now: Timestamp) -> BatteryReading {
        let cell = self.cell.lock();
        let settings = &cell.settings;
        let level = match settings.usable {
            MicroJoules::ZERO => 0.0,
            usable => cell.stored.get() as f64 / usable.get() as f64,
        };
        BatteryReading {
            at: now,
            level: StateOfCharge::clamped(level),
            status: match (cell.charger, cell.discharging) {
                (None, _) | (Some(_), true) => ChargeStatus::Discharging,
                (Some(_), false) if cell.stored == settings.usable => ChargeStatus::Full,
                (Some(_), false) => ChargeStatus::Charging,
            },
            watts: Some(cell.watts),
            volts: Some(settings.volts),
            temperature_c: Some(cell.temperature_c),
            full_wh: Some(settings.usable.wh()),
        }
    }
}

/// Handles of one battery are equal.
impl PartialEq for SimulatedBattery {
    fn eq(&self, other: &SimulatedBattery) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }
}

impl Cell {
    fn draw(&mut self, now: Timestamp, taken: MicroJoules) {
        let passed = now.since(self.at);
        if let Some(charger) = self.charger {
            self.crumbs += charger.over(passed);
        }
        let charged = self.crumbs.take_whole();
        let before = self.stored;
        if charged >= taken {
            self.stored = (before + charged.saturating_sub(taken)).min(self.settings.usable);
        } else {
            let missing = taken.saturating_sub(charged);
            if missing >= before && self.emptied_at.is_none() {
                let part = before.get() as f64 / missing.get() as f64;
                self.emptied_at = Some(self.at + passed.mul_f64(part));
            }
            self.stored = before.saturating_sub(missing);
        }
        self.discharging = self.charger.is_none() || charged < taken;
        let flowed = MicroJoules::new(before.get().abs_diff(self.stored.get()));
        if let Some(watts) = flowed.over(passed) {
            self.watts = watts;
            self.warm(passed, watts);
        }
        self.at = self.at.max(now);
    }

    fn warm(&mut self, passed: Duration, watts: f64) {
        let ambient = self.settings.ambient_c;
        self.temperature_c = match self.settings.warming {
            None => ambient,
            Some(Warming { degrees_per_watt, time_constant }) => {
                let target = ambient + degrees_per_watt * watts;
                let left = (-passed.as_secs_f64() / time_constant.as_secs_f64().max(1e-9)).exp();
                target + (self.temperature_c - target) * left
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::BatterySource;
    use crate::{Clock, profile::DeviceProfile};
    use proptest::prelude::*;

    const HOUR: u64 = 3_600;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn settings(usable_wh: f64) -> BatterySettings {
        BatterySettings {
            usable: MicroJoules::from_wh(usable_wh),
            volts: 3.7,
            level: StateOfCharge::FULL,
            ambient_c: 20.0,
            warming: None,
        }
    }

    fn wh(wh: f64) -> MicroJoules {
        MicroJoules::from_wh(wh)
    }

    #[test]
    fn it_empties_at_the_moment_at_which_its_energy_is_gone() {
        let battery = SimulatedBattery::new(at(0), settings(6.0));
        battery.draw(at(HOUR), wh(1.5));
        let reading = battery.read(at(HOUR));
        assert_eq!((reading.level.fraction(), reading.status), (0.75, ChargeStatus::Discharging));
        assert_eq!((reading.watts, reading.volts, reading.full_wh), (Some(1.5), Some(3.7), Some(6.0)));
        assert_eq!(battery.emptied_at(), None);
        battery.draw(at(3 * HOUR), wh(6.0));
        assert_eq!((battery.remaining(), battery.emptied_at()), (MicroJoules::ZERO, Some(at(HOUR + HOUR * 3 / 2))));
        battery.draw(at(4 * HOUR), wh(1.0));
        assert_eq!(battery.read(at(4 * HOUR)).level.fraction(), 0.0);
        assert_eq!(battery.emptied_at(), Some(at(HOUR + HOUR * 3 / 2)), "the first time counts");
    }

    #[test]
    fn a_charger_fills_it_and_keeps_it_full_and_a_weak_one_does_not() {
        let battery = SimulatedBattery::new(at(0), BatterySettings { level: StateOfCharge::EMPTY, ..settings(10.0) });
        battery.plug_in(5.0);
        battery.draw(at(HOUR), wh(1.0));
        let reading = battery.read(at(HOUR));
        assert_eq!((reading.level.fraction(), reading.status), (0.4, ChargeStatus::Charging));
        assert_eq!(reading.watts, Some(4.0));
        battery.draw(at(10 * HOUR), wh(1.0));
        assert_eq!(battery.read(at(10 * HOUR)).status, ChargeStatus::Full);
        battery.draw(at(11 * HOUR), wh(7.0));
        let reading = battery.read(at(11 * HOUR));
        assert_eq!((reading.level.fraction(), reading.status), (0.8, ChargeStatus::Discharging));
        battery.unplug();
        battery.draw(at(12 * HOUR), wh(1.0));
        assert_eq!(battery.read(at(12 * HOUR)).level.fraction(), 0.7);
    }

    #[test]
    fn it_warms_with_the_power_and_cools_to_what_is_around_it() {
        let warming = Warming { degrees_per_watt: 4.0, time_constant: Duration::from_secs(600) };
        let battery = SimulatedBattery::new(at(0), BatterySettings { warming: Some(warming), ..settings(100.0) });
        let temperature = || battery.read(at(0)).temperature_c.expect("a temperature");
        battery.draw(at(600), MicroJoules::from_joules(5.0 * 600.0));
        assert!((temperature() - (20.0 + 20.0 * (1.0 - (-1.0f64).exp()))).abs() < 1e-9, "{}", temperature());
        battery.set_ambient(0.0);
        battery.draw(at(600 + 10 * HOUR), MicroJoules::ZERO);
        assert!(temperature().abs() < 1e-9, "{}", temperature());
    }

    #[test]
    fn it_is_read_like_any_battery_and_its_handles_are_one() {
        let profile = DeviceProfile::find("rk3566").expect("a profile").battery.expect("a battery");
        let battery = SimulatedBattery::new(at(0), BatterySettings::of(&profile));
        let source = BatterySource::Simulated(battery.clone());
        assert_eq!(source, BatterySource::Simulated(battery.clone()));
        assert_ne!(source, BatterySource::Simulated(SimulatedBattery::new(at(0), BatterySettings::of(&profile))));
        battery.draw(at(HOUR), wh(profile.usable_wh() / 4.0));
        let reading = source.read(&Clock::system()).expect("a reading").expect("a battery");
        assert_eq!(reading.level.to_string(), "75 %");
    }

    proptest! {
        #[test]
        fn no_energy_is_lost_or_made(draws in proptest::collection::vec((1u64..10_000, 0u64..40_000_000, 0u8..4), 1..60)) {
            let battery = SimulatedBattery::new(at(0), settings(0.05));
            let (mut now, mut charger) = (0, 0);
            let mut stored = i128::from(battery.remaining().get());
            let (full, mut was_empty) = (stored, false);
            for (seconds, taken, plug) in draws {
                match plug {
                    0 => { battery.plug_in(2.0); charger = 2_000_000; }
                    1 => { battery.unplug(); charger = 0; }
                    _ => {}
                }
                now += seconds;
                battery.draw(at(now), MicroJoules::new(taken));
                let left = stored + i128::from(charger * seconds) - i128::from(taken);
                was_empty |= left < stored && left <= 0;
                stored = left.clamp(0, full);
                prop_assert_eq!(i128::from(battery.remaining().get()), stored);
                let reading = battery.read(at(now));
                prop_assert!(reading.watts.is_some_and(|watts| watts >= 0.0));
                prop_assert_eq!(battery.emptied_at().is_some_and(|then| then <= at(now)), was_empty);
            }
        }
    }
}
