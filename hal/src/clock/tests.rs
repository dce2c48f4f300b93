//! The clock under test: the machine's, and the virtual one.

use super::*;
use std::sync::{Arc, Mutex};

fn runtime_of_the_machine() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

#[test]
fn clones_share_their_start() {
    let clock = Clock::system();
    let clone = clock.clone();
    let (first, second) = (clock.now(), clone.now());
    assert!(second >= first, "the clone went back from {first} to {second}");
}

#[test]
fn a_timestamp_never_goes_below_zero_or_over_the_end() {
    let (early, late) = (Timestamp::from_nanos(5), Timestamp::from_nanos(8));
    assert_eq!(late.since(early), Duration::from_nanos(3));
    assert_eq!(early.since(late), Duration::ZERO);
    assert_eq!(Timestamp::from_nanos(u64::MAX) + Duration::from_secs(1), Timestamp::from_nanos(u64::MAX));
}

#[test]
fn sleeping_takes_at_least_the_time_asked_for() {
    let clock = Clock::system();
    let before = clock.now();
    runtime_of_the_machine().block_on(clock.sleep(Duration::from_millis(3)));
    let slept = clock.now().since(before);
    assert!(slept >= Duration::from_millis(3), "slept {slept:?}");
}

#[test]
fn ticks_come_in_order_and_a_zero_period_does_not_panic() {
    let clock = Clock::system();
    let ticks = runtime_of_the_machine().block_on(async {
        let mut interval = clock.interval(Duration::ZERO);
        let mut ticks = Vec::new();
        for _ in 0..3 {
            ticks.push(interval.tick().await);
        }
        ticks
    });
    assert!(ticks.is_sorted(), "{ticks:?}");
}

/// A clock that starts at noon on 27 November 2026, and its runtime.
fn virtual_clock() -> (Clock, Runtime) {
    Clock::simulated(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_780_800)).expect("a runtime")
}

/// What a day of a governor, a sensor and two chains of short jobs wrote down: who, and when.
fn a_day() -> Vec<(&'static str, Timestamp)> {
    let (clock, runtime) = virtual_clock();
    let log = Arc::new(Mutex::new(Vec::new()));
    let end = Timestamp::from_nanos(86_400 * 1_000_000_000);
    let write = |who: &'static str, at: Timestamp| log.lock().expect("the log").push((who, at));
    runtime.block_on(async {
        let governor = async {
            let mut ticks = clock.interval(Duration::from_secs(1));
            while clock.now() < end {
                write("governor", ticks.tick().await);
            }
        };
        let sensor = async {
            let mut ticks = clock.interval(Duration::from_nanos(10_000_000_007));
            while clock.now() < end {
                write("sensor", ticks.tick().await);
            }
        };
        let job = |who, nanos| {
            let (clock, write) = (clock.clone(), &write);
            async move {
                while clock.now() < end {
                    clock.sleep(Duration::from_nanos(nanos)).await;
                    write(who, clock.now());
                    clock.sleep(Duration::from_secs(30)).await;
                }
            }
        };
        tokio::join!(governor, sensor, job("mind", 1), job("eye", 2_417));
    });
    assert!(clock.now() >= end, "the day ended at {}", clock.now());
    drop(runtime);
    Arc::try_unwrap(log).expect("nobody else writes").into_inner().expect("the log")
}

#[test]
fn a_virtual_day_is_soon_over_and_passes_twice_the_same() {
    let begun = Instant::now();
    let day = a_day();
    let took = begun.elapsed();
    assert!(day.len() > 86_400 + 8_639 + 2 * 2_870, "only {} events", day.len());
    assert!(day.iter().is_sorted_by_key(|(_, at)| at), "time went back");
    assert_eq!(day, a_day());
    // A day in a minute would be slow; how slow a loaded machine may make a fraction of a second is not our matter.
    assert!(took < Duration::from_secs(60), "a day took {took:?}");
}

#[test]
fn a_virtual_nanosecond_is_not_rounded_away() {
    let (clock, runtime) = virtual_clock();
    let mut passed = Vec::new();
    runtime.block_on(async {
        for step in [1, 999, 1_001, 1_000_000, 86_400_000_000_007] {
            let before = clock.now();
            clock.sleep(Duration::from_nanos(step)).await;
            passed.push(clock.now().since(before).as_nanos());
        }
    });
    assert_eq!(passed, [1, 999, 1_001, 1_000_000, 86_400_000_000_007]);
    assert_eq!(clock.now().as_nanos(), 86_400_001_002_008);
}

