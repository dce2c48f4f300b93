//! The processor: the fork-join lane that computes, the cores it may use, and how they form groups.

mod affinity;
mod backoff;
mod crew;
mod fork;
mod groups;
mod lane;
mod topology;

pub(crate) use affinity::keep_this_thread_on;
pub use affinity::{CpuListError, CpuSet};
pub use groups::{CoreGroup, GroupsError, default_groups, parse_groups};
pub use lane::Lane;
pub use topology::{Core, CpuTopology};
