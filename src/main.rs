//! The `nanomind` command line: parses arguments, starts logging, runs one verb and turns its end into an exit code.
#![forbid(unsafe_code)]
// A verb says `pub` for what its siblings may use; nothing of a binary is reachable from outside anyway.
#![allow(unreachable_pub)]

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

mod exit;
mod globals;
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
    start_logging();
    match verb.run(&globals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// Warnings and worse go to stderr; `RUST_LOG` says otherwise. Verbs that trace add their layer to this subscriber.
fn start_logging() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time();
    tracing_subscriber::registry().with(filter).with(layer).init();
}
