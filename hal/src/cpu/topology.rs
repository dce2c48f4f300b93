//! The processor's cores: which this process may use, how fast they are, and what clusters they make.

use std::fs;
use std::path::Path;
use std::thread;

use super::affinity::CpuSet;

/// Cores whose speed is at least this much of the fastest of their cluster belong to it: favoured cores of one
/// cluster differ by some percent, clusters by more than a fifth.
const SAME_CLUSTER: f64 = 0.8;

/// The cores that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuTopology {
    cores: Vec<Core>,
    model: Option<String>,
}

/// A physical core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// The logical cpu that work goes to: its first hardware thread that this process may use.
    pub cpu: usize,
    /// All its hardware threads that this process may use.
    pub threads: CpuSet,
    /// How fast it is: the kernel's capacity (1024 is the fastest core of the machine) or else the highest clock rate
    /// in kHz. Compare within one machine only.
    pub speed: Option<u64>,
}

impl CpuTopology {
    /// The cores that affinity and the control group's quota leave to this process, as Linux shows them in `/sys`.
    /// What cannot be read is left out: without any of it, every cpu counts as a core of the same speed.
    pub fn detect() -> CpuTopology {
        // The least of affinity and quota.
        let most = thread::available_parallelism().map_or(1, usize::from);
        let allowed = CpuSet::of_this_thread().unwrap_or_else(|_| (0..most).collect());
        CpuTopology::read(Path::new("/"), &allowed, most)
    }

    /// [`CpuTopology::detect`] for a machine whose `/sys` and `/proc` lie under `root`, of which at most `most` of the
    /// `allowed` cpus may be busy at once.
    pub fn read(root: &Path, allowed: &CpuSet, most: usize) -> CpuTopology {
        let folder = root.join("sys/devices/system/cpu");
        let online = fs::read_to_string(folder.join("online")).ok().and_then(|list| CpuSet::parse(list.trim()).ok());
        let usable = online.map_or(allowed.clone(), |online| online.intersection(allowed));
        let mut cores: Vec<Core> = Vec::new();
        for cpu in usable.iter() {
            if cores.iter().any(|core| core.threads.contains(cpu)) {
                continue;
            }
            let of_cpu = folder.join(format!("cpu{cpu}"));
            let siblings = fs::read_to_string(of_cpu.join("topology/thread_siblings_list")).ok();
            let siblings = siblings.and_then(|list| CpuSet::parse(list.trim()).ok()).unwrap_or_default();
            let threads = siblings.intersection(&usable).iter().chain([cpu]).collect();
            let speed =
                number(&of_cpu.join("cpu_capacity")).or_else(|| number(&of_cpu.join("cpufreq/cpuinfo_max_freq")));
            cores.push(Core { cpu, threads, speed });
        }
        // Where a quota leaves less than there is, the fastest are kept.
        cores.sort_by_key(|core| std::cmp::Reverse(core.speed));
        cores.truncate(most.max(1));
        cores.sort_by_key(|core| core.cpu);
        CpuTopology { cores, model: model(root) }
    }

    /// The cores in the order of their numbers; at least one.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// What the processor is called, where the kernel knows.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// All logical cpus that this process may use, hardware threads of one core counted apart.
    pub fn cpus(&self) -> CpuSet {
        self.cores.iter().flat_map(|core| core.threads.iter()).collect()
    }

    /// The cores by clusters of like speed, the fastest cluster first.
    pub fn clusters(&self) -> Vec<Vec<&Core>> {
        let mut cores: Vec<&Core> = self.cores.iter().collect();
        cores.sort_by_key(|core| (std::cmp::Reverse(core.speed), core.cpu));
        let mut clusters: Vec<Vec<&Core>> = Vec::new();
        for core in cores {
            match clusters.last_mut() {
                Some(cluster) if alike(cluster[0], core) => cluster.push(core),
                _ => clusters.push(vec![core]),
            }
        }
        for cluster in &mut clusters {
            cluster.sort_by_key(|core| core.cpu);
        }
        clusters
    }
}

