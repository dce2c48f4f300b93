//! Profiles under test: ours parse and are sane, wrong ones say where and why.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::accelerator::{AcceleratorKind, JobCost, Phase};

fn ours() -> Vec<DeviceProfile> {
    DeviceProfile::names().map(|name| DeviceProfile::find(name).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// A small profile, one text of it replaced by another.
fn parse_with(old: &str, new: &str) -> Result<DeviceProfile, String> {
    let text = r#"DeviceProfile(
    name: "toy",
    description: "a toy",
    memory: (value: 512, source: "its box"),
    storage: (value: 0.2, source: "its box"),
    power: (
        base: (value: 1, source: "its box"),
        standby: (value: 0.5, source: "its box"),
        suspended: (value: 0.1, source: "its box"),
    ),
    battery: (
        capacity: MilliampHours((value: 1000, source: "its box")),
        voltage: (value: 3.7, source: "its box"),
        usable: (value: 0.9, estimate: "as of most"),
    ),
    accelerators: [(
        id: "cpu",
        description: "one core",
        cores: "0",
        peak: (int8: (value: 10, source: "its box"), f32: (value: 2, source: "its box")),
        bandwidth: (value: 4, source: "its box"),
        sustained: (compute: (value: 0.5, fitted: "a stopwatch"), bandwidth: (value: 0.25, estimate: "a guess")),
        launch: (value: 3, source: "its box"),
        memory: (value: 512, source: "its box"),
        runs: (value: {encode: int8, prefill: f32}, source: "its box"),
        active: (value: 2, source: "its box"),
        idle: (value: 0.5, source: "its box"),
    )],
)"#;
    assert!(text.contains(old), "{old:?} is not in the toy profile");
    DeviceProfile::parse(Path::new("toy.ron"), &text.replacen(old, new, 1)).map_err(|error| error.to_string())
}

fn toy() -> DeviceProfile {
    parse_with("toy", "toy").expect("the toy profile")
}

#[test]
fn all_our_profiles_parse_under_their_own_names() {
    let names: Vec<String> = ours().into_iter().map(|profile| profile.name).collect();
    assert_eq!(names, ["rk3566", "rk3588", "rpi5", "jetson-orin-nano", "laptop"]);
}

#[test]
fn the_numbers_of_our_profiles_are_of_their_kind() {
    for profile in ours() {
        let name = &profile.name;
        let board = profile.power.base.value.get();
        assert!((0.3..10.0).contains(&board), "{name}: base {board} W");
        let whole = profile.accelerators.iter().find(|accelerator| accelerator.id.to_string() == "cpu");
        let whole = whole.unwrap_or_else(|| panic!("{name}: no cpu"));
        for accelerator in &profile.accelerators {
            let of = |what: &str| format!("{name}: {}: {what}", accelerator.id);
            let bandwidth = accelerator.bandwidth.value.get();
            assert!((4.0..200.0).contains(&bandwidth), "{}", of("bandwidth"));
            let active = accelerator.active.value.get();
            assert!((0.5..40.0).contains(&active), "{}", of("active"));
            assert!(accelerator.memory.value <= profile.memory.value, "{}", of("more memory than the device"));
            let peak = |precision| accelerator.peak.at(precision).map_or(0.0, |peak| peak.value.get());
            let (int8, f16, f32) = (peak(Precision::Int8), peak(Precision::F16), peak(Precision::F32));
            assert!(int8 == 0.0 || int8 >= f16, "{}", of("int8 below f16"));
            assert!(f16 >= f32, "{}", of("f16 below f32"));
            if accelerator.id.kind() == AcceleratorKind::Cpu {
                assert!(active <= whole.active.value.get(), "{}", of("a part draws more than the whole"));
                assert!(f32 <= whole.peak.f32.as_ref().map_or(0.0, |peak| peak.value.get()), "{}", of("f32"));
            }
        }
    }
}

#[test]
fn core_groups_are_named_as_on_a_real_machine() {
    let rk3588 = DeviceProfile::find("rk3588").expect("a profile");
    let groups: Vec<String> =
        rk3588.core_groups().iter().map(|group| format!("{}={}", group.name, group.cpus)).collect();
    assert_eq!(groups, ["cpu=0-7", "cpu:0=4-7", "cpu:1=0-3"]);
}

#[test]
fn only_the_cascade_of_the_paper_was_fitted_to() {
    for profile in ours() {
        let fitted: Vec<Figure<'_>> = profile.fitted().collect();
        let places: Vec<&str> = fitted.iter().map(|figure| figure.place.as_str()).collect();
        if profile.name == "rk3566" {
            assert_eq!(places, ["power.standby", "battery.usable"]);
            assert!(fitted.iter().all(|figure| figure.origin.text().contains("cascade (arXiv 2510.05109)")));
        } else {
            assert_eq!(places, [""; 0], "{}", profile.name);
        }
    }
}

#[test]
fn the_battery_of_the_paper_lasts_as_long_as_it_was_fitted_to() {
    let rk3566 = DeviceProfile::find("rk3566").expect("a profile");
    let battery = rk3566.battery.expect("a battery");
    assert!((battery.nominal_wh() - 7.4).abs() < 1e-9, "{}", battery.nominal_wh());
    let hours = battery.usable_wh() / 0.375;
    assert!((hours - 18.8).abs() < 0.02, "{hours} h");
}

#[test]
fn every_figure_is_listed_with_its_origin() {
    let toy = toy();
    let lines: Vec<String> =
        toy.figures().iter().map(|figure| format!("{} = {} ({})", figure.place, figure.value, figure.origin)).collect();
    assert_eq!(lines.len(), 18);
    assert_eq!(lines[0], "memory = 512 MiB (source: its box)");
    assert_eq!(lines[7], "battery.usable = 0.9 (estimate: as of most)");
    assert_eq!(lines[11], "cpu.sustained.compute = 0.5 (fitted to a stopwatch)");
    assert_eq!(lines[15], "cpu.runs = encode in int8, prefill in f32 (source: its box)");
}

#[test]
fn a_wrong_profile_says_where_and_what() {
    let one_origin = "expected exactly one of source, fitted and estimate, with words in it";
    for (old, new, place, what) in [
        ("(value: 512, source: \"its box\"),\n    storage", "(value: 512),\n    storage", "toy.ron:4:", one_origin),
        ("(value: 512, source: \"its box\"),\n    storage", "512,\n    storage", "toy.ron:4:", "expected opening `(`"),
        ("source: \"its box\"),\n    storage", "source: \" \"),\n    storage", "toy.ron:4:", "found an empty text"),
        ("estimate: \"as of most\"", "estimate: \"x\", source: \"y\"", "toy.ron:14:", "found several"),
        (
            "estimate: \"as of most\"",
            "guess: \"x\"",
            "toy.ron:14:",
            "expected `value`, `source`, `fitted` or `estimate`, found the unknown field `guess`",
        ),
        ("    power: (", "    colour: \"red\",\n    power: (", "toy.ron:6:5: ", "found the unknown field `colour`"),
        ("value: 0.9,", "value: 1.9,", "toy.ron:14:", "expected a fraction from 0.001 to 1, found 1.9"),
        ("value: 0.9,", "value: NaN,", "toy.ron:14:", "found NaN"),
        ("base: (value: 1,", "base: (value: -1,", "toy.ron:7:", "expected watts from 0 to 1000, found -1"),
        ("bandwidth: (value: 4,", "bandwidth: (value: inf,", "toy.ron:21:", "found inf"),
        ("id: \"cpu\"", "id: \"tpu\"", "toy.ron:17:", "found \"tpu\""),
        ("encode: int8", "encode: int9", "toy.ron:25:", "expected `int8`, `f16` or `f32`, found `int9`"),
        ("encode: int8", "dream: int8", "toy.ron:25:", "found `dream`"),
        ("encode: int8", "encode: f16", "toy.ron:", "cpu: runs encode in f16: expected peak.f16, found none"),
        ("encode: int8", "load: int8", "toy.ron:", "found load, which is done everywhere"),
        ("        cores: \"0\",\n", "", "toy.ron:", "cpu: expected cores, such as \"0-3\", found none"),
        ("cores: \"0\"", "cores: \"0-x\"", "toy.ron:", "cpu: cores: expected a cpu number, found \"x\""),
        (
            "id: \"cpu\"",
            "id: \"gpu\"",
            "toy.ron:",
            "gpu: expected no cores, as it is no part of the processor, found some",
        ),
        (
            "active: (value: 2,",
            "active: (value: 0.2,",
            "toy.ron:",
            "expected at least what it draws when idle, 0.5 W, found 0.2 W",
        ),
        ("standby: (value: 0.5", "standby: (value: 1.5", "toy.ron:", "expected suspended ≤ standby ≤ base"),
        ("name: \"toy\"", "name: 7", "toy.ron:2:10: ", "expected string, found \"7\""),
        ("    description: \"a toy\",\n", "", "toy.ron:", "expected a field `description`, found none"),
        ("name: \"toy\"", "name: \"a\", name: \"b\"", "toy.ron:2:", "expected `name` once, found it twice"),
        (")],\n)", ")],\n) x", "toy.ron:", "found \"x\""),
    ] {
        let error = parse_with(old, new).expect_err(new);
        assert!(error.starts_with(place), "{new}: {error}");
        assert!(error.contains(what), "{new}: {error}");
    }
}

#[test]
fn a_device_without_accelerators_or_with_one_twice_is_none() {
    let of = |accelerators: &str| {
        let text = include_str!("../../profiles/rpi5.ron");
        let start = text.find("    accelerators: [").expect("the accelerators");
        DeviceProfile::parse(Path::new("x.ron"), &format!("{}    accelerators: [{accelerators}])", &text[..start]))
            .expect_err("no device")
            .to_string()
    };
    assert!(of("").ends_with("accelerators: expected at least one, found none"), "{}", of(""));
    let text = include_str!("../../profiles/rpi5.ron");
    let (start, end) = (text.find("[\n").expect("a list"), text.rfind(']').expect("its end"));
    let list = &text[start + 1..end];
    let twice = of(&format!("{list}{list}"));
    assert!(twice.ends_with("accelerators: expected each once, found cpu twice"), "{twice}");
    let outside = of(&list.replacen("cores: \"2-3\"", "cores: \"2-4\"", 1));
    assert!(outside.ends_with("cpu:1: expected cores of cpu, which are 0-3, found 2-4"), "{outside}");
}

#[test]
fn a_profile_is_found_by_name_or_read_from_a_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("board.ron");
    fs::write(&path, include_str!("../../profiles/rk3566.ron")).expect("a file");
    let found = DeviceProfile::find(path.to_str().expect("a path")).expect("a profile");
    assert_eq!(found, DeviceProfile::find("rk3566").expect("a profile"));
    let unknown = DeviceProfile::find("rk3399").expect_err("no such").to_string();
    assert_eq!(
        unknown,
        "expected a device such as rk3566, rk3588, rpi5, jetson-orin-nano, laptop, or the path of a profile, found \"rk3399\""
    );
    let absent = DeviceProfile::find("no/such.ron").expect_err("no such").to_string();
    assert!(absent.starts_with("cannot read the device profile no/such.ron: "), "{absent}");
    fs::write(&path, " ".repeat(300 << 10)).expect("a file");
    let large = DeviceProfile::open(&path).expect_err("too large").to_string();
    assert!(large.ends_with("is too large: expected at most 262144 bytes"), "{large}");
}

