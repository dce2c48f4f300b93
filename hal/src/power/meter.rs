//! Energy meters: counters of the processor (RAPL), sensors on the board (hwmon) and counters of cards (NVML).

use std::path::{Path, PathBuf};

use super::attribute::{AttributeError, amount, devices, text};
#[cfg(feature = "nvml")]
use super::card::Card;
use crate::clock::Timestamp;

const MICRO: f64 = 1e-6;

/// How much of the machine a meter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeterScope {
    /// All of it.
    Machine,
    /// A processor: cores, graphics and what else is on the chip.
    Package,
    /// Memory, which no package has in it.
    Memory,
    /// A graphics card, which no package has in it.
    Card,
    /// Something that another meter may see too, or a part of the board that is not known further.
    Part,
}

/// What measures energy. It counts from its first reading on.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyMeter {
    name: String,
    scope: MeterScope,
    path: PathBuf,
    quantity: Quantity,
    last: Option<Last>,
}

/// What the file shows.
#[derive(Clone, Debug, PartialEq)]
enum Quantity {
    /// Joules since some time; begins at zero again after `range_j`, where that is known.
    Energy { range_j: Option<f64> },
    /// Watts just now.
    Power,
    /// Volts just now, in thousandths; amperes, likewise, in a file beside it.
    Voltage { current: PathBuf },
    /// Joules since the driver was loaded, which the driver of a card says.
    #[cfg(feature = "nvml")]
    Card(Card),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    at: Timestamp,
    /// What the file showed, in joules or watts.
    shown: f64,
    joules: f64,
}

/// What a meter measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeterReading {
    /// When it was read.
    pub at: Timestamp,
    /// The energy since the meter's first reading.
    pub joules: f64,
    /// The power: just now where the meter shows power, else the mean since the reading before. `None` where there was
    /// none before.
    pub watts: Option<f64>,
}

impl EnergyMeter {
    /// What is measured: `package-0`, `dram`, `ina226 VDD_CPU`, ….
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much of the machine it sees.
    pub fn scope(&self) -> MeterScope {
        self.scope
    }

    /// The file that shows it; of a card, the driver's library and the card's number.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the meter. Read a counter more often than it wraps, which takes minutes on a busy machine; power is
    /// integrated from reading to reading.
    ///
    /// # Errors
    /// The file may not be read (RAPL is for root alone on most systems), is gone, or holds no number.
    pub fn read(&mut self, at: Timestamp) -> Result<MeterReading, AttributeError> {
        let shown = match &self.quantity {
            Quantity::Energy { .. } | Quantity::Power => present(&self.path)? * MICRO,
            Quantity::Voltage { current } => present(&self.path)? * present(current)? * MICRO,
            #[cfg(feature = "nvml")]
            Quantity::Card(card) => card.joules().map_err(|source| {
                let source = std::io::Error::other(source);
                AttributeError::Unreadable { path: self.path.clone(), source }
            })?,
        };
        Ok(self.advance(at, shown))
    }

    fn advance(&mut self, at: Timestamp, shown: f64) -> MeterReading {
        let passed = self.last.map(|last| (last, at.since(last.at).as_secs_f64()));
        let range_j = match self.quantity {
            Quantity::Energy { range_j } => range_j,
            _ => None,
        };
        let added = passed.map_or(0.0, |(last, seconds)| match self.quantity {
            Quantity::Power | Quantity::Voltage { .. } => (last.shown + shown) / 2.0 * seconds,
            // What is left are counters.
            _ if shown >= last.shown => shown - last.shown,
            // Without a range nothing is known of what went before the wrap but that it was not negative.
            _ => range_j.map_or(shown, |range| (range - last.shown + shown).max(0.0)),
        });
        let joules = self.last.map_or(0.0, |last| last.joules) + added;
        self.last = Some(Last { at, shown, joules });
        let watts = match self.quantity {
            Quantity::Power | Quantity::Voltage { .. } => Some(shown),
            _ => passed.filter(|(_, seconds)| *seconds > 0.0).map(|(_, seconds)| added / seconds),
        };
        MeterReading { at, joules, watts }
    }
}

/// The number in a file that has to be there.
fn present(path: &Path) -> Result<f64, AttributeError> {
    let gone = || AttributeError::Unreadable { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() };
    amount(path)?.ok_or_else(gone)
}

