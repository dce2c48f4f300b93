//! Cameras: the video devices of the kernel.

use std::path::Path;

use super::{Finding, FindingKind, barred, name};
use crate::camera::cameras;

pub(super) fn probe(root: &Path) -> Vec<Finding> {
    let mut findings: Vec<Finding> = cameras(root)
        .into_iter()
        .map(|camera| {
            let found = format!("{} (/dev/{})", camera.label, name(&camera.device));
            Finding { kind: FindingKind::Camera, found, lack: barred(&camera.device, "video") }
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
