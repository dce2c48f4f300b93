//! The environment of a simulated device: its battery, the charger, the temperature, what fails; and a log of how it was.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use nanomind_hal::{AcceleratorId, ChargeStatus, MicroJoules, PowerModel, PowerState, SimulatedBattery, Timestamp};

use super::report::{Sample, SimulationEnd};
use super::scenario::{Failing, ModeHold, Scenario};
use crate::governor::{HoldGuard, TemperatureSource};
use crate::running::RunHandle;
use crate::shared::RunShared;

/// Samples of the log in a scenario, about: one a minute in a day.
const SAMPLES: u32 = 1440;

/// The least and the longest time between two looks at the battery.
const LOOKS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// How long what is in flight may flow out after the end of the scenario.
const FLOWING_OUT: Duration = Duration::from_secs(600);

/// What changes from outside at one moment.
#[derive(Clone, Debug)]
enum Change {
    PlugIn {
        watts: f64,
    },
    Unplug,
    Ambient {
        celsius: f64,
    },
    /// An accelerator is lost, or there again.
    Lost {
        accelerator: AcceleratorId,
        lost: bool,
    },
    /// The battery cannot be read, or can be again.
    Silent {
        silent: bool,
    },
    Hold {
        number: usize,
        hold: ModeHold,
    },
    Release {
        number: usize,
    },
}

/// The log of how the device was.
#[derive(Clone, Default, Debug)]
pub(super) struct EnvironmentLog {
    pub(super) samples: Vec<Sample>,
    /// What ended the simulation; nothing while it goes on, and where every node had ended by itself.
    pub(super) end: Option<SimulationEnd>,
    /// When it turned itself off.
    pub(super) emptied: Option<Timestamp>,
}

/// What an environment acts on, and whom it tells.
pub(super) struct Outside {
    /// None where the device lives on mains.
    pub(super) battery: Option<SimulatedBattery>,
    /// What the governor reads the temperature from.
    pub(super) temperature: TemperatureSource,
    /// The most that the device can draw, in watts.
    pub(super) most_watts: f64,
    pub(super) log: Rc<RefCell<EnvironmentLog>>,
    /// Hears how much time has been simulated, at every sample.
    pub(super) watch: Box<dyn Fn(Duration)>,
}

/// The environment of one run.
pub(super) struct Environment {
    shared: RunShared,
    handle: RunHandle,
    outside: Outside,
    /// Modes that are held, by their number in the scenario.
    held: BTreeMap<usize, HoldGuard>,
    period: Duration,
    lasts: Duration,
    /// What is still to come, the next one last.
    changes: Vec<(Duration, Change)>,
    sampled: (Timestamp, MicroJoules),
}

impl Environment {
    /// The environment of a run, as `scenario` has it.
    pub(super) fn new(scenario: &Scenario, shared: RunShared, handle: RunHandle, outside: Outside) -> Environment {
        let period = (scenario.lasts / SAMPLES).clamp(*LOOKS.start(), *LOOKS.end());
        let (lasts, changes) = (scenario.lasts, changes(scenario));
        let (held, sampled) = (BTreeMap::new(), (Timestamp::default(), MicroJoules::ZERO));
        Environment { shared, handle, outside, held, period, lasts, changes, sampled }
    }

    /// Goes on until the scenario is over or the battery is empty, and ends the run then.
    pub(super) async fn run(mut self) {
        let clock = self.shared.clock.clone();
        let end = Timestamp::default() + self.lasts;
        self.apply_due(clock.now());
        self.sample();
        loop {
            clock.sleep_until(self.next_look(clock.now(), end)).await;
            let now = clock.now();
            self.shared.energy.settle();
            self.apply_due(now);
            self.look();
            let emptied = self.outside.battery.as_ref().and_then(SimulatedBattery::emptied_at);
            if emptied.is_some() {
                self.sample();
                let mut log = self.outside.log.borrow_mut();
                (log.emptied, log.end) = (emptied, Some(SimulationEnd::BatteryEmpty));
                return self.handle.stop();
            }
            if now.since(self.sampled.0) >= self.period || now >= end {
                self.sample();
            }
            if now >= end {
                break;
            }
        }
        self.outside.log.borrow_mut().end = Some(SimulationEnd::ScenarioOver);
        self.handle.drain();
        clock.sleep(FLOWING_OUT).await;
        self.handle.stop();
    }

