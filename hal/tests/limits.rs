//! What a process may use less than the machine has, and what it takes while it has nothing to do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Mutex;
use std::time::Duration;

use nanomind_hal::{
    Accelerator, Clock, CoreGroup, CoreLease, CpuSet, CpuTopology, JobClass, JobCost, JobLabel, JobOrder, Lane, Phase,
};

/// Set in the process that a test starts itself again in.
const INSIDE: &str = "NANOMIND_TEST_INSIDE";

/// What the inner process prints: cores and threads that it may use.
fn shares() -> String {
    let lane = Lane::spawn(64, None).expect("a lane");
    format!("cores {} threads {}", CpuTopology::detect().cores().len(), lane.threads())
}

#[test]
fn a_lane_keeps_to_the_affinity_of_its_process() {
    let all = CpuSet::of_this_thread().expect("an affinity");
    for cpu in all.iter() {
        let seen = std::thread::spawn(move || {
            let mut only = rustix::thread::CpuSet::new();
            only.set(cpu);
            rustix::thread::sched_setaffinity(None, &only).expect("an affinity");
            let lane = Lane::spawn(64, None).expect("a lane");
            let ran_on = Mutex::new(Vec::new());
            lane.for_each(100, |_| ran_on.lock().expect("no panic").push(rustix::thread::sched_getcpu()));
            (shares(), CpuTopology::detect().cpus(), ran_on.into_inner().expect("no panic"))
        });
        let (shares, cpus, ran_on) = seen.join().expect("the thread");
        assert_eq!(shares, "cores 1 threads 1", "on cpu {cpu} of {all}");
        assert_eq!(cpus, [cpu].into_iter().collect());
        assert!(ran_on.iter().all(|ran| *ran == cpu), "tasks ran on {ran_on:?}");
    }
}

/// A control group of this process's own, removed when it is dropped.
struct Group(PathBuf);

impl Group {
    /// A group that may use `percent` of one cpu; none where this process may not make one.
    fn with_quota(percent: u32) -> Option<Group> {
        let (root, version) = hierarchy()?;
        let group = Group(root.join(format!("nanomind-test-{}", process::id())));
        fs::create_dir(&group.0).ok()?;
        let quota = percent * 1_000;
        let written = match version {
            1 => fs::write(group.0.join("cpu.cfs_period_us"), "100000")
                .and_then(|()| fs::write(group.0.join("cpu.cfs_quota_us"), quota.to_string())),
            _ => fs::write(group.0.join("cpu.max"), format!("{quota} 100000")),
        };
        written.ok().map(|()| group)
    }

    /// Runs this test program's test `name` in the group and gives what it prints.
    fn run(&self, name: &str) -> io::Result<String> {
        let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let program = std::env::current_exe()?;
        let arguments = ["--exact", name, "--nocapture"];
        let mut command = Command::new("sh");
        command.arg("-c").arg(enter).arg(&self.0).arg(program).args(arguments).env(INSIDE, "1");
        let output = command.output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where groups with a share of the processor are made, and by which version's names.
fn hierarchy() -> Option<(&'static Path, u32)> {
    let (old, new) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
    let shared = fs::read_to_string(new.join("cgroup.subtree_control")).unwrap_or_default();
    if old.join("cpu.cfs_quota_us").exists() || old.join("cgroup.procs").exists() {
        return Some((old, 1));
    }
    shared.split_whitespace().any(|controller| controller == "cpu").then_some((new, 2))
}

/// Not a test of its own: what the next one runs in a control group.
#[test]
#[allow(clippy::print_stdout, reason = "the test that starts it reads what it prints")]
fn inside_a_control_group() {
    if std::env::var_os(INSIDE).is_some() {
        println!("found {}", shares());
    }
}

#[test]
fn a_quota_of_a_control_group_bounds_cores_and_threads() {
    let cpus = CpuSet::of_this_thread().expect("an affinity").len();
    for (percent, at_most) in [(100, 1), (50, 1), (200, 2)] {
        // Only who may make control groups can try.
        let Some(group) = Group::with_quota(percent) else { return };
        let told = group.run("inside_a_control_group").expect("it runs");
        let most = at_most.min(cpus);
        assert!(told.contains(&format!("found cores {most} threads {most}")), "{percent} % of a cpu: {told}");
    }
}

/// Nanoseconds that the threads of this process whose names begin with `name` have run.
fn ran_for(name: &str) -> u64 {
    let threads = fs::read_dir("/proc/self/task").expect("this process's threads");
    let of_thread = |folder: PathBuf| {
        let called = fs::read_to_string(folder.join("comm")).ok()?;
        let ran = fs::read_to_string(folder.join("schedstat")).ok()?;
        called.starts_with(name).then(|| ran.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()))?
    };
    threads.filter_map(|thread| of_thread(thread.ok()?.path())).sum()
}

#[test]
fn an_accelerator_that_has_worked_takes_no_processor_time_when_it_has_nothing_to_do() {
    let clock = Clock::system();
    let group = CoreGroup { name: "cpu:77".parse().expect("a name"), cpus: CpuSet::of_this_thread().expect("cpus") };
    let accelerator = Accelerator::cpu(group, CoreLease::new(), clock.clone()).expect("an accelerator");
    let label = JobLabel { node: "mind".into(), phase: Phase::Decode, tokens: 1 };
    let order = JobOrder { label, class: JobClass::Decode, cost: JobCost::default() };
    let before = ran_for("cpu:77");
    for _ in 0..20 {
        let clock = clock.clone();
        let work = move |lane: &Lane| {
            let start = clock.now();
            while clock.now().since(start) < Duration::from_millis(2) {
                lane.for_each(8, |_| std::hint::spin_loop());
            }
        };
        accelerator.submit(order.clone(), work).wait().expect("a result");
    }
    // Time to see that nothing comes.
    clock.sleep_blocking(Duration::from_millis(50));
    let idle = ran_for("cpu:77");
    assert!(idle - before > 1_000_000, "it worked for {} ns: is the name right?", idle - before);
    clock.sleep_blocking(Duration::from_millis(500));
    let took = ran_for("cpu:77") - idle;
    assert!(took < 100_000, "{took} ns in half a second without a job");
}
