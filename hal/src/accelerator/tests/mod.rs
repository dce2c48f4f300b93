//! Accelerators under test: order, panics, stopping, shared cores and their books.

mod simulated;

use super::*;
use crate::cpu::CpuSet;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn accelerator_on(name: &str, cpus: &str, lease: &CoreLease) -> Accelerator {
    let cpus = CpuSet::parse(cpus).expect(cpus);
    let group = CoreGroup { name: name.parse().expect(name), cpus };
    Accelerator::cpu(group, lease.clone(), Clock::system()).expect(name)
}

fn accelerator() -> Accelerator {
    accelerator_on("cpu:0", "0", &CoreLease::new())
}

fn order(node: &str, class: JobClass) -> JobOrder {
    let label = JobLabel { node: node.into(), phase: Phase::Decode, tokens: 3 };
    JobOrder { label, class, cost: JobCost { flops: 1_000_000, bytes: 1_000 } }
}

/// Keeps the accelerator busy until the sender is dropped.
fn block(accelerator: &Accelerator) -> (flume::Sender<()>, JobHandle<()>) {
    let (release, released) = flume::bounded::<()>(0);
    let (started, has_started) = flume::bounded(1);
    let handle = accelerator.submit(order("blocker", JobClass::Control), move |_| {
        let _ = started.send(());
        let _ = released.recv();
    });
    has_started.recv().expect("the blocker starts");
    (release, handle)
}

#[test]
fn a_job_runs_on_the_lane_and_its_timing_is_in_order() {
    let accelerator = accelerator();
    let done = accelerator.submit(order("mind", JobClass::Decode), |lane| {
        let sum = AtomicUsize::new(0);
        lane.for_each(10, |index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        sum.into_inner()
    });
    let done = done.wait().expect("a result");
    assert_eq!(done.value, 45);
    let timing = done.timing;
    assert!(timing.submitted <= timing.started && timing.started <= timing.finished, "{timing:?}");
}

#[test]
fn a_handle_can_be_awaited() {
    let accelerator = accelerator();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let value = runtime.block_on(async { accelerator.submit(order("mind", JobClass::Decode), |_| 7).await });
    assert_eq!(value.expect("a result").value, 7);
}

#[test]
fn urgent_jobs_overtake_those_that_wait() {
    let accelerator = accelerator();
    let (release, blocker) = block(&accelerator);
    let ran = Arc::new(Mutex::new(Vec::new()));
    let handles: Vec<_> = [JobClass::Vision, JobClass::Prefill, JobClass::Decode, JobClass::Audio]
        .into_iter()
        .map(|class| {
            let ran = Arc::clone(&ran);
            accelerator.submit(order("mind", class), move |_| ran.lock().push(class))
        })
        .collect();
    assert_eq!(accelerator.stats().queue_depth, 4);
    drop(release);
    blocker.wait().expect("the blocker ends");
    for handle in handles {
        handle.wait().expect("a result");
    }
    assert_eq!(*ran.lock(), [JobClass::Audio, JobClass::Decode, JobClass::Prefill, JobClass::Vision]);
}

#[test]
fn a_panic_fails_its_job_only_and_says_whose_it_was() {
    let accelerator = accelerator();
    let error = accelerator
        .submit(order("eye", JobClass::Vision), |_| std::panic::resume_unwind(Box::new(String::from("out of luck"))))
        .wait()
        .map(|done: JobDone<()>| done.timing)
        .expect_err("a panic");
    assert_eq!(error.to_string(), "eye decode 3 tokens panicked: out of luck");
    let done = accelerator.submit(order("mind", JobClass::Decode), |_| 1).wait().expect("the next job");
    assert_eq!(done.value, 1);
    let stats = accelerator.stats();
    assert_eq!((stats.total.jobs, stats.total.panicked), (2, 1));
    assert_eq!((stats.nodes["eye"].panicked, stats.nodes["mind"].panicked), (1, 0));
}

#[test]
fn a_result_that_panics_when_dropped_does_not_end_the_accelerator() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("bang"));
        }
    }
    let accelerator = accelerator();
    let (release, _blocker) = block(&accelerator);
    drop(accelerator.submit(order("mind", JobClass::Decode), |_| Grenade));
    drop(release);
    let after = accelerator.submit(order("mind", JobClass::Decode), |_| 2).wait().expect("the next job");
    assert_eq!(after.value, 2);
}