#[test]
fn a_job_takes_its_launch_and_then_the_longer_of_computing_and_reading() {
    let toy = toy();
    let roofline = toy.roofline(toy.accelerators[0].id).expect("a roofline");
    let time = |phase, flops, bytes| roofline.time(phase, JobCost { flops, bytes });
    // Half of 10 GOPS are 5 operations a nanosecond, a quarter of 4 GB/s is one byte a nanosecond, 3 µs to launch.
    assert_eq!(time(Phase::Encode, 5_000_000, 0), Some(Duration::from_nanos(1_003_000)));
    assert_eq!(time(Phase::Encode, 5_000_000, 2_000_000), Some(Duration::from_nanos(2_003_000)));
    // Floating point is one operation a nanosecond here, and migrating takes the slowest that there is. Loading reads a
    // fifth of a byte a nanosecond.
    assert_eq!(time(Phase::Prefill, 700, 600), Some(Duration::from_nanos(3_700)));
    assert_eq!(time(Phase::Migrate, 700, 800), Some(Duration::from_nanos(3_800)));
    assert_eq!(time(Phase::Load, 700, 800), Some(Duration::from_nanos(7_000)));
    assert_eq!(time(Phase::Decode, 1, 1), None);
    assert!(roofline.runs(Phase::Migrate) && !roofline.runs(Phase::Decode));
    assert!(time(Phase::Encode, u64::MAX, u64::MAX) > Some(Duration::from_secs(1 << 33)));
}

