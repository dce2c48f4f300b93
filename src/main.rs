//! The `nanomind` command line: parses arguments, starts logging, runs one verb and turns its end into an exit code.
#![forbid(unsafe_code)]
// A verb says `pub` for what its siblings may use; nothing of a binary is reachable from outside anyway.
#![allow(unreachable_pub)]

use std::{io::IsTerminal, path::Path, process::ExitCode};

use clap::Parser;
use exit::Exit;
use nanomind::actors::trace::{TraceFile, TraceLayer};
use tracing_subscriber::{EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

mod exit;
mod globals;
mod graph_file;
mod interrupt;
mod models;
mod output;
mod progress;
mod verbs;

/// Multimodal models as graphs of actors, on small battery-powered machines, offline.
#[derive(Debug, Parser)]
#[command(name = "nanomind", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Results go to stdout, everything else to stderr. RUST_LOG=nanomind=debug shows more.\n\
    Exit codes: 0 ok, 1 run failed, 2 usage, 65 invalid graph or model file, 69 device missing, 130 interrupted.")]
struct CommandLine {
    #[command(flatten)]
    globals: globals::Globals,

    #[command(subcommand)]
    verb: verbs::Verb,
}

fn main() -> ExitCode {
    let CommandLine { globals, verb } = CommandLine::parse();
    let ended = open_trace(verb.trace_path()).and_then(|trace| {
        start_logging(trace.clone());
        let ended = verb.run(&globals, trace.clone());
        let closed = trace.map_or(Ok(()), |trace| trace.finish()).map_err(Exit::failed);
        ended.and(closed)
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// The trace that the verb is to write, if any.
fn open_trace(path: Option<&Path>) -> Result<Option<TraceFile>, Exit> {
    path.map(TraceFile::create).transpose().map_err(Exit::failed)
}

/// Warnings and worse go to stderr; `RUST_LOG` says otherwise. A trace gets its own events whatever that filter says.
fn start_logging(trace: Option<TraceFile>) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_filter(filter);
    let trace = trace.map(|file| TraceLayer::new(file).with_own_filter());
    tracing_subscriber::registry().with(layer).with(trace).init();
}
