//! The processor: the fork-join lane that computes, the cores it may use, and how they form groups.

mod affinity;
mod fork;
mod lane;

pub use affinity::{CpuListError, CpuSet};
pub use lane::Lane;
