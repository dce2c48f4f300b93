//! What a profile says of the battery.

use serde::Deserialize;

use super::quantity::{Fraction, MilliampHours, Volts, WattHours};
use super::sourced::Sourced;

/// The battery of a device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename = "Battery")]
pub struct BatteryProfile {
    /// What its label says that it holds.
    pub capacity: Capacity,
    /// Its voltage in the mean of a discharge.
    pub voltage: Sourced<Volts>,
    /// How much of it reaches the board before the device turns itself off: the rest is left in the cells, lost in
    /// them, or lost in converters.
    pub usable: Sourced<Fraction>,
}

/// What a battery's label says that it holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub enum Capacity {
    /// As charge.
    MilliampHours(Sourced<MilliampHours>),
    /// As energy.
    WattHours(Sourced<WattHours>),
}

impl BatteryProfile {
    /// The energy that it holds by its label.
    pub fn nominal_wh(&self) -> f64 {
        match &self.capacity {
            Capacity::MilliampHours(charge) => charge.value.get() / 1e3 * self.voltage.value.get(),
            Capacity::WattHours(energy) => energy.value.get(),
        }
    }

    /// The energy that reaches the board.
    pub fn usable_wh(&self) -> f64 {
        self.nominal_wh() * self.usable.value.get()
    }
}