#[test]
fn virtual_time_stands_still_while_anybody_can_go_on() {
    let (clock, runtime) = virtual_clock();
    runtime.block_on(async {
        let sleeper = clock.sleep(Duration::from_nanos(1));
        let worker = async {
            for _ in 0..1_000 {
                assert_eq!(clock.now(), Timestamp::default());
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(sleeper, worker);
    });
    assert_eq!(clock.now(), Timestamp::from_nanos(1));
}

#[test]
fn time_stands_still_for_local_tasks_too_however_many_there_are() {
    let (clock, runtime) = virtual_clock();
    let local = tokio::task::LocalSet::new();
    let ended: Vec<Timestamp> = runtime.block_on(local.run_until(async {
        // More than a local set polls at a time, beside tasks of the runtime itself.
        let busy = |clock: Clock| async move {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            clock.now()
        };
        let sleeper = tokio::task::spawn_local({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_nanos(1)).await;
                clock.now()
            }
        });
        let mut tasks: Vec<_> = (0..200).map(|_| tokio::task::spawn_local(busy(clock.clone()))).collect();
        tasks.extend((0..200).map(|_| tokio::spawn(busy(clock.clone()))));
        tasks.push(sleeper);
        let mut ended = Vec::new();
        for task in tasks {
            ended.push(task.await.expect("no panic"));
        }
        ended
    }));
    assert!(ended[..400].iter().all(|at| *at == Timestamp::default()), "time leapt while tasks could go on");
    assert_eq!(ended[400], Timestamp::from_nanos(1));
}

#[test]
fn a_virtual_clock_tells_its_time_outside_of_its_runtime_and_on_other_threads() {
    let (clock, runtime) = virtual_clock();
    let noon = clock.wall();
    runtime.block_on(clock.sleep(Duration::from_secs(3_600)));
    let elsewhere = clock.clone();
    let (now, wall) = std::thread::spawn(move || (elsewhere.now(), elsewhere.wall())).join().expect("a thread");
    assert_eq!((now, clock.now()), (Timestamp::from_nanos(3_600_000_000_000), now));
    assert_eq!(wall.duration_since(noon).expect("later"), Duration::from_secs(3_600));
    assert!(clock.is_virtual() && !Clock::system().is_virtual());
}

#[test]
fn work_that_takes_too_long_is_given_up_at_the_very_moment() {
    let (clock, runtime) = virtual_clock();
    runtime.block_on(async {
        let limit = Duration::from_micros(5);
        let late = clock.timeout(limit, clock.sleep(Duration::from_nanos(5_001))).await;
        assert_eq!(late, Err(TimedOut { after: limit }));
        assert_eq!(clock.now(), Timestamp::from_nanos(5_000));
        let just = clock.timeout(limit, clock.sleep(limit)).await;
        assert_eq!((just, clock.now()), (Ok(()), Timestamp::from_nanos(10_000)));
    });
}

#[test]
fn a_late_tick_is_not_made_up_for_and_a_cancelled_one_is_not_lost() {
    let (clock, runtime) = virtual_clock();
    let second = Duration::from_secs(1);
    runtime.block_on(async {
        let mut ticks = clock.interval(second);
        assert_eq!(ticks.tick().await, Timestamp::default());
        assert!(clock.timeout(second / 2, ticks.tick()).await.is_err());
        assert_eq!(ticks.tick().await, Timestamp::default() + second);
        clock.sleep(second * 5 / 2).await;
        assert_eq!(ticks.tick().await, Timestamp::default() + second * 7 / 2);
        assert_eq!(ticks.tick().await, Timestamp::default() + second * 9 / 2);
    });
}

#[test]
fn the_far_end_of_time_can_be_slept_for_and_cancelled() {
    let (clock, runtime) = virtual_clock();
    let end = Timestamp::from_nanos(u64::MAX);
    runtime.block_on(async {
        assert!(clock.timeout(Duration::from_secs(1), clock.sleep_until(end)).await.is_err());
    });
    let system = Clock::system();
    runtime_of_the_machine().block_on(async {
        assert!(system.timeout(Duration::from_millis(2), system.sleep_until(end)).await.is_err());
    });
}
