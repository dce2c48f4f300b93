//! Simulated accelerators under test: their time is the model's, their order and books are those of real ones.

use super::*;
use crate::clock::Timestamp;
use crate::profile::DeviceProfile;
use proptest::prelude::*;
use std::time::SystemTime;
use tokio::runtime::Runtime;

/// A device in simulation: its runtime, its clock and its accelerators by their names.
struct Device {
    runtime: Runtime,
    clock: Clock,
    accelerators: Vec<Accelerator>,
}

impl Device {
    fn new(name: &str) -> Device {
        let (clock, runtime) = Clock::simulated(SystemTime::UNIX_EPOCH).expect("a runtime");
        let (profile, lease) = (DeviceProfile::find(name).expect(name), CoreLease::new());
        let start = |id| Accelerator::simulated(&profile, id, lease.clone(), clock.clone()).expect("an accelerator");
        let accelerators = profile.accelerators.iter().map(|one| start(one.id)).collect();
        Device { runtime, clock, accelerators }
    }

    fn get(&self, name: &str) -> &Accelerator {
        self.accelerators.iter().find(|accelerator| accelerator.id().to_string() == name).expect(name)
    }
}

fn cost(flops: u64, bytes: u64) -> JobCost {
    JobCost { flops, bytes }
}

fn job(phase: Phase, cost: JobCost) -> JobOrder {
    JobOrder { label: JobLabel { node: "mind".into(), phase, tokens: 1 }, class: JobClass::Decode, cost }
}

/// Microseconds from the start.
fn us(at: Timestamp) -> f64 {
    at.as_nanos() as f64 / 1e3
}

#[test]
fn a_job_does_its_work_and_takes_the_time_of_the_model() {
    let device = Device::new("rk3566");
    let npu = device.get("npu");
    // 800 GOPS at 42 % are 336 operations a nanosecond, and a run costs 500 µs: 1,500 µs.
    let order = job(Phase::Encode, cost(336_000_000, 0));
    assert_eq!(npu.predict("eye", Phase::Encode, order.cost).time, Duration::from_micros(1_500));
    let done = device.runtime.block_on(async {
        let handle = npu.submit(order.clone(), |lane| {
            assert_eq!(lane.threads(), 1);
            6 * 7
        });
        tokio::task::yield_now().await;
        assert_eq!(npu.stats().running.map(|running| running.label), Some(order.label.clone()));
        assert_eq!(npu.stats().backlog, Duration::from_micros(1_500));
        handle.await.expect("a result")
    });
    assert_eq!((done.value, us(done.timing.started), us(done.timing.finished)), (42, 0.0, 1_500.0));
    let stats = npu.stats();
    assert_eq!((stats.total.jobs, stats.total.busy, stats.running), (1, Duration::from_micros(1_500), None));
    assert_eq!(us(device.clock.now()), 1_500.0);
}

#[test]
fn one_accelerator_takes_jobs_by_urgency_and_two_run_side_by_side() {
    let device = Device::new("rk3566");
    let (gpu, npu) = (device.get("gpu"), device.get("npu"));
    let ended = device.runtime.block_on(async {
        let submit = |accelerator: &Accelerator, phase, class| {
            let (clock, order) = (device.clock.clone(), JobOrder { class, ..job(phase, cost(0, 0)) });
            let handle = accelerator.submit(order, |_| ());
            async move { handle.await.map(|_| us(clock.now())).expect("a result") }
        };
        tokio::join!(
            submit(gpu, Phase::Encode, JobClass::Vision),
            submit(gpu, Phase::Prefill, JobClass::Prefill),
            submit(gpu, Phase::Decode, JobClass::Decode),
            submit(npu, Phase::Encode, JobClass::Vision),
        )
    });
    assert_eq!(ended, (1_200.0, 800.0, 400.0, 500.0));
}

#[test]
fn overlapping_core_groups_take_turns_in_virtual_time_too() {
    let device = Device::new("rk3566");
    let (flops, bytes) = (0, 588_000); // 100 µs of reading for all cores, at 8.4 GB/s and 70 %
    let (whole, first, second) = device.runtime.block_on(async {
        let run = |name: &str| device.get(name).submit(job(Phase::Decode, cost(flops, bytes)), |_| ());
        tokio::join!(run("cpu"), run("cpu:0"), run("cpu:1"))
    });
    let span = |done: Result<JobDone<()>, JobError>| {
        let timing = done.expect("a result").timing;
        (us(timing.started), us(timing.finished))
    };
    let (whole, first, second) = (span(whole), span(first), span(second));
    assert_eq!(whole, (0.0, 105.0));
    // The halves wait for the whole and then run side by side; 4 µs and 588,000 bytes at 55 % of 8.4 GB/s.
    assert_eq!(first, (105.0, 105.0 + 131.273));
    assert_eq!(second, first);
}

