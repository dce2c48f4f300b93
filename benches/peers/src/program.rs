//! A program that is measured: ours, or a peer that the user names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A peer as the command line names it: `NAME=PATH`.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    name: String,
    path: PathBuf,
}

/// Reads `NAME=PATH`.
pub(crate) fn parse_peer(text: &str) -> Result<Peer, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok(Peer { name: name.to_owned(), path: path.into() })
        }
        _ => Err("expected NAME=PATH, such as llama.cpp=build/bin/llama-bench".to_owned()),
    }
}

/// A program with the arguments that every run of it gets first.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// What tables call it.
    pub(crate) name: String,
    path: PathBuf,
    first: Vec<String>,
}

impl Program {
    /// nanomind at `path`, or beside this program.
    pub(crate) fn ours(path: Option<&Path>, first: &[&str]) -> Result<Program, Failure> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()
                .map_err(|error| Failure::of("cannot tell where nanomind is", error))?
                .with_file_name("nanomind"),
        };
        if !path.is_file() {
            return Err(Failure::of(
                path.display(),
                "no such program: build it (cargo build --release), or name it with --nanomind",
            ));
        }
        Ok(Program { name: "nanomind".to_owned(), path, first: first.iter().map(|&word| word.to_owned()).collect() })
    }

    /// A peer with those of the `options` that it knows, by what it says of itself; each with its value.
    pub(crate) fn peer(peer: &Peer, options: &[&[&str]]) -> Result<Program, Failure> {
        let told = Command::new(&peer.path).arg("--help").stdin(Stdio::null()).output();
        let told = told.map_err(|error| Failure::of(peer.path.display(), error))?;
        let help = [told.stdout, told.stderr].concat();
        let help = String::from_utf8_lossy(&help);
        let words: Vec<&str> = help.split(|c: char| c.is_whitespace() || c == ',').collect();
        let known = options.iter().filter(|option| option.first().is_some_and(|word| words.contains(word)));
        let first = known.flat_map(|option| option.iter().map(|&word| word.to_owned())).collect();
        Ok(Program { name: peer.name.clone(), path: peer.path.clone(), first })
    }

    /// Gives every run these arguments, too.
    pub(crate) fn add(&mut self, arguments: &[&str]) {
        self.first.extend(arguments.iter().map(|&word| word.to_owned()));
    }

    /// The command with `arguments` after its own; it reads nothing.
    pub(crate) fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.first).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs it to its end and gives what it printed: standard output, and standard error.
    pub(crate) fn output(&self, arguments: &[String]) -> Result<(String, String), Failure> {
        let done = self.command(arguments).output().map_err(|error| Failure::of(self.path.display(), error))?;
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        match done.status.success() {
            true => Ok((out.into_owned(), err.into_owned())),
            false => Err(self.failed(arguments, format!("{} and these last words:\n{}", done.status, tail(&err)))),
        }
    }

    /// A failure of this program with `arguments`.
    pub(crate) fn failed(&self, arguments: &[String], cause: impl std::fmt::Display) -> Failure {
        Failure::of(format!("{} {}", self.path.display(), [&self.first[..], arguments].concat().join(" ")), cause)
    }
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// The programs in the order in which round `round` runs them: each begins in turn.
pub(crate) fn order(programs: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..programs).map(move |at| (at + round) % programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_name_and_a_path() {
        let peer = parse_peer("llama.cpp=a/b=c").expect("a peer");
        assert_eq!((peer.name.as_str(), peer.path.as_path()), ("llama.cpp", Path::new("a/b=c")));
        for wrong in ["llama.cpp", "=path", "name="] {
            assert!(parse_peer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_program_begins_in_turn() {
        let orders: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
