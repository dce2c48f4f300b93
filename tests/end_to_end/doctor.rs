//! What the machine offers: `doctor`, on this machine and on machines made of files.
use crate::command::{FreshMachine, Ran};

/// Examines the machine whose file system is in the folder `root`.
fn examine(machine: &FreshMachine) -> Ran {
    machine.run(["doctor", "--root", "root"]).exits(0)
}

#[test]
fn a_bare_machine_says_of_everything_how_to_get_it() {
    let machine = FreshMachine::new();
    let offers = machine.run(["doctor", "--root", "root", "--format", "json"]).exits(0).json();
    let offers = offers.as_array().expect("an array");
    let names: Vec<&str> = offers.iter().filter_map(|offer| offer["what"].as_str()).collect();
    for expected in [
        "processor",
        "kernels",
        "accelerators",
        "memory",
        "gpu",
        "npu",
        "battery",
        "energy",
        "thermal",
        "camera",
        "microphone",
        "models",
        "pip",
    ] {
        assert!(names.contains(&expected), "no {expected} among {names:?}");
    }
    for offer in offers.iter().filter(|offer| offer["ok"] == false) {
        let told = |field: &str| offer[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("missing") && told("remedy"), "{offer}");
    }
    examine(&machine).prints("missing  models").prints("nanomind pull smollm2-135m");
}

#[test]
fn devices_that_are_there_are_named() {
    let machine = FreshMachine::new();
    machine.file("root/proc/meminfo", "MemTotal:  4000000 kB\nMemFree: 1 kB\nMemAvailable:  3000000 kB\n");
    machine.file("root/sys/fs/cgroup/memory.max", "2000000000\n");
    machine.file("root/sys/class/power_supply/BAT0/type", "Battery\n");
    machine.file("root/sys/class/power_supply/BAT0/status", "Discharging\n");
    machine.file("root/sys/class/power_supply/BAT0/capacity", "42\n");
    machine.file("root/sys/class/power_supply/BAT0/power_now", "6250000\n");
    machine.file("root/sys/class/thermal/thermal_zone0/type", "soc\x1b[2J-thermal\n");
    machine.file("root/sys/class/thermal/thermal_zone0/temp", "48125\n");
    let seen = examine(&machine).prints("2.0 GB, 2.0 GB available").prints("42").prints("6.2 W").prints("48 °C");
    assert!(!seen.stdout.contains('\x1b'), "a control character of a device reached the terminal");
}

#[test]
fn this_machine_can_be_examined() {
    FreshMachine::new().run(["doctor"]).exits(0).prints("kernels").prints("cpu = cores");
}
