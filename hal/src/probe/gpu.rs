//! Graphics processors: the render nodes of the kernel, and the Vulkan loader and drivers that make them compute.

use std::fs;
use std::path::Path;

use super::{Finding, FindingKind, Lack, barred, entries, library, line, name};

/// Where Vulkan drivers announce themselves.
const DRIVER_FOLDERS: [&str; 4] = [
    "usr/share/vulkan/icd.d",
    "etc/vulkan/icd.d",
    "usr/local/share/vulkan/icd.d",
    "run/opengl-driver/share/vulkan/icd.d",
];

pub(super) fn probe(root: &Path) -> Vec<Finding> {
    let drivers = vulkan_drivers(root);
    let mut findings: Vec<Finding> = entries(&root.join("sys/class/drm"))
        .iter()
        .filter(|node| name(node).starts_with("renderD") && kernel_driver(node).as_deref() != Some("RKNPU"))
        .map(|node| {
            let device = root.join("dev/dri").join(name(node));
            let lack = barred(&device, "render").or_else(|| vulkan_lack(root, &drivers));
            Finding { kind: FindingKind::Gpu, found: format!("{} ({})", describe(node), name(node)), lack }
        })
        .collect();
    findings.extend(nvidia(root, &drivers));
    findings.extend(adapters(root));
    if findings.is_empty() {
        findings.push(Finding::none(
            FindingKind::Gpu,
            "the kernel shows no render node in /sys/class/drm",
            "load the kernel driver of your GPU, if there is one; work runs on the cpu",
        ));
    }
    findings
}

/// What drivers say that they can do. They speak for the machine that this runs on, not for one made of files.
#[cfg(feature = "gpu")]
fn adapters(root: &Path) -> Vec<Finding> {
    let adapters = if root == Path::new("/") { crate::gpu::adapters() } else { Vec::new() };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let finding = |adapter: crate::gpu::GpuAdapter| {
        let crate::gpu::GpuAdapter { index, name, backend, driver, kind, limits, features } = adapter;
        let found = format!(
            "adapter {index}: {name}, {kind}, {backend}, {driver}; buffers of {:.1} GiB, {:.1} GiB bound; {features}",
            gib(limits.buffer_bytes),
            gib(limits.binding_bytes),
        );
        Finding::works(FindingKind::Gpu, found)
    };
    adapters.into_iter().map(finding).collect()
}

#[cfg(not(feature = "gpu"))]
fn adapters(_: &Path) -> Vec<Finding> {
    Vec::new()
}

/// NVIDIA's own driver shows its cards in a place of its own, and headless ones only there.
fn nvidia(root: &Path, drivers: &[String]) -> Vec<Finding> {
    let model = |card: &Path| {
        let text = fs::read_to_string(card.join("information")).ok()?;
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned();
        let lack = barred(&root.join("dev/nvidiactl"), "video").or_else(|| vulkan_lack(root, drivers));
        Some(Finding { kind: FindingKind::Gpu, found: model, lack })
    };
    entries(&root.join("proc/driver/nvidia/gpus")).iter().filter_map(|card| model(card)).collect()
}

fn describe(node: &Path) -> String {
    let vendor = match line(&node.join("device/vendor")).as_deref() {
        Some("0x1002") => "AMD",
        Some("0x10de") => "NVIDIA",
        Some("0x8086") => "Intel",
        Some("0x1af4") => "virtio",
        _ => "GPU",
    };
    match kernel_driver(node) {
        Some(driver) => format!("{vendor}, kernel driver {driver}"),
        None => vendor.to_owned(),
    }
}

/// The kernel driver behind a node, as the node's event file names it.
pub(super) fn kernel_driver(node: &Path) -> Option<String> {
    let event = fs::read_to_string(node.join("device/uevent")).ok()?;
    event.lines().find_map(|line| line.strip_prefix("DRIVER=")).map(str::to_owned)
}

/// The drivers by the names of their announcements, those that compute on the cpu left out.
fn vulkan_drivers(root: &Path) -> Vec<String> {
    let files = DRIVER_FOLDERS.iter().flat_map(|folder| entries(&root.join(folder)));
    let is_driver = |file: &String| file.ends_with(".json") && !file.contains("lvp");
    files.map(|file| name(&file)).filter(is_driver).collect()
}

fn vulkan_lack(root: &Path, drivers: &[String]) -> Option<Lack> {
    let (missing, remedy) = if library(root, "libvulkan.so.1").is_none() {
        ("the Vulkan loader libvulkan.so.1", "install libvulkan1 (vulkan-loader on Fedora)")
    } else if drivers.is_empty() {
        ("a Vulkan driver for it", "install mesa-vulkan-drivers, or the driver of your GPU's vendor")
    } else {
        return None;
    };
    Some(Lack { missing: missing.to_owned(), remedy: remedy.to_owned() })
}