#[test]
fn what_the_profile_does_not_list_is_refused_and_takes_no_time() {
    let device = Device::new("rk3566");
    let npu = device.get("npu");
    let error = device.runtime.block_on(npu.submit(job(Phase::Decode, cost(1 << 30, 0)), |_| ())).expect_err("no");
    assert_eq!(error.to_string(), "mind decode 1 token: npu cannot decode");
    assert_eq!(device.clock.now(), Timestamp::default());
    assert_eq!((npu.stats().total, npu.stats().running), (JobTotals::default(), None));
}

#[test]
fn a_panic_takes_its_time_and_harms_nobody_else() {
    let device = Device::new("rpi5");
    let cpu = device.get("cpu");
    device.runtime.block_on(async {
        let work = |_: &Lane| std::panic::resume_unwind(Box::new("out of luck"));
        let error = cpu.submit(job(Phase::Decode, cost(0, 0)), work).await.map(|done: JobDone<()>| done.timing);
        assert_eq!(error.expect_err("a panic").to_string(), "mind decode 1 token panicked: out of luck");
        assert_eq!(cpu.submit(job(Phase::Decode, cost(0, 0)), |_| 3).await.expect("a result").value, 3);
    });
    assert_eq!(us(device.clock.now()), 4.0);
}

#[test]
fn stopping_ends_it_and_so_does_the_end_of_its_runtime() {
    let device = Device::new("rpi5");
    let cpu = device.get("cpu").clone();
    let (running, waiting) = device.runtime.block_on(async {
        let running = cpu.submit(job(Phase::Decode, cost(0, 0)), |_| 1);
        let waiting = cpu.submit(job(Phase::Decode, cost(0, 0)), |_| 2);
        tokio::task::yield_now().await;
        cpu.stop();
        (running.await, waiting.await)
    });
    assert_eq!(running.map(|done| done.value), Ok(1));
    assert_eq!(waiting.map(|done| done.value), Err(JobError::Stopped { accelerator: cpu.id() }));
    let gpu = device.get("gpu").clone();
    drop(device);
    let late = gpu.submit(job(Phase::Decode, cost(0, 0)), |_| 3).wait();
    assert_eq!(late.map(|done| done.value), Err(JobError::Stopped { accelerator: gpu.id() }));
}

#[test]
fn a_real_clock_is_refused_and_so_is_what_the_device_does_not_have() {
    let profile = DeviceProfile::find("rpi5").expect("a profile");
    let simulated = |name: &str, clock: Clock| {
        let id = name.parse().expect(name);
        Accelerator::simulated(&profile, id, CoreLease::new(), clock).expect_err("no").to_string()
    };
    assert_eq!(simulated("cpu", Clock::system()), "cpu is simulated: expected a virtual clock, found the machine's");
    assert_eq!(simulated("npu", Clock::system()), "rpi5 has no accelerator npu");
}

/// What each job of a load on one device came to: where, started, finished.
fn course(load: &[(usize, usize, u64, u64)]) -> Vec<(String, Timestamp, Timestamp)> {
    let device = Device::new("rk3588");
    device.runtime.block_on(async {
        let mut handles = Vec::new();
        for &(accelerator, class, flops, pause) in load {
            let accelerator = &device.accelerators[accelerator % device.accelerators.len()];
            let order = JobOrder { class: JobClass::ALL[class], ..job(Phase::Encode, cost(flops, flops / 8)) };
            handles.push((accelerator.id().to_string(), accelerator.submit(order, |_| ())));
            device.clock.sleep(Duration::from_nanos(pause)).await;
        }
        let mut course = Vec::new();
        for (name, handle) in handles {
            let timing = handle.await.expect("a result").timing;
            course.push((name, timing.started, timing.finished));
        }
        course
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_load_takes_the_models_time_never_shares_cores_and_runs_twice_the_same(
        load in proptest::collection::vec((0usize..5, 0usize..5, 0u64..1 << 32, 0u64..2_000_000), 1..40)
    ) {
        let first = course(&load);
        prop_assert_eq!(&first, &course(&load));
        let profile = DeviceProfile::find("rk3588").expect("a profile");
        let profile_of = |name: &str| {
            profile.accelerators.iter().find(|one| one.id.to_string() == name).expect("an accelerator")
        };
        for ((name, started, finished), (_, _, flops, _)) in first.iter().zip(&load) {
            // The formula once more, written apart from the product's.
            let one = profile_of(name);
            let precision = one.runs.value[&Phase::Encode];
            let peak = one.peak.at(precision).expect("a peak").value.get() * one.sustained.compute.value.get();
            let read = one.bandwidth.value.get() * one.sustained.bandwidth.value.get();
            let nanos = one.launch.value.get() * 1e3 + (*flops as f64 / peak).max((flops / 8) as f64 / read);
            let ran = finished.since(*started).as_nanos() as f64;
            prop_assert!((ran - nanos).abs() < 1.001, "{}: {} ns, by the model {}", name, ran, nanos);
        }
        for (nth, (one, started, finished)) in first.iter().enumerate() {
            for (other, start, end) in &first[..nth] {
                let shared = one == other || profile_of(one).cores.overlaps(&profile_of(other).cores);
                prop_assert!(!shared || end <= started || finished <= start, "{} and {} at once", one, other);
            }
        }
    }
}