#[test]
fn stopping_fails_what_waits_and_what_comes_later_but_finishes_what_runs() {
    let accelerator = accelerator();
    let (release, running) = block(&accelerator);
    let waiting = accelerator.submit(order("mind", JobClass::Decode), |_| ());
    accelerator.stop();
    let late = accelerator.submit(order("mind", JobClass::Decode), |_| ());
    for handle in [waiting, late] {
        let error = handle.wait().expect_err("a stopped accelerator");
        assert_eq!(error.to_string(), "cpu:0 was stopped");
    }
    drop(release);
    running.wait().expect("the running job is finished");
}

#[test]
fn dropping_the_last_handle_stops_it_even_from_inside_a_job() {
    let accelerator = accelerator();
    let (release, running) = block(&accelerator);
    let waiting = accelerator.submit(order("mind", JobClass::Decode), |_| ());
    let inside = accelerator.clone();
    let own = accelerator.submit(order("mind", JobClass::Control), move |_| drop(inside));
    let join = thread::spawn(move || drop(accelerator));
    drop(release);
    running.wait().expect("the running job is finished");
    // Either may be cut off by the drop, but neither may hang.
    let _ = own.wait();
    let _ = waiting.wait();
    join.join().expect("no deadlock");
}

#[test]
fn the_books_add_up_by_node_and_backlog_is_predicted() {
    let accelerator = accelerator();
    for node in ["eye", "mind", "mind"] {
        accelerator.submit(order(node, JobClass::Decode), |_| ()).wait().expect("a result");
    }
    let stats = accelerator.stats();
    assert_eq!(stats.running, None);
    assert_eq!(stats.backlog, Duration::ZERO);
    assert_eq!((stats.total.jobs, stats.total.tokens), (3, 9));
    assert_eq!((stats.nodes["eye"].jobs, stats.nodes["mind"].jobs), (1, 2));
    assert_eq!(stats.total.busy, stats.nodes["eye"].busy + stats.nodes["mind"].busy);

    let (release, _blocker) = block(&accelerator);
    let large = JobCost { flops: 1 << 40, bytes: 0 };
    let _job = accelerator.submit(JobOrder { cost: large, ..order("mind", JobClass::Decode) }, |_| ());
    let stats = accelerator.stats();
    assert_eq!(stats.running.map(|running| running.label.node), Some("blocker".into()));
    assert_eq!(stats.queue_depth, 1);
    assert!(stats.backlog >= accelerator.predict("mind", Phase::Decode, large).time, "{:?}", stats.backlog);
    drop(release);
}

#[test]
fn accelerators_that_share_cores_never_run_at_once() {
    let lease = CoreLease::new();
    let accelerators = [("cpu", "0-1"), ("cpu:0", "0"), ("cpu:1", "1")];
    let accelerators = accelerators.map(|(name, cpus)| (name, accelerator_on(name, cpus, &lease)));
    let users = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let handles: Vec<_> = (0..600)
        .map(|number| {
            let (name, accelerator) = &accelerators[number % 3];
            let cores: &[usize] = match *name {
                "cpu" => &[0, 1],
                "cpu:0" => &[0],
                _ => &[1],
            };
            let users = Arc::clone(&users);
            accelerator.submit(order(name, JobClass::Decode), move |lane| {
                let others: usize = cores.iter().map(|core| users[*core].fetch_add(1, Ordering::SeqCst)).sum();
                lane.for_each(4, |_| thread::yield_now());
                for core in cores {
                    users[*core].fetch_sub(1, Ordering::SeqCst);
                }
                others
            })
        })
        .collect();
    for (number, handle) in handles.into_iter().enumerate() {
        let others = handle.wait().expect("a result").value;
        assert_eq!(others, 0, "job {number} shared its cores");
    }
}

#[cfg(feature = "gpu")]
#[test]
fn a_lost_device_fails_jobs_but_hands_over_the_one_that_saw_it_go() {
    let gpu = crate::gpu::Gpu::open(&crate::gpu::GpuChoice::Best, None)
        .expect("an adapter: install mesa-vulkan-drivers and libvulkan1");
    let id = AcceleratorId::whole(AcceleratorKind::Gpu);
    let accelerator = Accelerator::gpu(id, &gpu, Clock::system()).expect("an accelerator");
    let submit =
        |work: fn() -> u32| accelerator.submit(order("mind", JobClass::Decode), move |lane| (lane.threads(), work()));
    assert_eq!(submit(|| 7).wait().expect("a result").value, (1, 7));
    let device = gpu.clone();
    let last = accelerator.submit(order("mind", JobClass::Decode), move |_| {
        device.lose();
        "what it owned"
    });
    assert_eq!(last.wait().expect("a result").value, "what it owned");
    assert!(accelerator.is_lost());
    assert!(matches!(submit(|| 8).wait(), Err(JobError::Lost { accelerator, .. }) if accelerator == id));
    assert_eq!(accelerator.stats().total.jobs, 2, "what did not run is in no book");
}
