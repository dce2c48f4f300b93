//! What the machine offers: accelerators, memory, power, time, cameras and folders. Knows no model, no graph and no actor.
//!
//! To this crate a job is opaque: it runs on a lent [`Lane`] and declares its cost. All compute threads of the
//! project are started here, and only [`Clock`] reads the time or sleeps.
#![deny(unsafe_code)]

mod accelerator;
pub mod camera;
mod clock;
#[allow(unsafe_code)]
mod cpu;
mod folder_watch;
#[cfg(feature = "gpu")]
#[allow(unsafe_code)]
pub mod gpu;
#[allow(unsafe_code)]
mod memory;
mod power;
mod probe;
pub mod profile;
pub mod ron_fault;
mod sync;

pub use accelerator::{
    Accelerator, AcceleratorError, AcceleratorId, AcceleratorIdError, AcceleratorKind, AcceleratorStats, Accuracy,
    CoreLease, JobClass, JobCost, JobDone, JobError, JobHandle, JobLabel, JobOrder, JobTiming, JobTotals, Phase,
    Prediction, RunningJob,
};
pub use clock::{Clock, Interval, TimedOut, Timestamp};
pub use cpu::{Core, CoreGroup, CpuListError, CpuSet, CpuTopology, GroupsError, Lane, default_groups, parse_groups};
pub use folder_watch::{FolderChange, FolderWatch, WatchFor};
pub use memory::tabm;
pub use memory::{AlignedBuffer, AllocationError, MachineMemory, MapError, MappedFile, ProcessMemory};
pub use power::{
    AttributeError, BatteryError, BatteryReading, BatterySettings, BatterySource, BatteryTrace, BatteryTraceError,
    ChargeStatus, Coverage, Discharge, Energy, EnergyLedger, EnergyMeter, EnergySource, EnergySourceError,
    EnergyStatement, FemtoJoules, MeterReading, MeterScope, Meters, MicroJoules, PowerModel, PowerState, Settlement,
    SimulatedBattery, StateOfCharge, StateOfChargeError, ThermalZone, TraceColumn, Warming, energy_meters,
    thermal_zones,
};
pub use probe::{Finding, FindingKind, Lack, probe};
