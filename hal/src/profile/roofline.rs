//! The roofline of an accelerator: how long a job takes that computes so much and reads so much.

use std::time::Duration;

use super::accelerator::{AcceleratorProfile, Precision};
use super::quantity::GigabytesPerSecond;
use crate::accelerator::{JobCost, Phase};

/// The time of a job: what it costs to launch it, and then whichever takes longer, its arithmetic in the precision of
/// its phase or its reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    launch_ns: f64,
    /// From memory, and from storage.
    bytes_per_ns: f64,
    stored_bytes_per_ns: f64,
    /// By phase; none where the accelerator cannot do it.
    flops_per_ns: [Option<f64>; Phase::ALL.len()],
}

impl Roofline {
    /// The roofline of an accelerator whose device reads this fast from storage. Loading reads from there, all else from
    /// memory. What arithmetic loading, preparing and migrating have is done at the slowest precision that there is.
    pub(super) fn new(profile: &AcceleratorProfile, storage: GigabytesPerSecond) -> Roofline {
        let compute = profile.sustained.compute.value.get();
        // Billions in a second are units in a nanosecond.
        let peak = |precision| profile.peak.at(precision).map(|peak| peak.value.get() * compute);
        let slowest = Precision::ALL.into_iter().filter_map(peak).reduce(f64::min);
        let flops_per_ns = Phase::ALL.map(|phase| match phase {
            _ if phase.is_done_everywhere() => Some(slowest.unwrap_or(f64::INFINITY)),
            _ => profile.runs.value.get(&phase).and_then(|precision| peak(*precision)),
        });
        Roofline {
            launch_ns: profile.launch.value.get() * 1e3,
            bytes_per_ns: profile.bandwidth.value.get() * profile.sustained.bandwidth.value.get(),
            stored_bytes_per_ns: storage.get(),
            flops_per_ns,
        }
    }

    /// Whether the accelerator can do this at all.
    pub fn runs(&self, phase: Phase) -> bool {
        self.flops_per_ns[phase as usize].is_some()
    }

    /// How long a job takes, in whole nanoseconds; `None` where the accelerator cannot do it.
    pub fn time(&self, phase: Phase, cost: JobCost) -> Option<Duration> {
        let computing = cost.flops as f64 / self.flops_per_ns[phase as usize]?;
        let rate = if phase == Phase::Load { self.stored_bytes_per_ns } else { self.bytes_per_ns };
        let reading = cost.bytes as f64 / rate;
        // A cast of what is too large takes the largest, 584 years.
        Some(Duration::from_nanos((self.launch_ns + computing.max(reading)).ceil() as u64))
    }
}
