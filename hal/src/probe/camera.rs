//! Cameras: the video devices of the kernel.

use std::path::Path;

use super::{Finding, FindingKind, barred, entries, line, name};

pub(super) fn probe(root: &Path) -> Vec<Finding> {
    let nodes = entries(&root.join("sys/class/video4linux"));
    // A camera has several nodes; the first carries the picture, the others its metadata.
    let is_first = |node: &&std::path::PathBuf| {
        name(node).starts_with("video") && line(&node.join("index")).is_none_or(|index| index == "0")
    };
    let mut findings: Vec<Finding> = nodes
        .iter()
        .filter(is_first)
        .map(|node| {
            let device = root.join("dev").join(name(node));
            let label = line(&node.join("name")).unwrap_or_else(|| "camera".to_owned());
            let found = format!("{label} (/dev/{})", name(node));
            Finding { kind: FindingKind::Camera, found, lack: barred(&device, "video") }
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::none(
            FindingKind::Camera,
            "the kernel shows none in /sys/class/video4linux",
            "connect a camera",
        ));
    }
    findings
}