/// The meters of the machine whose file system is at `root` (`/`, but for tests), whether they may be read or not. Cards
/// are this machine's, and are there for its own root only.
/// Parts of a whole are among them: `core` is also counted in its `package-0`.
pub fn energy_meters(root: &Path) -> Vec<EnergyMeter> {
    let mut meters = Vec::new();
    // The same counters show once more as `intel-rapl-mmio`.
    for zone in devices(&root.join("sys/class/powercap"), "intel-rapl:") {
        let path = zone.join("energy_uj");
        if path.exists() {
            let range_j = amount(&zone.join("max_energy_range_uj")).ok().flatten().map(|range| range * MICRO);
            let name = label(&zone, "name");
            let scope = rapl_scope(&name);
            meters.push(EnergyMeter { name, scope, path, quantity: Quantity::Energy { range_j }, last: None });
        }
    }
    for monitor in devices(&root.join("sys/class/hwmon"), "hwmon") {
        let chip = label(&monitor, "name");
        let quantities = [("power", Quantity::Power), ("energy", Quantity::Energy { range_j: None })];
        for (prefix, quantity) in quantities {
            meters.extend(sensors(&monitor, &chip, prefix).map(|(name, scope, path)| {
                let quantity = quantity.clone();
                EnergyMeter { name, scope, path, quantity, last: None }
            }));
        }
        // The monitor of Jetson boards shows voltage and current of each rail, and no power.
        if chip == "ina3221" {
            for (name, scope, path) in sensors(&monitor, &chip, "in") {
                let file = path.file_name().map(|name| name.to_string_lossy().replacen("in", "curr", 1));
                let current = monitor.join(file.unwrap_or_default());
                if current.exists() {
                    meters.push(EnergyMeter { name, scope, path, quantity: Quantity::Voltage { current }, last: None });
                }
            }
        }
    }
    #[cfg(feature = "nvml")]
    if root == Path::new("/") {
        meters.extend(Card::all().into_iter().map(|(name, path, card)| {
            let quantity = Quantity::Card(card);
            EnergyMeter { name, scope: MeterScope::Card, path, quantity, last: None }
        }));
    }
    meters
}

/// The sensors of one kind on a monitor: what they are called, what they see and which file shows them.
fn sensors(monitor: &Path, chip: &str, kind: &str) -> impl Iterator<Item = (String, MeterScope, PathBuf)> {
    devices(monitor, kind).into_iter().filter_map(move |path| {
        let file = path.file_name()?.to_string_lossy().into_owned();
        let sensor = file.strip_suffix("_input")?;
        let label = text(&monitor.join(format!("{sensor}_label"))).ok().flatten();
        let scope = if label.as_deref().is_some_and(is_input_rail) { MeterScope::Machine } else { MeterScope::Part };
        Some((format!("{chip} {}", label.as_deref().unwrap_or(sensor)), scope, path))
    })
}

/// What a zone of RAPL sees: `psys` is the whole machine where there is such a zone, `core` and `uncore` are parts of
/// their package.
fn rapl_scope(name: &str) -> MeterScope {
    match name {
        "psys" => MeterScope::Machine,
        "dram" => MeterScope::Memory,
        name if name.starts_with("package") => MeterScope::Package,
        _ => MeterScope::Part,
    }
}

/// Whether all of the machine's power flows through a rail of this label: so Jetson boards call it.
fn is_input_rail(label: &str) -> bool {
    matches!(label, "VDD_IN" | "POM_5V_IN")
}

