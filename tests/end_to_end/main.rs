//! End-to-end tests: the `nanomind` binary as a person or a script uses it. One binary, a module per topic.
#![allow(clippy::unwrap_used)]

mod command;
mod model_store;
mod server;
mod tidy;
