//! What a profile says of one accelerator.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::quantity::{Fraction, GigabytesPerSecond, Gops, Mebibytes, Microseconds, Watts};
use super::sourced::Sourced;
use crate::accelerator::{AcceleratorId, AcceleratorKind, Phase};
use crate::cpu::{CpuListError, CpuSet};

/// What numbers an accelerator computes with. The figures are those of its multipliers: weights of four bits are
/// unpacked to one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Integers of 8 bits.
    Int8,
    /// Floating point of 16 bits.
    F16,
    /// Floating point of 32 bits.
    F32,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 3] = [Precision::Int8, Precision::F16, Precision::F32];

    /// Its name: `int8`, `f16` or `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Int8 => "int8",
            Precision::F16 => "f16",
            Precision::F32 => "f32",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One accelerator of a device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct AcceleratorProfile {
    /// What it is called: `cpu`, `cpu:0`, `gpu`, `npu`.
    pub id: AcceleratorId,
    /// What it is: `4 × Cortex-A55 at 1.8 GHz`.
    pub description: String,
    /// The cores that it computes on; none but for `cpu` and its parts.
    pub cores: CpuSet,
    /// What it could compute at most, by precision. None where it does not compute so.
    pub peak: Peak,
    /// What it can read from memory at most.
    pub bandwidth: Sourced<GigabytesPerSecond>,
    /// How much of the two it keeps up.
    pub sustained: Sustained,
    /// What a job costs before it computes, all of its dispatches together.
    pub launch: Sourced<Microseconds>,
    /// The memory that it can reach, which on most devices is the memory of all.
    pub memory: Sourced<Mebibytes>,
    /// What bricks can do there, and how precisely. Loading, preparing and migrating can be done everywhere.
    pub runs: Sourced<BTreeMap<Phase, Precision>>,
    /// What it draws beyond the board while a job runs.
    pub active: Sourced<Watts>,
    /// What it draws beyond the board while it waits for jobs.
    pub idle: Sourced<Watts>,
}

/// What an accelerator could compute at most, by precision.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peak {
    /// With integers of 8 bits.
    pub int8: Option<Sourced<Gops>>,
    /// With floating point of 16 bits.
    pub f16: Option<Sourced<Gops>>,
    /// With floating point of 32 bits.
    pub f32: Option<Sourced<Gops>>,
}

impl Peak {
    /// The figure of one precision.
    pub fn at(&self, precision: Precision) -> Option<&Sourced<Gops>> {
        match precision {
            Precision::Int8 => self.int8.as_ref(),
            Precision::F16 => self.f16.as_ref(),
            Precision::F32 => self.f32.as_ref(),
        }
    }
}

/// How much of its peaks an accelerator keeps up in our kind of work.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sustained {
    /// Of its operations a second.
    pub compute: Sourced<Fraction>,
    /// Of its bandwidth.
    pub bandwidth: Sourced<Fraction>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Accelerator")]
struct Written {
    id: AcceleratorId,
    description: String,
    cores: Option<String>,
    peak: Peak,
    bandwidth: Sourced<GigabytesPerSecond>,
    sustained: Sustained,
    launch: Sourced<Microseconds>,
    memory: Sourced<Mebibytes>,
    runs: Sourced<BTreeMap<Phase, Precision>>,
    active: Sourced<Watts>,
    idle: Sourced<Watts>,
}

/// An accelerator whose figures contradict each other.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AcceleratorProfileError {
    /// A part of the processor without cores, or cores of what is no part of it.
    #[error("{id}: expected {expected}, found {found}")]
    Cores {
        /// The accelerator.
        id: AcceleratorId,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The cores are no list of cpus.
    #[error("{id}: cores: {source}")]
    CoreList {
        /// The accelerator.
        id: AcceleratorId,
        /// What is wrong with the list.
        source: CpuListError,
    },
    /// It computes a phase with a precision that has no peak.
    #[error("{id}: runs {phase} in {precision}: expected peak.{precision}, found none")]
    NoPeak {
        /// The accelerator.
        id: AcceleratorId,
        /// The phase.
        phase: Phase,
        /// The precision.
        precision: Precision,
    },
    /// It lists a phase that is no computing.
    #[error("{id}: runs: expected embed, encode, project, prefill or decode, found {phase}, which is done everywhere")]
    NotComputed {
        /// The accelerator.
        id: AcceleratorId,
        /// The phase.
        phase: Phase,
    },
    /// It draws less while it works.
    #[error("{id}: active: expected at least what it draws when idle, {idle}, found {active}")]
    IdleAboveActive {
        /// The accelerator.
        id: AcceleratorId,
        /// Its idle power.
        idle: Watts,
        /// Its power when active.
        active: Watts,
    },
}

impl TryFrom<Written> for AcceleratorProfile {
    type Error = AcceleratorProfileError;

    fn try_from(written: Written) -> Result<AcceleratorProfile, AcceleratorProfileError> {
        let id = written.id;
        let cores = cores(id, written.cores.as_deref())?;
        for (&phase, &precision) in &written.runs.value {
            if phase.is_done_everywhere() {
                return Err(AcceleratorProfileError::NotComputed { id, phase });
            }
            if written.peak.at(precision).is_none() {
                return Err(AcceleratorProfileError::NoPeak { id, phase, precision });
            }
        }
        let (idle, active) = (written.idle.value, written.active.value);
        if idle > active {
            return Err(AcceleratorProfileError::IdleAboveActive { id, idle, active });
        }
        Ok(AcceleratorProfile {
            id,
            description: written.description,
            cores,
            peak: written.peak,
            bandwidth: written.bandwidth,
            sustained: written.sustained,
            launch: written.launch,
            memory: written.memory,
            runs: written.runs,
            active: written.active,
            idle: written.idle,
        })
    }
}

fn cores(id: AcceleratorId, list: Option<&str>) -> Result<CpuSet, AcceleratorProfileError> {
    let is_cpu = id.kind() == AcceleratorKind::Cpu;
    let wrong = |expected, found| AcceleratorProfileError::Cores { id, expected, found };
    match list {
        Some(list) if is_cpu => CpuSet::parse(list).map_err(|source| AcceleratorProfileError::CoreList { id, source }),
        Some(_) => Err(wrong("no cores, as it is no part of the processor", "some")),
        None if is_cpu => Err(wrong("cores, such as \"0-3\"", "none")),
        None => Ok(CpuSet::default()),
    }
}
