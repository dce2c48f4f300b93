//! The probe under test, on machines made of files.

use super::*;
use crate::cpu::CpuSet;
use tempfile::TempDir;

fn machine(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (file, text) in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    root
}

/// The findings of one kind as lines, paths without the machine's root.
fn seen(root: &TempDir, kind: FindingKind) -> Vec<String> {
    let cpus = CpuSet::parse("0-1").expect("a list");
    let findings = probe(root.path(), &CpuTopology::read(root.path(), &cpus, 2));
    let show = |finding: Finding| match finding.lack {
        None => finding.found,
        Some(lack) => format!("{} | {} | {}", finding.found, lack.missing, lack.remedy),
    };
    let lines = findings.into_iter().filter(|finding| finding.kind == kind).map(show);
    lines.map(|line| line.replace(&root.path().display().to_string(), "")).collect()
}

#[test]
fn an_empty_machine_has_a_finding_of_each_kind_that_says_what_is_missing() {
    let root = machine(&[]);
    let topology = CpuTopology::read(root.path(), &CpuSet::parse("0").expect("a list"), 1);
    let findings = probe(root.path(), &topology);
    let kinds: Vec<FindingKind> = findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    assert_eq!(kinds.len(), 8, "{findings:#?}");
    for finding in findings {
        let lack = finding.lack.expect("something is missing");
        assert!(!lack.missing.is_empty() && !lack.remedy.is_empty(), "{lack:?}");
    }
}

#[test]
fn this_machine_can_be_probed() {
    let findings = probe(Path::new("/"), &CpuTopology::detect());
    assert!(findings.iter().any(|finding| finding.kind == FindingKind::Processor), "{findings:#?}");
}

#[test]
fn the_processor_is_named_with_its_instruction_sets() {
    let root =
        machine(&[("proc/cpuinfo", "model name\t: AMD EPYC\nflags\t\t: fpu sse4_2 avx2 fma avx512f avx512_vnni\n")]);
    assert_eq!(seen(&root, FindingKind::Processor), ["AMD EPYC, 2 cores, sse4_2 fma avx2 avx512f avx512_vnni"]);
    let root = machine(&[("proc/cpuinfo", "Features\t: fp asimd asimddp i8mm\n")]);
    assert_eq!(seen(&root, FindingKind::Processor), ["unnamed processor, 2 cores, asimd asimddp i8mm"]);
}

#[test]
fn a_gpu_lacks_its_device_file_then_the_loader_then_a_driver_then_nothing() {
    let node = "sys/class/drm/renderD128/device";
    let root = machine(&[(&format!("{node}/vendor"), "0x1002\n"), (&format!("{node}/uevent"), "DRIVER=amdgpu\nX=1\n")]);
    let add = |file: &str| {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, "").expect("a file");
    };
    let found = "AMD, kernel driver amdgpu (renderD128)";
    let container = "run outside of the container, or hand the device into it";
    assert_eq!(seen(&root, FindingKind::Gpu), [format!("{found} | /dev/dri/renderD128 does not exist | {container}")]);
    add("dev/dri/renderD128");
    let loader = "the Vulkan loader libvulkan.so.1 | install libvulkan1 (vulkan-loader on Fedora)";
    assert_eq!(seen(&root, FindingKind::Gpu), [format!("{found} | {loader}")]);
    add("usr/lib/x86_64-linux-gnu/libvulkan.so.1");
    add("usr/share/vulkan/icd.d/lvp_icd.x86_64.json");
    let driver = "a Vulkan driver for it | install mesa-vulkan-drivers, or the driver of your GPU's vendor";
    assert_eq!(seen(&root, FindingKind::Gpu), [format!("{found} | {driver}")]);
    add("usr/share/vulkan/icd.d/radeon_icd.x86_64.json");
    assert_eq!(seen(&root, FindingKind::Gpu), [found]);
}

#[test]
fn a_headless_nvidia_card_is_found_by_its_own_driver() {
    let root = machine(&[
        ("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H100\nIRQ: 3\n"),
        ("dev/nvidiactl", ""),
        ("usr/lib64/libvulkan.so.1", ""),
        ("etc/vulkan/icd.d/nvidia_icd.json", ""),
    ]);
    assert_eq!(seen(&root, FindingKind::Gpu), ["NVIDIA H100"]);
}

#[test]
fn a_rockchip_npu_is_no_gpu_and_wants_its_library() {
    let root = machine(&[
        ("sys/class/drm/renderD129/device/uevent", "DRIVER=RKNPU\n"),
        ("sys/module/rknpu/version", "0.9.6\n"),
        ("dev/dri/renderD129", ""),
    ]);
    let remedy = "install Rockchip's rknpu2 runtime into /usr/lib";
    assert_eq!(
        seen(&root, FindingKind::Npu),
        [format!("Rockchip NPU, driver 0.9.6 | the runtime library librknnrt.so | {remedy}")]
    );
    assert!(seen(&root, FindingKind::Gpu)[0].starts_with("none | "), "{:?}", seen(&root, FindingKind::Gpu));
    fs::create_dir_all(root.path().join("usr/lib")).expect("a folder");
    fs::write(root.path().join("usr/lib/librknnrt.so"), "").expect("a file");
    assert_eq!(seen(&root, FindingKind::Npu), ["Rockchip NPU, driver 0.9.6"]);
}

#[test]
fn batteries_meters_and_zones_show_what_they_measure() {
    let root = machine(&[
        ("sys/class/power_supply/BAT0/type", "Battery\n"),
        ("sys/class/power_supply/BAT0/status", "Discharging\n"),
        ("sys/class/power_supply/BAT0/capacity", "42\n"),
        ("sys/class/power_supply/BAT0/power_now", "6250000\n"),
        ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
        ("sys/class/powercap/intel-rapl:0/energy_uj", "1\n"),
        ("sys/class/thermal/thermal_zone0/type", "soc-thermal\n"),
        ("sys/class/thermal/thermal_zone0/temp", "48125\n"),
    ]);
    assert_eq!(seen(&root, FindingKind::Battery), ["42 %, discharging, 6.2 W"]);
    assert_eq!(seen(&root, FindingKind::Energy), ["package-0"]);
    assert_eq!(seen(&root, FindingKind::Thermal), ["soc-thermal, 48 °C"]);
}

#[test]
fn cameras_show_their_picture_node_and_microphones_their_capture_device() {
    let root = machine(&[
        ("sys/class/video4linux/video0/name", "HD Webcam\n"),
        ("sys/class/video4linux/video0/index", "0\n"),
        ("sys/class/video4linux/video1/name", "HD Webcam\n"),
        ("sys/class/video4linux/video1/index", "1\n"),
        ("dev/video0", ""),
        ("dev/snd/pcmC0D0c", ""),
        (
            "proc/asound/pcm",
            "00-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1\n00-03: HDMI 0 : HDMI 0 : playback 1\nrubbish\n",
        ),
    ]);
    assert_eq!(seen(&root, FindingKind::Camera), ["HD Webcam (/dev/video0)"]);
    assert_eq!(seen(&root, FindingKind::Microphone), ["ALC257 Analog (hw:0,0)"]);
}