    /// The next sample or change, or the first moment at which the battery could be empty.
    fn next_look(&self, now: Timestamp, end: Timestamp) -> Timestamp {
        let change = self.changes.last().map_or(end, |(at, _)| Timestamp::default() + *at);
        let mut next = (self.sampled.0 + self.period).min(change).min(end);
        if let Some(battery) = &self.outside.battery {
            let left = Duration::try_from_secs_f64(battery.remaining().joules() / self.outside.most_watts)
                .unwrap_or(self.period);
            next = next.min(now + left.max(*LOOKS.start()));
        }
        next.max(now)
    }

    /// Carries out what is due. The battery has just been drawn from.
    fn apply_due(&mut self, now: Timestamp) {
        while let Some((_, change)) = self.changes.pop_if(|(at, _)| Timestamp::default() + *at <= now) {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        let battery = self.outside.battery.as_ref();
        match change {
            Change::PlugIn { watts } => battery.into_iter().for_each(|battery| battery.plug_in(watts)),
            Change::Unplug => battery.into_iter().for_each(SimulatedBattery::unplug),
            Change::Ambient { celsius } => battery.into_iter().for_each(|battery| battery.set_ambient(celsius)),
            Change::Silent { silent } => battery.into_iter().for_each(|battery| battery.set_silent(silent)),
            Change::Lost { accelerator, lost } => {
                if let Some(accelerator) = self.shared.accelerators.get(&accelerator) {
                    accelerator.set_lost(lost);
                }
            }
            Change::Hold { number, hold } => {
                let guard = self.handle.hold(hold.owner, hold.reason, hold.mode);
                self.held.insert(number, guard);
            }
            Change::Release { number } => drop(self.held.remove(&number)),
        }
    }

    /// Tells the governor how warm it is.
    fn look(&mut self) {
        let battery = self.outside.battery.as_ref();
        let reading = battery.map(|battery| battery.read(self.shared.clock.now()));
        self.outside.temperature.set(reading.and_then(|reading| reading.temperature_c));
    }

    fn sample(&mut self) {
        let now = self.shared.clock.now();
        let total = self.shared.energy.statement().total.amount().unwrap_or(MicroJoules::ZERO);
        let (before, drawn) = std::mem::replace(&mut self.sampled, (now, total));
        let reading = self.outside.battery.as_ref().map(|battery| battery.read(now));
        let sample = Sample {
            hours: now.as_secs_f64() / 3600.0,
            level: reading.map(|reading| reading.level.fraction()),
            charging: reading.is_some_and(|reading| reading.status != ChargeStatus::Discharging),
            watts: total.saturating_sub(drawn).over(now.since(before)).unwrap_or(0.0),
            celsius: reading.and_then(|reading| reading.temperature_c),
        };
        self.outside.log.borrow_mut().samples.push(sample);
        (self.outside.watch)(now.since(Timestamp::default()));
    }
}

/// The most that a device can draw: all of its accelerators at once.
pub(super) fn most_watts(model: &PowerModel, accelerators: impl Iterator<Item = AcceleratorId>) -> f64 {
    let added: f64 = accelerators.filter_map(|id| model.added_watts(id)).sum();
    model.floor_watts(PowerState::Awake) + added
}

/// All that changes from outside, the first one last.
fn changes(scenario: &Scenario) -> Vec<(Duration, Change)> {
    let mut changes = Vec::new();
    for charging in &scenario.charging {
        changes.push((charging.from, Change::PlugIn { watts: charging.watts }));
        changes.push((charging.to, Change::Unplug));
    }
    for fault in &scenario.faults {
        for (at, is_there) in [(fault.from, true), (fault.to, false)] {
            match fault.what {
                Failing::Accelerator(accelerator) => changes.push((at, Change::Lost { accelerator, lost: is_there })),
                Failing::Meter => changes.push((at, Change::Silent { silent: is_there })),
                // Sensors look at the scenario themselves.
                Failing::Sensor(_) => {}
            }
        }
    }
    for (number, hold) in scenario.holds.iter().enumerate() {
        changes.push((hold.from, Change::Hold { number, hold: hold.clone() }));
        changes.push((hold.to, Change::Release { number }));
    }
    changes.extend(scenario.ambient.iter().map(|one| (one.from, Change::Ambient { celsius: one.celsius })));
    // Stable: what is written later comes later.
    changes.sort_by_key(|(at, _)| *at);
    changes.reverse();
    changes
}
