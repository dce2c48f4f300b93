//! The whole program with stand-ins for ours and for peers: shell scripts that print what those print.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/language_llama_gqa_q8_0.gguf");

/// Speaks as ours does: twice as fast as the peer in prefill, three times in decode.
const OURS: &str = r#"#!/bin/sh
case "$1 $2" in
    "bench perplexity") echo '{"perplexity": 10.01, "windows": 3}' ;;
    "bench "*) echo '[{"n_prompt": 16, "n_gen": 0, "avg_ts": 200.0, "samples_ts": [200.0]},
                      {"n_prompt": 0, "n_gen": 4, "avg_ts": 30.0, "samples_ts": [30.0]}]' ;;
    "run "*) echo "Paris." ;;
    *) exit 2 ;;
esac
"#;

/// Speaks as llama-bench does, and packs weights only when told to.
const BENCH: &str = r#"#!/bin/sh
case "$*" in
    --help) echo '  -rtr, --run-time-repack <0|1>  (default: 0)' ;;
    "-rtr 1 -o json -m "*) echo 'note: something about the machine'
        echo '[{"n_prompt": 16, "n_gen": 0, "avg_ts": 100.0}, {"n_prompt": 0, "n_gen": 4, "avg_ts": 10.0}]' ;;
    *) echo "not told to pack: $*" >&2; exit 1 ;;
esac
"#;

struct Folder(TempDir);

impl Folder {
    fn with(scripts: &[(&str, &str)]) -> Folder {
        let folder = TempDir::new().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(name);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn peers(&self, topic: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanomind-peers"));
        command.arg(topic).args(["-m", MODEL, "--nanomind"]).arg(self.path("nanomind")).args(arguments);
        command.output().unwrap()
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn speeds_are_compared_phase_by_phase_and_held_against_the_machine() {
    let folder = Folder::with(&[("nanomind", OURS), ("llama-bench", BENCH)]);
    let (peer, figures) = (format!("theirs={}", folder.path("llama-bench").display()), folder.path("speed.json"));
    let arguments = ["--peer", &peer, "-p", "16", "-n", "4", "-t", "1", "--rounds", "2", "--json"];
    let ran = folder.peers("speed", &[&arguments[..], &[figures.to_str().unwrap()]].concat());
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let table = text(&ran.stdout);
    let row =
        |phase: &str| table.lines().find(|line| line.contains(phase) && line.starts_with('|')).unwrap().to_owned();
    for (phase, ours, theirs, ratio) in [("prefill", "200.0", "100.0", "2.00×"), ("decode", "30.0", "10.0", "3.00×")]
    {
        let row = row(phase);
        assert!([ours, theirs, ratio].iter().all(|cell| row.contains(cell)), "{table}");
    }
    let cells = json(&figures)["cells"].as_array().unwrap().clone();
    assert_eq!(cells.len(), 2);
    for cell in &cells {
        assert_eq!(cell["programs"][0]["samples"].as_array().unwrap().len(), 2, "{cell:#}");
        let share = cell["share_of_ceiling"].as_f64().unwrap();
        // No real program: these speeds are nothing to any machine.
        assert!(share > 0.0 && share < 0.1, "{cell:#}");
    }
}

#[test]
fn ours_alone_is_measured_without_peers() {
    let folder = Folder::with(&[("nanomind", OURS)]);
    let ran = folder.peers("speed", &["-p", "0", "-n", "4", "-t", "1", "--rounds", "1"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let table = text(&ran.stdout);
    assert!(table.contains("decode") && !table.contains("| prefill"), "{table}");
}

#[test]
fn the_first_word_is_timed_and_a_silent_program_is_an_error() {
    let speaks =
        "#!/bin/sh\n[ \"$1\" = --help ] && echo '--no-warmup' && exit\n[ \"$1\" = --no-warmup ] && echo word\n";
    let folder = Folder::with(&[("nanomind", OURS), ("llama-completion", speaks), ("mute", "#!/bin/sh\nexit 0\n")]);
    let peer = |name: &str| format!("theirs={}", folder.path(name).display());
    let figures = folder.path("start.json");
    let shared = ["--rounds", "2", "--json", figures.to_str().unwrap(), "--peer"];
    let ran = folder.peers("start", &[&shared[..], &[&peer("llama-completion")]].concat());
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let rows = json(&figures)["rows"].as_array().unwrap().clone();
    assert_eq!(rows.iter().map(|row| row["program"].as_str().unwrap()).collect::<Vec<_>>(), ["nanomind", "theirs"]);
    assert!(rows.iter().all(|row| row["first_token_ms"].as_array().unwrap().len() == 2), "{rows:#?}");

    let ran = folder.peers("start", &[&shared[..], &[&peer("mute")]].concat());
    assert!(!ran.status.success());
    assert!(text(&ran.stderr).contains("not a word"), "{}", text(&ran.stderr));
}

#[test]
fn perplexities_stand_side_by_side() {
    let theirs = "#!/bin/sh\necho 'Final estimate: PPL = 10.0000 +/- 0.1' >&2\n";
    let folder = Folder::with(&[("nanomind", OURS), ("llama-perplexity", theirs)]);
    let peer = format!("theirs={}", folder.path("llama-perplexity").display());
    let ran = folder.peers("perplexity", &["-f", "some.txt", "--peer", &peer]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let table = text(&ran.stdout);
    assert!(["10.0100", "10.0000", "+0.10 %"].iter().all(|cell| table.contains(cell)), "{table}");
}

#[test]
fn what_cannot_be_run_is_named() {
    let folder = Folder::with(&[("nanomind", OURS)]);
    let ran = folder.peers("speed", &["--peer", "theirs=absent/llama-bench"]);
    assert!(!ran.status.success() && text(&ran.stderr).contains("absent/llama-bench"), "{}", text(&ran.stderr));
    let ran = Command::new(env!("CARGO_BIN_EXE_nanomind-peers"))
        .args(["speed", "-m", MODEL, "--nanomind", "absent/nanomind"])
        .output()
        .unwrap();
    assert!(text(&ran.stderr).contains("absent/nanomind: no such program"), "{}", text(&ran.stderr));
}
