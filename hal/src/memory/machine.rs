//! The memory of the machine: what the kernel says, within the limit of the control group.
use std::{fs, path::Path};

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMemory {
    /// All that this process may ever have.
    pub total: u64,
    /// What it may have now without anything being swapped out.
    pub available: u64,
}

impl MachineMemory {
    /// Reads it from the file system at `root`; nothing where the kernel does not say.
    pub fn read(root: &Path) -> Option<MachineMemory> {
        let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
        let kilobytes = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()
        };
        let (total, available) =
            (kilobytes("MemTotal")?.checked_mul(1024)?, kilobytes("MemAvailable")?.checked_mul(1024)?);
        // The first is of version 2 of control groups, the second of version 1; "max" and absurd numbers mean no limit.
        let limits = ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"];
        let limit = limits.iter().find_map(|file| fs::read_to_string(root.join(file)).ok()?.trim().parse::<u64>().ok());
        let limit = limit.unwrap_or(u64::MAX);
        Some(MachineMemory { total: total.min(limit), available: available.min(limit) })
    }
}
