//! The verbs, one file each: `Args` and `run`. A verb is listed here only when it works.
use std::path::Path;

use nanomind::actors::trace::TraceFile;

use crate::{exit::Exit, globals::Globals};

mod bench;
mod convert;
mod doctor;
mod graph;
mod list;
mod nodes;
mod pull;
mod replay;
mod run;
mod show;
mod simulate;
mod trace;
mod validate;
mod why;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Run a graph
    Run(run::Args),
    /// Simulate a graph on a device: hours of its battery, energy of each brick, latency, in virtual time
    Simulate(simulate::Args),
    /// Check a graph: all mistakes in one go, each with its place and what to do
    Validate(validate::Args),
    /// Draw a graph as Mermaid, DOT or SVG
    Graph(graph::Args),
    /// List the kinds of nodes, or tell all about one
    Nodes(nodes::Args),
    /// Fetch a model into the cache
    Pull(pull::Args),
    /// List the models that nanomind knows and those on this machine
    List(list::Args),
    /// Make GGUF files of a Hugging Face model folder
    Convert(convert::Args),
    /// Show what a model file is: architecture, shapes, quantisation, memory needed
    Show(show::Args),
    /// Say what this machine offers, what is missing, and how to get it
    Doctor(doctor::Args),
    /// Measure prefill and decode of a model, as llama-bench does, or a whole pipeline
    Bench(bench::Args),
    /// Say what a trace of a run shows
    Trace(trace::Args),
    /// Say why a run went as it did: its decisions, from its log
    Why(why::Args),
    /// Make the decisions of a run again, from its log
    Replay(replay::Args),
}

impl Verb {
    /// Where it is to write a trace, if it is.
    pub fn trace_path(&self) -> Option<&Path> {
        match self {
            Verb::Run(args) => args.trace_path(),
            Verb::Bench(args) => args.trace_path(),
            _ => None,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// Whatever stops the verb, with its exit code.
    pub fn run(self, globals: &Globals, trace: Option<TraceFile>) -> Result<(), Exit> {
        match self {
            Verb::Run(args) => run::run(args, globals, trace),
            Verb::Simulate(args) => simulate::run(args, globals),
            Verb::Validate(args) => validate::run(args, globals),
            Verb::Graph(args) => graph::run(args, globals),
            Verb::Nodes(args) => nodes::run(args),
            Verb::Pull(args) => pull::run(args, globals),
            Verb::List(args) => list::run(args, globals),
            Verb::Convert(args) => convert::run(args),
            Verb::Show(args) => show::run(args, globals),
            Verb::Doctor(args) => doctor::run(args, globals),
            Verb::Bench(args) => bench::run(args, globals),
            Verb::Trace(args) => trace::run(args, globals),
            Verb::Why(args) => why::run(args, globals),
            Verb::Replay(args) => replay::run(args, globals),
        }
    }
}