proptest! {
    #[test]
    fn more_work_never_takes_less_time(flops in 0u64..1 << 50, bytes in 0u64..1 << 50, more in 0u64..1 << 50) {
        for profile in ours() {
            for accelerator in &profile.accelerators {
                let roofline = profile.roofline(accelerator.id).expect("a roofline");
                for phase in Phase::ALL {
                    let time = |flops, bytes| roofline.time(phase, JobCost { flops, bytes });
                    prop_assert_eq!(time(flops, bytes).is_some(), roofline.runs(phase));
                    prop_assert!(time(flops, bytes) <= time(flops + more, bytes));
                    prop_assert!(time(flops, bytes) <= time(flops, bytes + more));
                }
            }
        }
    }

    #[test]
    fn a_torn_profile_never_panics(at in 0usize..6_000, length in 0usize..40, with in "[()\\[\\]{}:,\"a-z0-9.-]{0,6}") {
        let text = include_str!("../../profiles/rk3566.ron");
        let (start, end) = (at.min(text.len()), (at + length).min(text.len()));
        if text.is_char_boundary(start) && text.is_char_boundary(end) {
            let torn = format!("{}{with}{}", &text[..start], &text[end..]);
            let _ = DeviceProfile::parse(Path::new("torn.ron"), &torn);
        }
    }
}
