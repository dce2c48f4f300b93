//! Measures nanomind beside other runtimes on the same machine: each round runs every program once, so that all meet the
//! same noise, and who begins changes with every round.
//!
//!     cargo build --release --workspace
//!     target/release/nanomind-peers speed -m MODEL.gguf --peer llama.cpp=PATH/llama-bench --peer ik_llama.cpp=PATH/llama-bench
//!     target/release/nanomind-peers start -m MODEL.gguf --peer llama.cpp=PATH/llama-completion
//!     target/release/nanomind-peers perplexity -m MODEL.gguf -f benches/texts/moby_dick.txt --peer llama.cpp=PATH/llama-perplexity
//!
//! Peers are programs that the user has; nothing of them is here. Without any, our own figures are measured and held
//! against the machine's ceilings. Slowness is a result and no failure: the exit code says only whether all ran.
#![forbid(unsafe_code)]

mod failure;
mod machine;
mod model;
mod perplexity;
mod program;
mod report;
mod speed;
mod start;

use std::process::ExitCode;

use clap::Parser;

/// Measures nanomind beside other runtimes on this machine.
#[derive(Debug, Parser)]
#[command(name = "nanomind-peers")]
struct Arguments {
    #[command(subcommand)]
    topic: Topic,
}

/// What is measured.
#[derive(Debug, clap::Subcommand)]
enum Topic {
    /// Tokens a second of prefill and decode; peers are llama-bench programs
    Speed(speed::Args),
    /// Time from start to the first token, and peak memory; peers are llama-completion or llama-cli programs
    Start(start::Args),
    /// Perplexity on a text; peers are llama-perplexity programs
    Perplexity(perplexity::Args),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().topic {
        Topic::Speed(args) => speed::run(&args),
        Topic::Start(args) => start::run(&args),
        Topic::Perplexity(args) => perplexity::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
