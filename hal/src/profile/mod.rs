//! Device profiles: what a device computes, reads, draws and stores, each figure with where it comes from.
//!
//! Profiles are RON texts. Those of `hal/profiles` are part of the library; others are read from a path. A figure
//! without origin does not parse.

mod accelerator;
mod battery;
mod embedded;
mod figures;
mod quantity;
mod roofline;
mod sourced;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ron::extensions::Extensions;
use serde::Deserialize;

pub use accelerator::{AcceleratorProfile, AcceleratorProfileError, Peak, Precision, Sustained};
pub use battery::{BatteryProfile, Capacity};
pub use figures::Figure;
pub use quantity::{
    Fraction, GigabytesPerSecond, Gops, Mebibytes, Microseconds, MilliampHours, QuantityError, Volts, WattHours, Watts,
};
pub use roofline::Roofline;
pub use sourced::{Origin, OriginError, Sourced};

use crate::accelerator::AcceleratorId;
use crate::cpu::CoreGroup;
use crate::ron_fault;

/// A profile is no larger than this: ours are a tenth of it.
const MAX_BYTES: u64 = 256 << 10;

/// A device: a board or a computer with its battery.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct DeviceProfile {
    /// What it is called: `rk3566`.
    pub name: String,
    /// What it is, in a line.
    pub description: String,
    /// Its memory.
    pub memory: Sourced<Mebibytes>,
    /// What it reads from the disk or card that its models are on, file after file.
    pub storage: Sourced<GigabytesPerSecond>,
    /// What it draws beside its accelerators.
    pub power: BoardPower,
    /// What it lives on; none where it needs mains.
    pub battery: Option<BatteryProfile>,
    /// Its accelerators, in the order in which lists show them. At least one.
    pub accelerators: Vec<AcceleratorProfile>,
    text: String,
}

/// What a device draws beside its accelerators.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardPower {
    /// While it is awake: board, memory, radio and the parts of the chip that are no accelerator, all accelerators idle
    /// being beside it.
    pub base: Sourced<Watts>,
    /// While it waits for an event with one core at its lowest clock and all else off, its accelerators among that.
    pub standby: Sourced<Watts>,
    /// While it is suspended to memory, its accelerators among that.
    pub suspended: Sourced<Watts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "DeviceProfile")]
struct Written {
    name: String,
    description: String,
    memory: Sourced<Mebibytes>,
    storage: Sourced<GigabytesPerSecond>,
    power: BoardPower,
    battery: Option<BatteryProfile>,
    accelerators: Vec<AcceleratorProfile>,
}

impl DeviceProfile {
    /// The names of the profiles that are part of the library.
    pub fn names() -> impl Iterator<Item = &'static str> {
        embedded::PROFILES.iter().map(|(name, _)| *name)
    }

    /// The profile of this name, or else that at this path: what has a folder or an extension is a path.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be read.
    pub fn find(name_or_path: &str) -> Result<DeviceProfile, DeviceProfileError> {
        let path = Path::new(name_or_path);
        if path.extension().is_some() || path.components().count() > 1 {
            return DeviceProfile::open(path);
        }
        match embedded::PROFILES.iter().find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => DeviceProfile::parse(Path::new(&format!("{name}.ron")), text),
            None => Err(DeviceProfileError::Unknown { name: name_or_path.to_owned() }),
        }
    }

    /// Reads the profile at `path`.
    ///
    /// # Errors
    /// It cannot be read, is larger than 256 KiB, or is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<DeviceProfile, DeviceProfileError> {
        let path = path.as_ref();
        let failed = |source| DeviceProfileError::Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(DeviceProfileError::TooLarge { path: path.to_owned() });
        }
        DeviceProfile::parse(path, &text)
    }

    /// Reads the text of a profile; `path` is what errors call it.
    ///
    /// # Errors
    /// It is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<DeviceProfile, DeviceProfileError> {
        let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
        let profile: Result<DeviceProfile, _> = options.from_str(text);
        let profile = profile.map(|profile| DeviceProfile { text: text.to_owned(), ..profile });
        profile.map_err(|error| DeviceProfileError::Wrong {
            path: path.to_owned(),
            line: error.span.start.line,
            column: error.span.start.col,
            what: ron_fault::describe(&error, text, |_, _| None),
        })
    }

    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One of its accelerators.
    pub fn accelerator(&self, id: AcceleratorId) -> Option<&AcceleratorProfile> {
        self.accelerators.iter().find(|accelerator| accelerator.id == id)
    }

    /// How long jobs take on one of its accelerators; `None` where it has no such accelerator.
    pub fn roofline(&self, id: AcceleratorId) -> Option<Roofline> {
        Some(Roofline::new(self.accelerator(id)?, self.storage.value))
    }

    /// Its core groups, as [`crate::default_groups`] gives those of the machine.
    pub fn core_groups(&self) -> Vec<CoreGroup> {
        let cpus = self.accelerators.iter().filter(|accelerator| !accelerator.cores.is_empty());
        cpus.map(|cpu| CoreGroup { name: cpu.id, cpus: cpu.cores.clone() }).collect()
    }
}

/// Why a profile could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DeviceProfileError {
    /// No profile of the library is called so.
    #[error("expected a device such as {}, or the path of a profile, found {name:?}", DeviceProfile::names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the device profile {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is too large for a profile.
    #[error("the device profile {} is too large: expected at most {MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, as `expected …, found …`.
        what: String,
    },
}

/// A device whose figures contradict each other.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum ContradictionError {
    #[error("accelerators: expected at least one, found none")]
    NoAccelerators,
    #[error("accelerators: expected each once, found {id} twice")]
    Twice { id: AcceleratorId },
    #[error("accelerators: {id}: expected cores of cpu, which are {all}, found {found}")]
    NotOfTheWhole { id: AcceleratorId, all: String, found: String },
    #[error("power: expected suspended ≤ standby ≤ base, found {suspended}, {standby} and {base}")]
    Power { suspended: Watts, standby: Watts, base: Watts },
}

impl TryFrom<Written> for DeviceProfile {
    type Error = ContradictionError;

    fn try_from(written: Written) -> Result<DeviceProfile, ContradictionError> {
        let accelerators = written.accelerators;
        if accelerators.is_empty() {
            return Err(ContradictionError::NoAccelerators);
        }
        for (number, one) in accelerators.iter().enumerate() {
            if accelerators[..number].iter().any(|other| other.id == one.id) {
                return Err(ContradictionError::Twice { id: one.id });
            }
        }
        let whole = AcceleratorId::whole(crate::AcceleratorKind::Cpu);
        if let Some(whole) = accelerators.iter().find(|accelerator| accelerator.id == whole) {
            let outside = |part: &&AcceleratorProfile| part.cores.iter().any(|core| !whole.cores.contains(core));
            if let Some(part) = accelerators.iter().find(outside) {
                let (all, found) = (whole.cores.to_string(), part.cores.to_string());
                return Err(ContradictionError::NotOfTheWhole { id: part.id, all, found });
            }
        }
        let BoardPower { base, standby, suspended } = &written.power;
        if suspended.value > standby.value || standby.value > base.value {
            let (suspended, standby, base) = (suspended.value, standby.value, base.value);
            return Err(ContradictionError::Power { suspended, standby, base });
        }
        Ok(DeviceProfile {
            name: written.name,
            description: written.description,
            memory: written.memory,
            storage: written.storage,
            power: written.power,
            battery: written.battery,
            accelerators,
            text: String::new(),
        })
    }
}

#[cfg(test)]
mod tests;
