//! Neural processors: the device nodes of their kernel drivers, and the libraries that run models on them.

use std::path::Path;

use super::gpu::kernel_driver;
use super::{Finding, FindingKind, Lack, barred, entries, library, line, name};

/// Rockchip's library, which is loaded at run time.
const RKNN: &str = "librknnrt.so";

pub(super) fn probe(root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(rockchip(root));
    findings.extend(entries(&root.join("sys/class/accel")).iter().map(|node| {
        let driver = kernel_driver(node).unwrap_or_else(|| "unknown".to_owned());
        Finding::lacks(
            FindingKind::Npu,
            format!("accelerator {} with kernel driver {driver}", name(node)),
            "support for this kind of NPU",
            "none yet: work runs on the cpu",
        )
    }));
    if findings.is_empty() {
        findings.push(Finding::none(
            FindingKind::Npu,
            "the kernel shows none in /dev/rknpu, /sys/class/drm or /sys/class/accel",
            "on a Rockchip board, boot a kernel with the rknpu driver; elsewhere work runs on the cpu",
        ));
    }
    findings
}

/// The NPU of RK3566 and RK3588: older kernels give it a node of its own, newer ones a render node.
fn rockchip(root: &Path) -> Option<Finding> {
    let own = root.join("dev/rknpu");
    let device = if own.exists() {
        own
    } else {
        let nodes = entries(&root.join("sys/class/drm"));
        let is_render = |node: &&std::path::PathBuf| name(node).starts_with("renderD");
        let node = nodes.iter().filter(is_render).find(|node| kernel_driver(node).as_deref() == Some("RKNPU"))?;
        root.join("dev/dri").join(name(node))
    };
    let version = line(&root.join("sys/module/rknpu/version")).map(|version| format!(", driver {version}"));
    let found = format!("Rockchip NPU{}", version.unwrap_or_default());
    let without_library = || {
        library(root, RKNN).is_none().then(|| Lack {
            missing: format!("the runtime library {RKNN}"),
            remedy: "install Rockchip's rknpu2 runtime into /usr/lib".to_owned(),
        })
    };
    Some(Finding { kind: FindingKind::Npu, found, lack: barred(&device, "render").or_else(without_library) })
}
