//! All figures of a profile in a row, so that a reader can be shown where each comes from.

use super::DeviceProfile;
use super::accelerator::{AcceleratorProfile, Precision};
use super::battery::Capacity;
use super::quantity::Quantity;
use super::sourced::{Origin, Sourced};

/// One figure of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure<'a> {
    /// Where it stands: `npu.peak.int8`, `battery.usable`, `power.base`.
    pub place: String,
    /// It, as text: `2.5 W`.
    pub value: String,
    /// Where it comes from.
    pub origin: &'a Origin,
}

impl<'a> Figure<'a> {
    fn number<Q: Quantity>(place: impl Into<String>, figure: &'a Sourced<Q>) -> Figure<'a> {
        let (number, unit) = (figure.value.number(), Q::UNIT);
        let value = if unit.is_empty() { number.to_string() } else { format!("{number} {unit}") };
        Figure { place: place.into(), value, origin: &figure.origin }
    }
}

impl DeviceProfile {
    /// All of its figures: those of the board, of the battery, of each accelerator.
    pub fn figures(&self) -> Vec<Figure<'_>> {
        let mut figures = vec![
            Figure::number("memory", &self.memory),
            Figure::number("storage", &self.storage),
            Figure::number("power.base", &self.power.base),
            Figure::number("power.standby", &self.power.standby),
            Figure::number("power.suspended", &self.power.suspended),
        ];
        if let Some(battery) = &self.battery {
            figures.push(match &battery.capacity {
                Capacity::MilliampHours(charge) => Figure::number("battery.capacity", charge),
                Capacity::WattHours(energy) => Figure::number("battery.capacity", energy),
            });
            figures.push(Figure::number("battery.voltage", &battery.voltage));
            figures.push(Figure::number("battery.usable", &battery.usable));
        }
        figures.extend(self.accelerators.iter().flat_map(AcceleratorProfile::figures));
        figures
    }

    /// Those of its figures that were fitted, and to what.
    pub fn fitted(&self) -> impl Iterator<Item = Figure<'_>> {
        self.figures().into_iter().filter(|figure| matches!(figure.origin, Origin::Fitted(_)))
    }
}

impl AcceleratorProfile {
    fn figures(&self) -> Vec<Figure<'_>> {
        let place = |field: &str| format!("{}.{field}", self.id);
        let peaks = Precision::ALL.into_iter().filter_map(|precision| {
            Some(Figure::number(place(&format!("peak.{precision}")), self.peak.at(precision)?))
        });
        let mut figures: Vec<Figure<'_>> = peaks.collect();
        figures.extend([
            Figure::number(place("bandwidth"), &self.bandwidth),
            Figure::number(place("sustained.compute"), &self.sustained.compute),
            Figure::number(place("sustained.bandwidth"), &self.sustained.bandwidth),
            Figure::number(place("launch"), &self.launch),
            Figure::number(place("memory"), &self.memory),
            Figure { place: place("runs"), value: self.what_runs(), origin: &self.runs.origin },
            Figure::number(place("active"), &self.active),
            Figure::number(place("idle"), &self.idle),
        ]);
        figures
    }

    fn what_runs(&self) -> String {
        let phases = self.runs.value.iter().map(|(phase, precision)| format!("{phase} in {precision}"));
        phases.collect::<Vec<_>>().join(", ")
    }
}
