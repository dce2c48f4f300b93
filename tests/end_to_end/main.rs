//! End-to-end tests: the `nanomind` binary as a person or a script uses it. One binary, a module per topic.
// A helper says `pub` for what the topics may use; nothing of a test binary is reachable from outside anyway.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod bench;
mod command;
mod convert;
mod custom_node;
mod doctor;
mod forecast;
#[cfg(feature = "gpu")]
mod gpu;
mod graph_language;
mod model_store;
mod run_chat;
mod run_log;
mod run_sight;
mod server;
mod simulate;
mod terminal;
mod tidy;
