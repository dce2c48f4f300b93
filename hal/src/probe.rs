//! What the machine has, for a person who wonders why something is not used: each finding says what is missing for it
//! to work, and how to get it.

mod camera;
mod gpu;
mod microphone;
mod npu;
mod power;
mod processor;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use serde::Serialize;

use crate::cpu::CpuTopology;

/// One thing that the machine has, or that it has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// What was found, in a line; `none` if nothing.
    pub found: String,
    /// What is missing for it to be of use; `None` if nothing is.
    pub lack: Option<Lack>,
}

/// What is missing, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What is missing.
    pub missing: String,
    /// How to get it.
    pub remedy: String,
}

/// The kinds of things that are looked for, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The processor and its instruction sets.
    Processor,
    /// Graphics processors and their Vulkan drivers.
    Gpu,
    /// Neural processors and their runtime libraries.
    Npu,
    /// Batteries.
    Battery,
    /// Energy counters and power sensors.
    Energy,
    /// Temperature sensors.
    Thermal,
    /// Video capture devices.
    Camera,
    /// Audio capture devices.
    Microphone,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FindingKind::Processor => "processor",
            FindingKind::Gpu => "gpu",
            FindingKind::Npu => "npu",
            FindingKind::Battery => "battery",
            FindingKind::Energy => "energy",
            FindingKind::Thermal => "thermal",
            FindingKind::Camera => "camera",
            FindingKind::Microphone => "microphone",
        })
    }
}

/// Looks at the machine whose file system is at `root` (`/`, but for tests). Reads only; opens no
/// device, but asks drivers what adapters they have where `root` is this machine's own.
/// There is at least one finding of each kind.
pub fn probe(root: &Path, topology: &CpuTopology) -> Vec<Finding> {
    let mut findings = processor::probe(root, topology);
    findings.extend(gpu::probe(root));
    findings.extend(npu::probe(root));
    findings.extend(power::batteries(root));
    findings.extend(power::meters(root));
    findings.extend(power::zones(root));
    findings.extend(camera::probe(root));
    findings.extend(microphone::probe(root));
    findings
}

impl Finding {
    /// Something that works.
    fn works(kind: FindingKind, found: impl Into<String>) -> Finding {
        Finding { kind, found: found.into(), lack: None }
    }

    /// Something that lacks something.
    fn lacks(kind: FindingKind, found: impl Into<String>, missing: impl Into<String>, remedy: &str) -> Finding {
        let lack = Lack { missing: missing.into(), remedy: remedy.to_owned() };
        Finding { kind, found: found.into(), lack: Some(lack) }
    }

    /// Nothing of this kind.
    fn none(kind: FindingKind, missing: &str, remedy: &str) -> Finding {
        Finding::lacks(kind, "none", missing, remedy)
    }
}

/// The trimmed text of a file; `None` if it cannot be read or is empty.
fn line(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    let text =
        String::from_utf8_lossy(&text).trim_matches(|letter: char| letter.is_whitespace() || letter == '\0').to_owned();
    (!text.is_empty()).then_some(text)
}

/// The paths in a folder in the order of their names; none if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What keeps this process from using the device file, if anything.
fn barred(device: &Path, group: &str) -> Option<Lack> {
    let (missing, remedy) = if !device.exists() {
        (
            format!("{} does not exist", device.display()),
            "run outside of the container, or hand the device into it".to_owned(),
        )
    } else if access(device, Access::READ_OK | Access::WRITE_OK).is_err() {
        (
            format!("no permission for {}", device.display()),
            format!("sudo usermod -aG {group} $USER, then log in again"),
        )
    } else {
        return None;
    };
    Some(Lack { missing, remedy })
}

/// Where the system keeps its libraries.
const LIBRARY_FOLDERS: [&str; 8] = [
    "usr/lib",
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/local/lib",
    "lib",
    "vendor/lib64",
    "run/opengl-driver/lib",
];

/// The first library whose file has this name.
fn library(root: &Path, file: &str) -> Option<PathBuf> {
    LIBRARY_FOLDERS.iter().map(|folder| root.join(folder).join(file)).find(|path| path.exists())
}

#[cfg(test)]
mod tests;
