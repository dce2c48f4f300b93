//! Power and heat: batteries, energy meters and thermal zones, real ones or recorded ones.

mod attribute;
mod battery;
mod meter;
mod supply;
mod thermal;
mod trace;

pub use attribute::AttributeError;
pub use battery::{BatteryError, BatteryReading, BatterySource, ChargeStatus, StateOfCharge, StateOfChargeError};
pub use meter::{EnergyMeter, MeterReading, energy_meters};
pub use thermal::{ThermalZone, thermal_zones};
pub use trace::{BatteryTrace, BatteryTraceError, TraceColumn};
