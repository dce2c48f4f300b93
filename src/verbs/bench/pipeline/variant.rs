//! The variants that are compared, and how a process of one is started.
use std::{fmt, path::Path, process::Command};

use serde::Serialize;

use super::{Args, figures::Outcome, frames::Frames, peer};
use crate::exit::Exit;

/// Where the bricks run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// All of them on one accelerator of two threads.
    Monolithic,
    /// Encoder and projector on one accelerator, the language model on another, of one thread each.
    Pipelined,
    /// llama.cpp's mtmd, with two threads.
    LlamaCpp,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Variant::Monolithic => "monolithic (cpu)",
            Variant::Pipelined => "pipelined (cpu:0, cpu:1)",
            Variant::LlamaCpp => "llama.cpp (2 threads)",
        })
    }
}

impl Variant {
    /// Runs it once in a process of its own.
    pub fn run(self, args: &Args, frames: &Frames, trace: Option<&Path>) -> Result<Outcome, Exit> {
        if self == Variant::LlamaCpp {
            return peer::run(args, frames);
        }
        let program = std::env::current_exe().map_err(Exit::failed)?;
        let name = if self == Variant::Monolithic { "monolithic" } else { "pipelined" };
        let mut command = Command::new(program);
        command.args(["bench", "pipeline", "--format", "json", "--only", name]);
        command
            .arg("--pictures")
            .arg(frames.folder())
            .arg("--vision")
            .arg(&args.vision)
            .arg("--model")
            .arg(&args.model);
        command.arg("--question").arg(&args.question).arg("--max-tokens").arg(args.max_tokens.to_string());
        command.arg("--frames").arg(args.frames.to_string()).arg("--single").arg(args.single.to_string());
        if let Some(trace) = trace {
            command.arg("--trace").arg(trace);
        }
        let ended = command.output().map_err(Exit::failed)?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(Exit::failed(format!("{self} did not run to its end ({})\n{}", ended.status, said.trim_end())));
        }
        serde_json::from_slice(&ended.stdout).map_err(Exit::failed)
    }
}
