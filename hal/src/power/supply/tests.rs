//! Power supplies under test: folders that imitate `/sys/class/power_supply`.

use super::*;
use std::fs;
use tempfile::TempDir;

/// A machine with these supplies, each a name and its files.
fn machine(supplies: &[(&str, &[(&str, &str)])]) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (name, files) in supplies {
        let folder = root.path().join("sys/class/power_supply").join(name);
        fs::create_dir_all(&folder).expect("a folder");
        for (file, text) in *files {
            fs::write(folder.join(file), format!("{text}\n")).expect("a file");
        }
    }
    root
}

fn reading(supplies: &[(&str, &[(&str, &str)])]) -> Option<BatteryReading> {
    read(machine(supplies).path(), Timestamp::default()).expect("a reading")
}

fn error(files: &[(&str, &str)]) -> String {
    let root = machine(&[("BAT0", files)]);
    let error = read(root.path(), Timestamp::default()).expect_err("an error").to_string();
    error.replace(&format!("{}/sys/class/power_supply", root.path().display()), "…")
}

const LAPTOP: &[(&str, &str)] = &[
    ("type", "Battery"),
    ("present", "1"),
    ("status", "Discharging"),
    ("energy_now", "30000000"),
    ("energy_full", "40000000"),
    ("power_now", "12500000"),
    ("voltage_now", "11400000"),
    ("temp", "312"),
];

#[test]
fn a_laptop_tells_energy_power_voltage_and_temperature() {
    let battery = reading(&[("AC", &[("type", "Mains"), ("online", "0")]), ("BAT0", LAPTOP)]).expect("a battery");
    assert_eq!(battery.level.to_string(), "75 %");
    assert_eq!(battery.status, ChargeStatus::Discharging);
    assert_eq!((battery.watts, battery.volts, battery.temperature_c), (Some(12.5), Some(11.4), Some(31.2)));
    assert_eq!(battery.full_wh, Some(40.0));
}

#[test]
fn a_board_tells_charge_and_a_current_of_either_sign() {
    let files = [
        ("type", "Battery"),
        ("status", "Charging"),
        ("charge_now", "1000000"),
        ("charge_full", "2000000"),
        ("current_now", "-500000"),
        ("voltage_now", "4000000"),
    ];
    let battery = reading(&[("rk817-battery", &files)]).expect("a battery");
    assert_eq!((battery.level.fraction(), battery.status, battery.watts), (0.5, ChargeStatus::Charging, Some(2.0)));
}

#[test]
fn a_gauge_that_knows_percent_only_has_no_measured_power() {
    let battery = reading(&[("gauge", &[("type", "Battery"), ("capacity", "7")])]).expect("a battery");
    assert_eq!((battery.level.to_string(), battery.status), ("7 %".to_owned(), ChargeStatus::Unknown));
    assert_eq!((battery.watts, battery.volts, battery.temperature_c), (None, None, None));
    assert_eq!(battery.full_wh, None);
}

#[test]
fn batteries_of_mice_absent_ones_and_chargers_do_not_count() {
    let mouse = [("type", "Battery"), ("scope", "Device"), ("capacity", "3")];
    let absent = [("type", "Battery"), ("present", "0")];
    assert_eq!(reading(&[("hidpp", &mouse), ("BAT1", &absent), ("usb", &[("type", "USB")])]), None);
    assert_eq!(reading(&[]), None);
}

#[test]
fn two_batteries_count_by_what_they_hold_and_discharge_if_one_does() {
    let small = [
        ("type", "Battery"),
        ("status", "Full"),
        ("energy_now", "10000000"),
        ("energy_full", "10000000"),
        ("power_now", "0"),
    ];
    let battery = reading(&[("BAT0", LAPTOP), ("BAT1", &small)]).expect("a battery");
    assert_eq!((battery.level.fraction(), battery.status, battery.watts), (0.8, ChargeStatus::Discharging, Some(12.5)));
    let percent = [("type", "Battery"), ("status", "Full"), ("capacity", "25")];
    let battery = reading(&[("BAT0", LAPTOP), ("BAT1", &percent)]).expect("a battery");
    assert_eq!((battery.level.fraction(), battery.watts), (0.5, None), "one of them measures no power");
}

#[test]
fn more_than_full_is_full_and_a_full_of_zero_falls_back_to_percent() {
    let over = [("type", "Battery"), ("energy_now", "41"), ("energy_full", "40")];
    assert_eq!(reading(&[("BAT0", &over)]).expect("a battery").level.fraction(), 1.0);
    let broken = [("type", "Battery"), ("energy_now", "41"), ("energy_full", "0"), ("capacity", "60")];
    assert_eq!(reading(&[("BAT0", &broken)]).expect("a battery").level.fraction(), 0.6);
}

