//! The processor: its name, its cores and those of its instruction sets that matter for numerics.

use std::fs;
use std::path::Path;

use super::{Finding, FindingKind};
use crate::cpu::CpuTopology;

/// What the kernel calls the instruction sets that kernels are or may be written for, weakest first.
const FEATURES: [&str; 17] = [
    "sse4_2",
    "f16c",
    "fma",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
];

pub(super) fn probe(root: &Path, topology: &CpuTopology) -> Vec<Finding> {
    let cores = topology.cores().len();
    let clusters = topology.clusters();
    let mut found = format!("{}, {}", topology.model().unwrap_or("unnamed processor"), count(cores, "core"));
    if clusters.len() > 1 {
        let sizes: Vec<String> = clusters.iter().map(|cluster| cluster.len().to_string()).collect();
        found += &format!(" in clusters of {}", sizes.join(" and "));
    }
    let features = features(root);
    if features.is_empty() {
        return vec![Finding::lacks(
            FindingKind::Processor,
            found,
            "no vector instructions that there are kernels for",
            "none: the portable kernels are used",
        )];
    }
    vec![Finding::works(FindingKind::Processor, format!("{found}, {}", features.join(" ")))]
}

/// The instruction sets of the first cpu that are worth a word.
fn features(root: &Path) -> Vec<&'static str> {
    let cpuinfo = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
    let line = cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| {
        // x86 and Arm call it differently.
        matches!(key.trim(), "flags" | "Features")
    });
    let has: Vec<&str> = line.map(|(_, flags)| flags.split_whitespace().collect()).unwrap_or_default();
    FEATURES.into_iter().filter(|feature| has.contains(feature)).collect()
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
