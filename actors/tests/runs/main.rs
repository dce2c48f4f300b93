//! Whole runs of small graphs with nodes of the tests' own: how they end, restart, drain, cancel and drop.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod cascade;
mod endings;
mod flow;
mod governing;
mod homes;
mod jobs;
mod language;
mod onlooker;
mod pictures;
mod reference;
mod sight;
mod sight_reuse;
mod simulating;
mod squares;
mod stage;
mod together;