fn alike(fastest: &Core, core: &Core) -> bool {
    match (fastest.speed, core.speed) {
        (Some(fastest), Some(speed)) => speed as f64 >= fastest as f64 * SAME_CLUSTER,
        _ => fastest.speed == core.speed,
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The processor's name: x86 has it in `cpuinfo`, boards in the device tree.
fn model(root: &Path) -> Option<String> {
    let cpuinfo = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
    let named = cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name");
    let name = match named {
        Some((_, name)) => name.to_owned(),
        None => fs::read_to_string(root.join("proc/device-tree/model")).ok()?,
    };
    let name = name.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A machine in a folder: for each cpu its siblings and what its speed file says.
    pub(in crate::cpu) fn machine(cpus: &[(&str, Option<(&str, u64)>)]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (cpu, (siblings, speed)) in cpus.iter().enumerate() {
            let folder = root.path().join(format!("sys/devices/system/cpu/cpu{cpu}"));
            fs::create_dir_all(folder.join("topology")).expect("a folder");
            fs::create_dir_all(folder.join("cpufreq")).expect("a folder");
            fs::write(folder.join("topology/thread_siblings_list"), format!("{siblings}\n")).expect("a file");
            if let Some((file, speed)) = speed {
                fs::write(folder.join(file), format!("{speed}\n")).expect("a file");
            }
        }
        root
    }

    pub(in crate::cpu) fn read(root: &TempDir, allowed: &str, most: usize) -> CpuTopology {
        CpuTopology::read(root.path(), &CpuSet::parse(allowed).expect(allowed), most)
    }

    pub(in crate::cpu) fn rk3588() -> TempDir {
        let little = Some(("cpu_capacity", 530));
        let big = Some(("cpu_capacity", 1024));
        let names = ["0", "1", "2", "3", "4", "5", "6", "7"];
        let cpus: Vec<_> =
            names.iter().enumerate().map(|(cpu, name)| (*name, if cpu < 4 { little } else { big })).collect();
        machine(&cpus)
    }

    fn clusters(topology: &CpuTopology) -> Vec<Vec<usize>> {
        topology.clusters().iter().map(|cluster| cluster.iter().map(|core| core.cpu).collect()).collect()
    }

    #[test]
    fn this_machine_has_a_core() {
        let topology = CpuTopology::detect();
        assert!(!topology.cores().is_empty());
        assert!(!topology.cpus().is_empty());
    }

    #[test]
    fn big_and_little_cores_make_clusters_the_fastest_first() {
        let topology = read(&rk3588(), "0-7", 8);
        assert_eq!(clusters(&topology), [[4, 5, 6, 7], [0, 1, 2, 3]]);
    }

    #[test]
    fn hardware_threads_of_one_core_are_one_core_and_favoured_cores_no_cluster_of_their_own() {
        let fast = |khz| Some(("cpufreq/cpuinfo_max_freq", khz));
        let root = machine(&[
            ("0,2", fast(5_700_000)),
            ("1,3", fast(5_500_000)),
            ("0,2", fast(5_700_000)),
            ("1,3", fast(5_500_000)),
            ("4", fast(4_200_000)),
        ]);
        let topology = read(&root, "0-4", 5);
        assert_eq!(clusters(&topology), [vec![0, 1], vec![4]]);
        assert_eq!(topology.cpus(), CpuSet::parse("0-4").expect("a list"));
        assert_eq!(clusters(&read(&root, "2-3", 5)), [[2, 3]], "affinity leaves the second threads only");
    }

    #[test]
    fn affinity_offline_cpus_and_a_quota_are_respected() {
        let root = rk3588();
        assert_eq!(clusters(&read(&root, "3-4", 8)), [[4], [3]]);
        fs::write(root.path().join("sys/devices/system/cpu/online"), "0-5\n").expect("a file");
        assert_eq!(clusters(&read(&root, "0-7", 8)), [vec![4, 5], vec![0, 1, 2, 3]]);
        assert_eq!(clusters(&read(&root, "0-7", 3)), [vec![4, 5], vec![0]], "a quota of three keeps the fastest");
    }

    #[test]
    fn a_machine_that_tells_nothing_has_cores_of_one_speed() {
        let root = tempfile::tempdir().expect("a folder");
        let topology = read(&root, "0-2", 8);
        assert_eq!(clusters(&topology), [[0, 1, 2]]);
        assert_eq!(topology.model(), None);
    }

    #[test]
    fn the_model_comes_from_cpuinfo_or_the_device_tree() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("proc/device-tree")).expect("a folder");
        fs::write(root.path().join("proc/device-tree/model"), "Radxa ROCK 5B\0").expect("a file");
        assert_eq!(read(&root, "0", 1).model(), Some("Radxa ROCK 5B"));
        fs::write(root.path().join("proc/cpuinfo"), "processor\t: 0\nmodel name\t: AMD EPYC\n").expect("a file");
        assert_eq!(read(&root, "0", 1).model(), Some("AMD EPYC"));
    }
}
