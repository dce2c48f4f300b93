//! The memory of a process: what the kernel says that it takes.
use std::{fs, path::Path};

/// Bytes of memory that a process takes, its code and mapped files included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak_resident: u64,
}

impl ProcessMemory {
    /// This process's, from the file system at `root`; nothing where the kernel does not say.
    pub fn read(root: &Path) -> Option<ProcessMemory> {
        ProcessMemory::parse(&fs::read_to_string(root.join("proc/self/status")).ok()?)
    }

    /// The process `id`'s, from the file system at `root`; nothing where it has ended or the kernel does not say.
    pub fn of(root: &Path, id: u32) -> Option<ProcessMemory> {
        ProcessMemory::parse(&fs::read_to_string(root.join(format!("proc/{id}/status"))).ok()?)
    }

    fn parse(status: &str) -> Option<ProcessMemory> {
        let kilobytes = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        let bytes = |name: &str| kilobytes(name)?.checked_mul(1024);
        Some(ProcessMemory { resident: bytes("VmRSS")?, peak_resident: bytes("VmHWM")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_and_what_it_does_not_say_is_nothing() {
        let status = "Name:\tcat\nVmPeak:\t  9000 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t 7 kB\n";
        let expected = ProcessMemory { resident: 1 << 20, peak_resident: 2 << 20 };
        assert_eq!(ProcessMemory::parse(status), Some(expected));
        // A kernel thread has no memory of its own.
        assert_eq!(ProcessMemory::parse("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_buffer_that_was_written_raises_the_peak() {
        let before = ProcessMemory::read(Path::new("/")).expect("a kernel that says it").peak_resident;
        let buffer = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = ProcessMemory::of(Path::new("/"), std::process::id()).expect("this process");
        assert!(after.resident >= buffer.len() as u64, "{after:?}");
        assert!(after.peak_resident >= before, "{before} bytes before, {after:?}");
    }
}
