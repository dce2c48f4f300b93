//! Core groups: the parts of the processor that are accelerators of their own.

use super::affinity::{CpuListError, CpuSet};
use super::topology::CpuTopology;
use crate::accelerator::{AcceleratorId, AcceleratorKind};

/// Cores that work together as one accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreGroup {
    /// What the accelerator is called.
    pub name: AcceleratorId,
    /// Its cpus. A job computes on as many threads.
    pub cpus: CpuSet,
}

/// The groups of a machine when nobody says otherwise: `cpu` for all cores, and `cpu:0`, `cpu:1`, … for its clusters,
/// the fastest first. A machine of one cluster is cut into two halves. A core counts once, whatever its hardware threads.
pub fn default_groups(topology: &CpuTopology) -> Vec<CoreGroup> {
    let mut parts: Vec<Vec<usize>> =
        topology.clusters().iter().map(|cluster| cluster.iter().map(|core| core.cpu).collect()).collect();
    if let [only] = &mut parts[..]
        && only.len() > 1
    {
        let second = only.split_off(only.len().div_ceil(2));
        parts.push(second);
    }
    named(parts.into_iter().map(|part| part.into_iter().collect()).collect())
}

/// Groups as a person writes them: cpu lists joined by semicolons, such as `0-3;4-7`. The first is `cpu:0`, the second
/// `cpu:1`, and `cpu` is all that were named. Groups may overlap; then they take turns.
///
/// # Errors
/// A list cannot be read, or names a cpu that this process may not use.
pub fn parse_groups(text: &str, topology: &CpuTopology) -> Result<Vec<CoreGroup>, GroupsError> {
    let usable = topology.cpus();
    let mut parts = Vec::new();
    for list in text.split(';') {
        let cpus = CpuSet::parse(list).map_err(|source| GroupsError::List { list: list.to_owned(), source })?;
        if let Some(cpu) = cpus.iter().find(|cpu| !usable.contains(*cpu)) {
            return Err(GroupsError::NotUsable { cpu, usable });
        }
        parts.push(cpus);
    }
    Ok(named(parts))
}

fn named(parts: Vec<CpuSet>) -> Vec<CoreGroup> {
    let all = parts.iter().flat_map(CpuSet::iter).collect();
    let whole = CoreGroup { name: AcceleratorId::whole(AcceleratorKind::Cpu), cpus: all };
    let part = |(number, cpus)| CoreGroup { name: AcceleratorId::part(AcceleratorKind::Cpu, number), cpus };
    std::iter::once(whole).chain((0..).zip(parts).map(part)).collect()
}

/// Why groups of cores could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// One of the lists is no list of cpus.
    #[error("bad core group {list:?}: {source}")]
    List {
        /// The list.
        list: String,
        /// What is wrong with it.
        source: CpuListError,
    },
    /// A cpu that is not there, is offline, or is kept from this process.
    #[error("cpu {cpu} is not among the cpus that this process may use: {usable}")]
    NotUsable {
        /// The cpu.
        cpu: usize,
        /// Those that it may use.
        usable: CpuSet,
    },
}

#[cfg(test)]
mod tests {
    use super::super::topology::tests::{machine, read, rk3588};
    use super::*;

    fn show(groups: &[CoreGroup]) -> Vec<String> {
        groups.iter().map(|group| format!("{}={}", group.name, group.cpus)).collect()
    }

    #[test]
    fn each_cluster_is_a_group_and_cpu_is_all() {
        assert_eq!(show(&default_groups(&read(&rk3588(), "0-7", 8))), ["cpu=0-7", "cpu:0=4-7", "cpu:1=0-3"]);
    }

    #[test]
    fn a_machine_of_equal_cores_is_cut_into_two_halves() {
        let root = machine(&[]);
        assert_eq!(show(&default_groups(&read(&root, "0-1", 2))), ["cpu=0-1", "cpu:0=0", "cpu:1=1"]);
        assert_eq!(show(&default_groups(&read(&root, "0-4", 8))), ["cpu=0-4", "cpu:0=0-2", "cpu:1=3-4"]);
    }

    #[test]
    fn a_single_core_is_cpu_and_its_only_part() {
        let root = machine(&[("0-1", None), ("0-1", None)]);
        assert_eq!(show(&default_groups(&read(&root, "0-1", 2))), ["cpu=0", "cpu:0=0"]);
    }

    #[test]
    fn groups_are_read_as_a_person_writes_them() {
        let topology = read(&rk3588(), "0-7", 8);
        let groups = parse_groups("0-3; 4,6;2-4", &topology).expect("groups");
        assert_eq!(show(&groups), ["cpu=0-4,6", "cpu:0=0-3", "cpu:1=4,6", "cpu:2=2-4"]);
    }

    #[test]
    fn bad_groups_say_what_is_wrong() {
        let topology = read(&rk3588(), "0-5", 8);
        for (text, message) in [
            ("0-3;", "bad core group \"\": expected a cpu number, found \"\""),
            ("0-3;x", "bad core group \"x\": expected a cpu number, found \"x\""),
            ("0-6", "cpu 6 is not among the cpus that this process may use: 0-5"),
        ] {
            assert_eq!(parse_groups(text, &topology).expect_err(text).to_string(), message);
        }
    }
}
