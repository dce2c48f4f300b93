//! Where energy is measured: the meters of the machine that see each part once, or what the battery gives.

use std::path::Path;

use super::attribute::AttributeError;
use super::battery::{BatteryError, BatteryReading, BatterySource, ChargeStatus};
use super::energy::MicroJoules;
use super::meter::{EnergyMeter, MeterScope, energy_meters};
use crate::clock::{Clock, Timestamp};

/// What measures the energy of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum EnergySource {
    /// Meters.
    Meters(Meters),
    /// What the battery gives while it discharges.
    Battery(Discharge),
    /// Nothing: only a model can tell.
    None,
}

/// How much of the machine a source sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    Machine,
    /// Its processors and, where that is measured, memory and cards: no board, screen or disk.
    Processor,
    /// None of it.
    Nothing,
}

impl EnergySource {
    /// What the machine whose file system is at `root` (`/`, but for tests) offers: a meter of the whole machine; else
    /// the battery, while the machine lives on it; else meters of the processors. And which meters may not be read.
    pub fn detect(root: &Path, battery: BatterySource, clock: &Clock) -> (EnergySource, Vec<AttributeError>) {
        let now = clock.now();
        let (mut meters, mut refused) = (Vec::new(), Vec::new());
        for mut meter in energy_meters(root) {
            match meter.read(now) {
                Ok(_) => meters.push(meter),
                Err(error) => refused.push(error),
            }
        }
        if let Some(whole) = meters.iter().find(|meter| meter.scope() == MeterScope::Machine) {
            return (EnergySource::Meters(Meters::new(vec![whole.clone()])), refused);
        }
        let gives = |reading: &BatteryReading| {
            reading.status == ChargeStatus::Discharging && (reading.watts.is_some() || reading.full_wh.is_some())
        };
        if let Ok(Some(reading)) = battery.read(clock)
            && gives(&reading)
        {
            return (EnergySource::Battery(Discharge { battery, last: Some(reading) }), refused);
        }
        meters.retain(|meter| meter.scope() != MeterScope::Part);
        match meters.is_empty() {
            true => (EnergySource::None, refused),
            false => (EnergySource::Meters(Meters::new(meters)), refused),
        }
    }

    /// What is left of it without the meters of graphics cards, for who computes nothing on one: what a card takes is not
    /// theirs.
    pub fn without_cards(self) -> EnergySource {
        let EnergySource::Meters(mut meters) = self else { return self };
        meters.meters.retain(|meter| meter.scope() != MeterScope::Card);
        if meters.meters.is_empty() { EnergySource::None } else { EnergySource::Meters(meters) }
    }

    /// How much of the machine it sees.
    pub fn coverage(&self) -> Coverage {
        match self {
            EnergySource::Meters(meters) if meters.see(MeterScope::Machine) => Coverage::Machine,
            EnergySource::Meters(_) => Coverage::Processor,
            EnergySource::Battery(_) => Coverage::Machine,
            EnergySource::None => Coverage::Nothing,
        }
    }

    /// What it measured since it was asked before, or since it was detected. `None` where it could not: while the battery
    /// is being charged, where there is nothing that measures, and the first time after an error.
    ///
    /// # Errors
    /// A meter or the battery cannot be read.
    pub fn since_last(&mut self, clock: &Clock) -> Result<Option<MicroJoules>, EnergySourceError> {
        match self {
            EnergySource::Meters(meters) => Ok(meters.since_last(clock.now())?),
            EnergySource::Battery(discharge) => Ok(discharge.since_last(clock)?),
            EnergySource::None => Ok(None),
        }
    }
}

/// Why a source does not say what it measured.
#[derive(Debug, thiserror::Error)]
pub enum EnergySourceError {
    /// A meter cannot be read.
    #[error(transparent)]
    Meter(#[from] AttributeError),
    /// The battery cannot be read.
    #[error(transparent)]
    Battery(#[from] BatteryError),
}

/// Meters that see no part twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Meters {
    meters: Vec<EnergyMeter>,
    /// What was told of, in all; none after an error: nobody is to be told twice of the time that was lost.
    told: Option<MicroJoules>,
}

impl Meters {
    /// Meters that were read once, so that they count from then on.
    fn new(meters: Vec<EnergyMeter>) -> Meters {
        Meters { meters, told: Some(MicroJoules::ZERO) }
    }

    /// What they are called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.meters.iter().map(EnergyMeter::name)
    }

    fn see(&self, scope: MeterScope) -> bool {
        self.meters.iter().any(|meter| meter.scope() == scope)
    }