/// What a device calls itself, or else its folder's name.
fn label(folder: &Path, file: &str) -> String {
    let folder_name = || folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    text(&folder.join(file)).ok().flatten().unwrap_or_else(folder_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn machine(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let path = root.path().join("sys/class").join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_counter_counts_on_through_its_wrap() {
        let root = machine(&[
            ("powercap/intel-rapl:0/name", "package-0\n"),
            ("powercap/intel-rapl:0/energy_uj", "9000000\n"),
            ("powercap/intel-rapl:0/max_energy_range_uj", "10000000\n"),
            ("powercap/intel-rapl:0:0/name", "core\n"),
            ("powercap/intel-rapl:0:0/energy_uj", "0\n"),
            ("powercap/intel-rapl-mmio:0/energy_uj", "9000000\n"),
            ("powercap/intel-rapl/enabled", "1\n"),
        ]);
        let mut meters = energy_meters(root.path());
        assert_eq!(meters.iter().map(EnergyMeter::name).collect::<Vec<_>>(), ["package-0", "core"]);
        assert_eq!(meters.iter().map(EnergyMeter::scope).collect::<Vec<_>>(), [MeterScope::Package, MeterScope::Part]);
        let package = &mut meters[0];
        let first = package.read(at(1)).expect("a reading");
        assert_eq!((first.joules, first.watts), (0.0, None));
        fs::write(package.path(), "2000000\n").expect("a file");
        let wrapped = package.read(at(3)).expect("a reading");
        assert_eq!((wrapped.joules, wrapped.watts), (3.0, Some(1.5)));
        fs::write(package.path(), "2500000\n").expect("a file");
        assert_eq!(package.read(at(4)).expect("a reading").joules, 3.5);
    }

    #[test]
    fn power_is_integrated_and_sensors_have_their_labels() {
        let root = machine(&[
            ("hwmon/hwmon10/name", "ina226"),
            ("hwmon/hwmon10/power1_input", "2000000"),
            ("hwmon/hwmon10/power1_label", "VDD_CPU"),
            ("hwmon/hwmon10/power1_max", "9"),
            ("hwmon/hwmon2/name", "amdgpu"),
            ("hwmon/hwmon2/power1_input", "1"),
            ("hwmon/hwmon2/temp1_input", "40000"),
        ]);
        let mut meters = energy_meters(root.path());
        assert_eq!(meters.iter().map(EnergyMeter::name).collect::<Vec<_>>(), ["amdgpu power1", "ina226 VDD_CPU"]);
        let rail = &mut meters[1];
        assert_eq!(rail.read(at(0)).expect("a reading").watts, Some(2.0));
        fs::write(rail.path(), "4000000").expect("a file");
        let reading = rail.read(at(2)).expect("a reading");
        assert_eq!((reading.joules, reading.watts), (6.0, Some(4.0)));
    }

    #[test]
    fn rails_that_show_voltage_and_current_are_multiplied() {
        let root = machine(&[
            ("hwmon/hwmon1/name", "ina3221"),
            ("hwmon/hwmon1/in1_input", "5000"),
            ("hwmon/hwmon1/in1_label", "VDD_IN"),
            ("hwmon/hwmon1/curr1_input", "400"),
            ("hwmon/hwmon1/in2_input", "5000"),
            ("hwmon/hwmon1/in2_label", "VDD_CPU_GPU_CV"),
            ("hwmon/hwmon1/curr2_input", "100"),
            ("hwmon/hwmon1/in7_input", "800"),
            ("hwmon/hwmon1/in7_label", "sum of shunt voltages"),
            ("hwmon/hwmon2/name", "nct6775"),
            ("hwmon/hwmon2/in1_input", "12000"),
        ]);
        let mut meters = energy_meters(root.path());
        let seen: Vec<_> = meters.iter().map(|meter| (meter.name(), meter.scope())).collect();
        let expected = [("ina3221 VDD_IN", MeterScope::Machine), ("ina3221 VDD_CPU_GPU_CV", MeterScope::Part)];
        assert_eq!(seen, expected);
        assert_eq!(meters[0].read(at(1)).expect("a reading").watts, Some(2.0));
        fs::write(root.path().join("sys/class/hwmon/hwmon1/curr1_input"), "800").expect("a file");
        let reading = meters[0].read(at(3)).expect("a reading");
        assert_eq!((reading.joules, reading.watts), (6.0, Some(4.0)));
        fs::remove_file(root.path().join("sys/class/hwmon/hwmon1/curr1_input")).expect("a file");
        let error = meters[0].read(at(4)).expect_err("no current").to_string();
        assert!(error.contains("curr1_input"), "{error}");
    }

    #[test]
    fn a_meter_without_value_is_an_error_that_names_the_file() {
        let root = machine(&[("powercap/intel-rapl:0/energy_uj", "?")]);
        let mut meters = energy_meters(root.path());
        let error = meters[0].read(at(0)).expect_err("garbage").to_string();
        assert!(error.ends_with("intel-rapl:0/energy_uj: expected a whole number, found \"?\""), "{error}");
        fs::remove_file(meters[0].path()).expect("a file");
        let error = meters[0].read(at(0)).expect_err("nothing").to_string();
        assert!(error.contains("cannot read ") && error.contains("energy_uj"), "{error}");
        assert!(energy_meters(Path::new("/no/such/root")).is_empty());
    }
}
