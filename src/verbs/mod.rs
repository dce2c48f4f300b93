//! The verbs, one file each: `Args` and `run`. A verb is listed here only when it works.
use crate::{exit::Exit, globals::Globals};

mod list;
mod pull;
mod show;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Fetch a model into the cache
    Pull(pull::Args),
    /// List the models that nanomind knows and those on this machine
    List(list::Args),
    /// Show what a model file is: architecture, shapes, quantisation, memory needed
    Show(show::Args),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// Whatever stops the verb, with its exit code.
    pub fn run(self, globals: &Globals) -> Result<(), Exit> {
        match self {
            Verb::Pull(args) => pull::run(args, globals),
            Verb::List(args) => list::run(args, globals),
            Verb::Show(args) => show::run(args, globals),
        }
    }
}