    /// Meters count in sums, so that what is rounded here comes with the next reading.
    fn since_last(&mut self, now: Timestamp) -> Result<Option<MicroJoules>, AttributeError> {
        let told = self.told.take();
        let mut sum = 0.0;
        for meter in &mut self.meters {
            sum += meter.read(now)?.joules;
        }
        let sum = MicroJoules::from_joules(sum);
        self.told = Some(sum);
        Ok(told.map(|told| sum.saturating_sub(told)))
    }
}

/// What a battery gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Discharge {
    battery: BatterySource,
    last: Option<BatteryReading>,
}

impl Discharge {
    /// Power integrated from reading to reading; or else, where none is measured, by how far the level fell.
    fn since_last(&mut self, clock: &Clock) -> Result<Option<MicroJoules>, BatteryError> {
        let last = self.last.take();
        let reading = self.battery.read(clock)?;
        self.last = reading;
        let (Some(last), Some(now)) = (last, reading) else { return Ok(None) };
        if [last.status, now.status] != [ChargeStatus::Discharging; 2] {
            return Ok(None);
        }
        let seconds = now.at.since(last.at).as_secs_f64();
        let joules = match (last.watts.zip(now.watts), now.full_wh) {
            (Some((before, after)), _) => Some((before + after) / 2.0 * seconds),
            (None, Some(full_wh)) => Some((last.level.fraction() - now.level.fraction()).max(0.0) * full_wh * 3_600.0),
            (None, None) => None,
        };
        Ok(joules.map(MicroJoules::from_joules))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::{BatterySettings, BatteryTrace, SimulatedBattery, StateOfCharge};
    use std::fs;
    use std::time::{Duration, SystemTime};
    use tempfile::TempDir;

    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            write(&root, file, text);
        }
        root
    }

    fn write(root: &TempDir, file: &str, text: &str) {
        let path = root.path().join("sys/class").join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    const RAPL: &[(&str, &str)] = &[
        ("powercap/intel-rapl:0/name", "package-0"),
        ("powercap/intel-rapl:0/energy_uj", "9000000"),
        ("powercap/intel-rapl:0/max_energy_range_uj", "10000000"),
        ("powercap/intel-rapl:0:0/name", "core"),
        ("powercap/intel-rapl:0:0/energy_uj", "500"),
        ("powercap/intel-rapl:0:1/name", "dram"),
        ("powercap/intel-rapl:0:1/energy_uj", "100"),
    ];

    #[test]
    fn packages_and_memory_count_once_and_through_their_wrap() {
        let root = machine(RAPL);
        let clock = Clock::system();
        let (mut source, refused) = EnergySource::detect(root.path(), BatterySource::None, &clock);
        assert!(refused.is_empty(), "{refused:?}");
        let EnergySource::Meters(meters) = &source else { panic!("{source:?}") };
        assert_eq!(meters.names().collect::<Vec<_>>(), ["package-0", "dram"]);
        assert_eq!(source.coverage(), Coverage::Processor);
        assert_eq!(source.clone().without_cards(), source, "processor and memory are no cards");
        write(&root, "powercap/intel-rapl:0/energy_uj", "1000000");
        write(&root, "powercap/intel-rapl:0:0/energy_uj", "900000");
        write(&root, "powercap/intel-rapl:0:1/energy_uj", "350");
        assert_eq!(source.since_last(&clock).expect("a reading"), Some(MicroJoules::new(2_000_250)));
        assert_eq!(source.since_last(&clock).expect("a reading"), Some(MicroJoules::ZERO));
        write(&root, "powercap/intel-rapl:0/energy_uj", "?");
        assert!(source.since_last(&clock).is_err());
        write(&root, "powercap/intel-rapl:0/energy_uj", "2000000");
        assert_eq!(source.since_last(&clock).expect("a reading"), None, "nobody knows of how long a time");
        write(&root, "powercap/intel-rapl:0/energy_uj", "2000005");
        assert_eq!(source.since_last(&clock).expect("a reading"), Some(MicroJoules::new(5)));
    }

    #[test]
    fn a_meter_of_the_whole_machine_goes_before_its_parts_and_the_battery() {
        let clock = Clock::system();
        let battery =
            || BatterySource::Trace(BatteryTrace::parse(Path::new("b"), "0,0.5,discharging,9").expect("a trace"));
        let root = machine(
            &[RAPL, &[("powercap/intel-rapl:1/name", "psys"), ("powercap/intel-rapl:1/energy_uj", "7")]].concat(),
        );
        let (source, _) = EnergySource::detect(root.path(), battery(), &clock);
        let EnergySource::Meters(meters) = &source else { panic!("{source:?}") };
        assert_eq!((meters.names().collect::<Vec<_>>(), source.coverage()), (vec!["psys"], Coverage::Machine));
        let rail = [
            ("hwmon/hwmon3/name", "ina3221"),
            ("hwmon/hwmon3/in1_input", "5000"),
            ("hwmon/hwmon3/in1_label", "VDD_IN"),
            ("hwmon/hwmon3/curr1_input", "900"),
        ];
        let (source, _) = EnergySource::detect(machine(&rail).path(), battery(), &clock);
        assert_eq!(source.coverage(), Coverage::Machine);
        let (source, _) = EnergySource::detect(machine(RAPL).path(), battery(), &clock);
        assert!(matches!(source, EnergySource::Battery(_)), "{source:?}");
        let mains = BatterySource::Trace(BatteryTrace::parse(Path::new("b"), "0,0.5,charging,9").expect("a trace"));
        let (source, _) = EnergySource::detect(machine(&[]).path(), mains, &clock);
        assert_eq!((source.coverage(), source), (Coverage::Nothing, EnergySource::None));
    }

    #[cfg(unix)]
    #[test]
    fn a_counter_that_may_not_be_read_is_told_and_passed_over() {
        // Root may read anything, so the counter is a folder, which nobody can read as a file.
        let root = machine(&[("powercap/intel-rapl:0/name", "package-0"), ("powercap/intel-rapl:0/energy_uj/x", "")]);
        let (source, refused) = EnergySource::detect(root.path(), BatterySource::None, &Clock::system());
        assert_eq!(source, EnergySource::None);
        let refused: Vec<String> = refused.iter().map(AttributeError::to_string).collect();
        assert!(matches!(&refused[..], [one] if one.contains("intel-rapl:0/energy_uj")), "{refused:?}");
    }

    #[test]
    fn a_battery_tells_what_it_gave_and_nothing_while_it_is_charged() {
        let (clock, runtime) = Clock::simulated(SystemTime::UNIX_EPOCH).expect("a runtime");
        let trace =
            "0,0.9,discharging,4\n10,0.8,discharging,4\n20,0.7,discharging,8\n30,0.7,charging,5\n40,0.8,charging,5";
        let battery = BatterySource::Trace(BatteryTrace::parse(Path::new("b"), trace).expect("a trace"));
        let root = machine(&[]);
        let (mut source, _) = EnergySource::detect(root.path(), battery, &clock);
        let mut told = Vec::new();
        runtime.block_on(async {
            for _ in 0..4 {
                clock.sleep(Duration::from_secs(10)).await;
                told.push(source.since_last(&clock).expect("a reading").map(MicroJoules::joules));
            }
        });
        assert_eq!(told, [Some(40.0), Some(60.0), None, None]);
    }

    #[test]
    fn a_battery_that_measures_no_power_tells_by_its_level() {
        let folder = "power_supply/BAT0";
        let files = |now: &str| {
            [("type", "Battery"), ("status", "Discharging"), ("energy_now", now), ("energy_full", "40000000")]
                .map(|(file, text)| (format!("{folder}/{file}"), text.to_owned()))
        };
        let root = machine(&[]);
        let fill = |now: &str| files(now).iter().for_each(|(file, text)| write(&root, file, text));
        fill("30000000");
        let clock = Clock::system();
        let battery = BatterySource::Sysfs { root: root.path().to_owned() };
        let (mut source, _) = EnergySource::detect(root.path(), battery, &clock);
        fill("29990000");
        assert_eq!(source.since_last(&clock).expect("a reading"), Some(MicroJoules::from_wh(0.01)));
        fs::remove_dir_all(root.path().join("sys")).expect("a folder");
        assert_eq!(source.since_last(&clock).expect("no battery any more"), None);
    }

    #[test]
    fn what_is_drawn_from_a_simulated_battery_is_measured() {
        let (clock, runtime) = Clock::simulated(SystemTime::UNIX_EPOCH).expect("a runtime");
        let settings = BatterySettings {
            usable: MicroJoules::from_wh(7.0),
            volts: 3.7,
            level: StateOfCharge::FULL,
            ambient_c: 20.0,
            warming: None,
        };
        let battery = SimulatedBattery::new(clock.now(), settings);
        let source = BatterySource::Simulated(battery.clone());
        let (mut source, _) = EnergySource::detect(Path::new("/no/such/root"), source, &clock);
        let mut sum = MicroJoules::ZERO;
        runtime.block_on(async {
            for _ in 0..100 {
                clock.sleep(Duration::from_secs(5)).await;
                battery.draw(clock.now(), MicroJoules::from_joules(7.5));
                sum += source.since_last(&clock).expect("a reading").expect("an amount");
            }
        });
        // The first reading, before anything was drawn, showed no power: half of its interval is missed.
        assert_eq!(sum, MicroJoules::from_joules(750.0 - 3.75));
    }
}
