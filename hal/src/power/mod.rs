//! Power and heat: batteries, energy meters and thermal zones, real ones, recorded ones or simulated ones; and the
//! ledger that says who took how much.

mod attribute;
mod battery;
#[cfg(feature = "nvml")]
mod card;
mod energy;
mod ledger;
mod meter;
mod model;
mod simulated;
mod source;
mod supply;
mod thermal;
mod trace;

pub use attribute::AttributeError;
pub use battery::{BatteryError, BatteryReading, BatterySource, ChargeStatus, StateOfCharge, StateOfChargeError};
pub use energy::{Energy, FemtoJoules, MicroJoules};
pub use ledger::{EnergyLedger, EnergyStatement, Settlement};
pub use meter::{EnergyMeter, MeterReading, MeterScope, energy_meters};
pub use model::{PowerModel, PowerState};
pub use simulated::{BatterySettings, SimulatedBattery, Warming};
pub use source::{Coverage, Discharge, EnergySource, EnergySourceError, Meters};
pub use thermal::{ThermalZone, thermal_zones};
pub use trace::{BatteryTrace, BatteryTraceError, TraceColumn};
