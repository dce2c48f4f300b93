//! What a device's profile says of jobs: how long they take on each accelerator, what they draw, and who is in whose way.

use std::time::Duration;

use nanomind_hal::profile::{DeviceProfile, Roofline};
use nanomind_hal::{AcceleratorId, JobCost, Phase, PowerModel, PowerState};

use crate::jobs::JOB_TIME;

/// An accelerator of a device.
pub(super) struct Unit {
    pub(super) id: AcceleratorId,
    pub(super) cores: Vec<usize>,
    roofline: Roofline,
    /// What a job adds to what the device draws, in watts.
    pub(super) added_w: f64,
}

/// A device in numbers.
pub(super) struct Device {
    pub(super) units: Vec<Unit>,
    /// What it draws while no job runs, in watts: awake, and standing by.
    pub(super) awake_w: f64,
    pub(super) standby_w: f64,
}

impl Device {
    pub(super) fn new(profile: &DeviceProfile) -> Device {
        let power = PowerModel::new(profile);
        let units = profile.accelerators.iter().filter_map(|one| {
            let (roofline, added_w) = profile.roofline(one.id).zip(power.added_watts(one.id))?;
            Some(Unit { id: one.id, cores: one.cores.iter().collect(), roofline, added_w })
        });
        Device {
            units: units.collect(),
            awake_w: power.floor_watts(PowerState::Awake),
            standby_w: power.floor_watts(PowerState::Standby),
        }
    }

    /// The place of an accelerator among the units.
    pub(super) fn unit(&self, id: AcceleratorId) -> Option<usize> {
        self.units.iter().position(|unit| unit.id == id)
    }
}

impl Unit {
    /// How long a job takes; nothing where the profile does not say, which the check of a graph rules out.
    pub(super) fn time(&self, phase: Phase, cost: JobCost) -> Duration {
        self.roofline.time(phase, cost).unwrap_or_default()
    }

    /// Whether a job takes no longer than jobs are cut to.
    pub(super) fn fits(&self, phase: Phase, cost: JobCost) -> bool {
        self.time(phase, cost) <= JOB_TIME
    }

    /// Whether one of the two waits while the other works.
    pub(super) fn overlaps(&self, other: &Unit) -> bool {
        self.id == other.id || self.cores.iter().any(|core| other.cores.contains(core))
    }
}
