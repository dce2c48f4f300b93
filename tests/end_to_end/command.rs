//! Runs the `nanomind` binary with a home and an environment of its own, and says what it printed when a test fails.
use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A machine that nanomind has never run on: an empty home, none of the caller's settings.
pub struct FreshMachine {
    root: TempDir,
    environment: Vec<(String, String)>,
}

impl FreshMachine {
    pub fn new() -> FreshMachine {
        FreshMachine { root: TempDir::new().unwrap(), environment: Vec::new() }
    }

    /// A path on this machine.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Sets an environment variable for the commands to come.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.environment.push((name.into(), value.to_string()));
    }

    /// `nanomind` with nothing but this machine's environment; run from its root folder.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanomind"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.root.path()).env("NANOMIND_HOME", self.path("nanomind"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.root.path()).stdin(Stdio::null()).args(arguments);
        command
    }

    /// Runs `nanomind ARGUMENTS` to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    /// Runs `nanomind ARGUMENTS` with `stdin` as its input.
    pub fn run_with_input<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, stdin: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that does not read its input may close the pipe first.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran::new(child.wait_with_output().unwrap())
    }
}

/// A finished run.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn new(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that stderr has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.stderr.contains(text), "no {text:?} in stderr:\n{}", self.stderr);
        self
    }

    /// Checks that stdout has this text.
    #[track_caller]
    pub fn prints(self, text: &str) -> Ran {
        assert!(self.stdout.contains(text), "no {text:?} in stdout:\n{}", self.stdout);
        self
    }

    /// Stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in stdout:\n{}", self.stdout))
    }
}

/// The names in a folder, sorted; empty where there is no folder.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
