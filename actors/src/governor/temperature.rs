//! Where the temperature comes from: the hottest zone of the machine, or what somebody sets.

use std::path::Path;
use std::sync::Arc;

use nanomind_hal::{ThermalZone, thermal_zones};
use parking_lot::Mutex;

/// Where the temperature comes from.
#[derive(Clone, Debug, Default)]
pub enum TemperatureSource {
    /// Nothing is measured.
    #[default]
    None,
    /// The hottest of these zones.
    Zones(Vec<ThermalZone>),
    /// What somebody sets, in degrees Celsius: a simulation, or a program with a sensor of its own.
    Set(Arc<Mutex<Option<f64>>>),
}

impl TemperatureSource {
    /// All zones of this machine.
    pub fn system() -> TemperatureSource {
        TemperatureSource::Zones(thermal_zones(Path::new("/")))
    }

    /// A source that says what is set, nothing at first; clones are the same source.
    pub fn settable() -> TemperatureSource {
        TemperatureSource::Set(Arc::default())
    }

    /// Sets the temperature of a settable source; any other stays as it is.
    pub fn set(&self, celsius: Option<f64>) {
        if let TemperatureSource::Set(shared) = self {
            *shared.lock() = celsius;
        }
    }

    /// The temperature now, in degrees Celsius. A zone that cannot be read says nothing.
    pub fn read(&self) -> Option<f64> {
        match self {
            TemperatureSource::None => None,
            TemperatureSource::Zones(zones) => {
                zones.iter().filter_map(|zone| zone.read().ok().flatten()).max_by(f64::total_cmp)
            }
            TemperatureSource::Set(shared) => *shared.lock(),
        }
    }
}
