//! Where every node works, chosen for all of them together: the combination of places with the least cost, found exactly.
//!
//! For one firing of every node, a combination takes some time and some energy:
//!
//! - *latency*: the sum of what each node takes at its place and of what it waits there for others, by how much of the
//!   time those work on the same cores and by what is queued there already;
//! - *bottleneck*: what the busiest cores take, which bounds the pace of a stream;
//! - *energy*: what each node's work adds, and, where the device stands by whenever it is idle, what being awake draws.
//!
//! The cost weighs both times against energy by the mode, each relative to what staying takes. Accelerators that share
//! cores share what runs on those.

mod problem;
mod search;
#[cfg(test)]
mod tests;

pub(super) use problem::{Aim, Choice, Problem};
