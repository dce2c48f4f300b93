//! Thermal zones: how warm the parts of the machine are.

use std::path::{Path, PathBuf};

use super::attribute::{AttributeError, devices, number, text};

/// A part of the machine whose temperature is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThermalZone {
    name: String,
    path: PathBuf,
}

impl ThermalZone {
    /// What it is: `soc-thermal`, `x86_pkg_temp`, ….
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its temperature in degrees Celsius; `None` while its sensor is off.
    ///
    /// # Errors
    /// The file cannot be read or holds no number.
    pub fn read(&self) -> Result<Option<f64>, AttributeError> {
        Ok(number(&self.path)?.map(|milli| milli as f64 / 1000.0))
    }
}

/// The thermal zones of the machine whose file system is at `root` (`/`, but for tests).
pub fn thermal_zones(root: &Path) -> Vec<ThermalZone> {
    let zone = |folder: PathBuf| {
        let name = text(&folder.join("type")).ok().flatten()?;
        Some(ThermalZone { name, path: folder.join("temp") })
    };
    devices(&root.join("sys/class/thermal"), "thermal_zone").into_iter().filter_map(zone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn zones_come_in_numeric_order_with_their_temperature() {
        let root = tempfile::tempdir().expect("a folder");
        for (zone, name, temperature) in [(10, "gpu-thermal", "-1500"), (2, "soc-thermal", "48125"), (3, "bad", "hot")]
        {
            let folder = root.path().join(format!("sys/class/thermal/thermal_zone{zone}"));
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("type"), format!("{name}\n")).expect("a file");
            fs::write(folder.join("temp"), format!("{temperature}\n")).expect("a file");
        }
        let zones = thermal_zones(root.path());
        assert_eq!(zones.iter().map(ThermalZone::name).collect::<Vec<_>>(), ["soc-thermal", "bad", "gpu-thermal"]);
        assert_eq!(zones[0].read().expect("a temperature"), Some(48.125));
        assert_eq!(zones[2].read().expect("a temperature"), Some(-1.5));
        let error = zones[1].read().expect_err("garbage").to_string();
        assert!(error.ends_with("thermal_zone3/temp: expected a whole number, found \"hot\""), "{error}");
        fs::remove_file(root.path().join("sys/class/thermal/thermal_zone2/temp")).expect("a file");
        assert_eq!(zones[0].read().expect("a sensor that is off"), None);
    }
}