#[test]
fn garbage_is_an_error_that_names_the_file() {
    let battery = ("type", "Battery");
    assert_eq!(
        error(&[battery, ("energy_now", "lots"), ("energy_full", "40")]),
        "…/BAT0/energy_now: expected a whole number, found \"lots\""
    );
    assert_eq!(error(&[battery, ("capacity", "101")]), "…/BAT0/capacity: expected 0 to 100, found 101");
    assert_eq!(
        error(&[battery, ("charge_now", "-4"), ("charge_full", "4")]),
        "…/BAT0/charge_now: expected zero or more, found -4"
    );
    assert_eq!(
        error(&[battery]),
        "…/BAT0: expected energy_now with energy_full, charge_now with charge_full, or capacity, found none of them"
    );
    let root = machine(&[("BAT0", &[battery])]);
    fs::create_dir(root.path().join("sys/class/power_supply/BAT0/capacity")).expect("a folder");
    let error = read(root.path(), Timestamp::default()).expect_err("a folder for a file").to_string();
    assert!(error.contains("BAT0/capacity: Is a directory"), "{error}");
}

#[test]
fn energy_charge_and_percent_of_one_machine_are_one_battery() {
    let board = [("type", "Battery"), ("status", "Discharging"), ("charge_now", "500000"), ("charge_full", "2000000")];
    let gauge = [("type", "Battery"), ("status", "Discharging"), ("capacity", "50")];
    let battery = reading(&[("BAT0", LAPTOP), ("rk817", &board), ("gauge", &gauge)]).expect("a battery");
    // Of two of them nobody knows what they hold, so all count alike.
    assert_eq!((battery.level.fraction(), battery.full_wh, battery.watts), (0.5, None, None));
}

#[test]
fn what_a_mouse_says_is_not_even_looked_at() {
    let mouse = [("type", "Battery"), ("scope", "Device"), ("capacity", "garbage"), ("present", "maybe")];
    let battery = reading(&[("hidpp_battery_0", &mouse), ("BAT0", LAPTOP)]).expect("a battery");
    assert_eq!((battery.level.fraction(), battery.watts), (0.75, Some(12.5)));
}

#[test]
fn nonsense_beside_a_sound_level_is_not_measured_and_nonsense_about_the_level_falls_back() {
    let odd = [
        ("type", "Battery"),
        ("present", "yes"),
        ("status", "\u{fffd}\u{0}??"),
        ("energy_now", "-1"),
        ("energy_full", "40000000"),
        ("charge_now", "9223372036854775808"),
        ("charge_full", "2000000"),
        ("capacity", "42"),
        ("voltage_now", "twelve"),
        ("power_now", ""),
        ("current_now", "0x10"),
        ("temp", "hot"),
    ];
    let battery = reading(&[("BAT0", &odd)]).expect("a battery");
    assert_eq!((battery.level.fraction(), battery.status), (0.42, ChargeStatus::Unknown));
    assert_eq!((battery.watts, battery.volts, battery.temperature_c, battery.full_wh), (None, None, None, None));
}

#[test]
fn a_battery_that_cannot_be_read_does_not_silence_the_other() {
    let root = machine(&[("BAT0", LAPTOP), ("BAT1", &[("type", "Battery"), ("capacity", "lots")])]);
    let battery = read(root.path(), Timestamp::default()).expect("a reading").expect("a battery");
    assert_eq!(battery.level.fraction(), 0.75);
    // A folder where a file should be cannot be read, whoever asks; a link to nowhere is a file that is not there.
    let folder = root.path().join("sys/class/power_supply/BAT0");
    fs::remove_file(folder.join("energy_now")).expect("removed");
    fs::create_dir(folder.join("energy_now")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", folder.join("charge_now")).expect("a link");
    let error = read(root.path(), Timestamp::default()).expect_err("neither tells its level").to_string();
    assert!(error.contains("BAT0/energy_now: Is a directory"), "{error}");
}

#[test]
fn supplies_are_links_as_in_the_kernels_own_tree() {
    let root = machine(&[]);
    let device = root.path().join("sys/devices/LNXSYSTM:00/PNP0C0A:00/power_supply/BAT0");
    fs::create_dir_all(&device).expect("a folder");
    for (file, text) in LAPTOP {
        fs::write(device.join(file), format!("{text}\n")).expect("a file");
    }
    let class = root.path().join("sys/class/power_supply");
    fs::create_dir_all(&class).expect("a folder");
    std::os::unix::fs::symlink(&device, class.join("BAT0")).expect("a link");
    std::os::unix::fs::symlink("../../devices/gone", class.join("BAT1")).expect("a link");
    let battery = read(root.path(), Timestamp::default()).expect("a reading").expect("a battery");
    assert_eq!(battery.level.fraction(), 0.75);
}

#[test]
fn a_battery_that_comes_and_goes_between_any_two_reads_is_there_or_not_and_never_an_error() {
    let root = machine(&[("BAT0", LAPTOP)]);
    let folder = root.path().join("sys/class/power_supply/BAT1");
    let over = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                // Its type comes last and goes first, as a device appears and disappears as a whole.
                fs::create_dir(&folder).expect("a folder");
                for (file, text) in LAPTOP.iter().rev() {
                    fs::write(folder.join(file), text).expect("a file");
                }
                for (file, _) in LAPTOP {
                    fs::remove_file(folder.join(file)).expect("removed");
                }
                fs::remove_dir(&folder).expect("removed");
            }
        });
        let readings: Vec<_> = (0..2_000).map(|_| read(root.path(), Timestamp::default())).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        readings
    });
    for reading in seen {
        let battery = reading.expect("no error").expect("one is always there");
        // What is read of a battery that is just leaving may lack what it holds, but never its level.
        assert_eq!(battery.level.fraction(), 0.75, "{battery:?}");
    }
}
