//! The power model: what a device draws by its profile, and what each accelerator adds while it works.

use std::collections::BTreeMap;
use std::time::Duration;

use super::energy::{FemtoJoules, MicroWatts};
use crate::accelerator::AcceleratorId;
use crate::profile::{AcceleratorProfile, DeviceProfile};

/// How much of a device is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PowerState {
    /// All of it.
    #[default]
    Awake,
    /// One core waits for an event.
    Standby,
    /// It is suspended to memory.
    Suspended,
}

/// What a device draws. A floor that is there whatever it does, and for each accelerator what it adds while a job runs.
/// Parts of the processor that share cores add to one floor: energy is charged once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerModel {
    awake: MicroWatts,
    standby: MicroWatts,
    suspended: MicroWatts,
    added: BTreeMap<AcceleratorId, MicroWatts>,
}

impl PowerModel {
    /// The model that a profile describes.
    pub fn new(profile: &DeviceProfile) -> PowerModel {
        let all = &profile.accelerators;
        let idle: f64 = all.iter().filter(|one| !is_part(one, all)).map(|one| one.idle.value.get()).sum();
        let added =
            |one: &AcceleratorProfile| (one.id, MicroWatts::from_watts(one.active.value.get() - one.idle.value.get()));
        PowerModel {
            awake: MicroWatts::from_watts(profile.power.base.value.get() + idle),
            standby: MicroWatts::from_watts(profile.power.standby.value.get()),
            suspended: MicroWatts::from_watts(profile.power.suspended.value.get()),
            added: all.iter().map(added).collect(),
        }
    }

    /// What it draws while no job runs, in watts.
    pub fn floor_watts(&self, state: PowerState) -> f64 {
        self.floor(state).0 as f64 * 1e-6
    }

    /// What a job on this accelerator adds to that, in watts; `None` where the device has no such accelerator.
    pub fn added_watts(&self, accelerator: AcceleratorId) -> Option<f64> {
        self.added.get(&accelerator).map(|added| added.0 as f64 * 1e-6)
    }

    pub(super) fn floor_over(&self, state: PowerState, time: Duration) -> FemtoJoules {
        self.floor(state).over(time)
    }

    pub(super) fn added_over(&self, accelerator: AcceleratorId, time: Duration) -> Option<FemtoJoules> {
        self.added.get(&accelerator).map(|added| added.over(time))
    }

    fn floor(&self, state: PowerState) -> MicroWatts {
        match state {
            PowerState::Awake => self.awake,
            PowerState::Standby => self.standby,
            PowerState::Suspended => self.suspended,
        }
    }
}

/// Whether all of its cores belong to another accelerator that has more.
fn is_part(one: &AcceleratorProfile, all: &[AcceleratorProfile]) -> bool {
    let holds = |other: &AcceleratorProfile| {
        other.cores.len() > one.cores.len() && one.cores.iter().all(|core| other.cores.contains(core))
    };
    !one.cores.is_empty() && all.iter().any(holds)
}
