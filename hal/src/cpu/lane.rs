//! The lane: the fork-join threads that one job computes on, and where its caller computes too.
//!
//! A decode step of a small model makes hundreds of calls of a few microseconds each, so idle workers spin for a
//! moment before they go to sleep and a hot hand-over costs less than a microsecond. Nothing is allocated by a call.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::thread;

use super::affinity::CpuSet;
use super::backoff::Backoff;
use super::crew::{Crew, Outcome};
use super::fork::MAX_TASKS;

/// Threads that run the tasks of a call together: the calling thread and `threads() - 1` workers.
///
/// A lane belongs to one thread at a time (it is `Send` but not `Sync`), so a task cannot call its own lane.
pub struct Lane {
    crew: Option<Crew>,
    backoff: Backoff,
    /// Whether a call is running; also keeps `Lane` from being `Sync`.
    busy: Cell<bool>,
}

impl Lane {
    /// A lane without workers: every call runs on the calling thread.
    pub fn single() -> Lane {
        Lane { crew: None, backoff: Backoff::default(), busy: Cell::new(false) }
    }

    /// A lane of `threads` threads, the caller's among them, whose workers keep to `cpus` if given, and off the cpu
    /// that the caller runs on (best effort; the caller's own affinity is left alone).
    ///
    /// There are never more threads than cpus that this process may use, nor than `cpus` has: threads that take turns
    /// on a core only slow each other down. [`Lane::threads`] says how many there are.
    ///
    /// # Errors
    /// The operating system refuses to start a thread.
    pub fn spawn(threads: usize, cpus: Option<&CpuSet>) -> io::Result<Lane> {
        Lane::spawn_named("lane", threads, cpus)
    }

    /// [`Lane::spawn`] whose workers are called `name-1`, `name-2`, ….
    pub(crate) fn spawn_named(name: &str, threads: usize, cpus: Option<&CpuSet>) -> io::Result<Lane> {
        let allowed = CpuSet::of_this_thread()?;
        let cpus = cpus.map_or(allowed.clone(), |cpus| cpus.intersection(&allowed));
        // Less than the cpus where a quota says so.
        let most = thread::available_parallelism().map_or(1, usize::from).min(cpus.len());
        Lane::with_workers(name, threads.min(most).saturating_sub(1).min(Crew::MAX_WORKERS), cpus)
    }

    fn with_workers(name: &str, workers: usize, cpus: CpuSet) -> io::Result<Lane> {
        if workers == 0 {
            return Ok(Lane::single());
        }
        let crew = Crew::start(name, workers, cpus)?;
        Ok(Lane { crew: Some(crew), ..Lane::single() })
    }

    /// How many threads run a call, the caller's among them.
    pub fn threads(&self) -> usize {
        self.crew.as_ref().map_or(1, |crew| crew.len() + 1)
    }

    /// Calls `task(i)` once for each `i` in `0..tasks`, in no particular order, on all threads; returns when all are
    /// done. A thread claims one task at a time, so a thread that is kept busy elsewhere delays what it has claimed
    /// and nothing else; when that happens too often, the calling thread does it all for a while.
    ///
    /// # Panics
    /// When a task panics, its panic is raised here once the tasks that had been started are done; the others are
    /// not run.
    pub fn for_each(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        match &self.crew {
            // A task that found its way to its own lane runs its call alone.
            Some(crew) if tasks > 1 && !self.busy.get() => self.for_each_with(crew, tasks, &task),
            _ => (0..tasks).for_each(task),
        }
    }

    fn for_each_with(&self, crew: &Crew, tasks: usize, task: &(impl Fn(usize) + Sync)) {
        let mut now = crew.now();
        if self.backoff.is_alone(now) {
            return (0..tasks).for_each(task);
        }
        self.busy.set(true);
        let mut first = 0;
        while first < tasks {
            let count = (tasks - first).min(MAX_TASKS);
            // SAFETY: `Lane` is not `Sync`, so no other thread is here, and `busy` keeps a task that comes back to its
            // own lane away.
            let Outcome { panic, ended, own, waited } = unsafe { crew.run(now, count, &|index| task(first + index)) };
            if let Some(panic) = panic {
                self.busy.set(false);
                resume_unwind(panic);
            }
            self.backoff.judge(ended, own, waited);
            now = ended;
            first += count;
        }
        self.busy.set(false);
    }

    /// Splits `data` into chunks of `chunk` items (the last one may be shorter) and calls `task(i, chunk i)` once for
    /// each, as [`Lane::for_each`] does.
    ///
    /// # Panics
    /// `chunk` is zero, or a task panics.
    pub fn for_each_chunk_mut<T: Send>(&self, data: &mut [T], chunk: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        assert!(chunk > 0, "a chunk holds at least one item");
        let len = data.len();
        let start = SharedStart(data.as_mut_ptr());
        self.for_each(len.div_ceil(chunk), |index| {
            let first = index * chunk;
            let count = chunk.min(len - first);
            // SAFETY: `first + count` is at most `len`, so the slice lies inside `data`, which this function borrows
            // mutably until all tasks are done. Chunks of different indexes do not overlap, and each index is handed
            // out once. `T: Send`, so another thread may have it.
            let part = unsafe { std::slice::from_raw_parts_mut(start.get().add(first), count) };
            task(index, part);
        });
    }

    /// Sends the workers to sleep now instead of after a moment of spinning, for others need their cores. The next
    /// call wakes them.
    pub(crate) fn rest(&self) {
        if let Some(crew) = &self.crew {
            crew.rest();
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

/// The start of a slice whose parts are handed to several threads.
struct SharedStart<T>(*mut T);

impl<T> SharedStart<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

// SAFETY: only the address is shared; whoever makes a reference out of it says why that is allowed.
unsafe impl<T: Send> Sync for SharedStart<T> {}

#[cfg(test)]
mod tests {
    use super::super::crew::SPIN;
    use super::*;
    use crate::clock::Clock;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// More threads than this machine may have cores, so that some are always descheduled.
    fn crowded(threads: usize) -> Lane {
        Lane::with_workers("test", threads - 1, CpuSet::of_this_thread().expect("cpus")).expect("threads")
    }

    fn message(panic: &(dyn std::any::Any + Send)) -> &str {
        panic.downcast_ref::<&str>().copied().unwrap_or("no message")
    }

    #[test]
    fn every_task_runs_exactly_once_call_after_call() {
        for threads in [1, 2, 3, 8] {
            let lane = crowded(threads);
            assert_eq!(lane.threads(), threads);
            let counts: Vec<AtomicUsize> = (0..37).map(|_| AtomicUsize::new(0)).collect();
            for call in 0..2_000 {
                let tasks = call % counts.len();
                lane.for_each(tasks, |index| {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                });
                for (index, count) in counts.iter().enumerate() {
                    let ran = count.swap(0, Ordering::Relaxed);
                    assert_eq!(
                        ran,
                        usize::from(index < tasks),
                        "task {index} of {tasks}, {threads} threads, call {call}"
                    );
                }
            }
        }
    }

    #[test]
    fn calls_that_find_the_workers_asleep_are_served() {
        let lane = crowded(3);
        let clock = Clock::system();
        for call in 0..50 {
            let ran = AtomicUsize::new(0);
            lane.for_each(64, |_| {
                ran.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(ran.into_inner(), 64, "call {call}");
            let idle = clock.now();
            while clock.now().since(idle) < SPIN * 3 {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_caller_that_waits_long_for_a_claimed_task_sleeps_and_is_woken() {
        let clock = Clock::system();
        let caller = thread::current().id();
        for _ in 0..20 {
            // A lane that has seen no stall: after one, which a busy machine may make, it would compute alone, and the
            // caller would wait for itself.
            let lane = crowded(2);
            let other_started = AtomicBool::new(false);
            lane.for_each(2, |_| {
                if thread::current().id() == caller {
                    // Leaves the other task to the worker.
                    while !other_started.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                } else {
                    other_started.store(true, Ordering::SeqCst);
                    let start = clock.now();
                    while clock.now().since(start) < SPIN * 5 {
                        thread::yield_now();
                    }
                }
            });
        }
    }

    #[test]
    fn a_panic_is_raised_at_the_caller_and_the_lane_lives_on() {
        let lane = crowded(4);
        for round in 0..200 {
            let finished = AtomicUsize::new(0);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                lane.for_each(32, |index| {
                    if index == round % 32 {
                        resume_unwind(Box::new("out of luck"));
                    }
                    finished.fetch_add(1, Ordering::Relaxed);
                });
            }));
            let panic = outcome.expect_err("the panic");
            assert_eq!(message(&*panic), "out of luck");
            assert!(finished.into_inner() <= 31);
            let sum = AtomicUsize::new(0);
            lane.for_each(10, |index| {
                sum.fetch_add(index, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 45, "the call after the panic of round {round}");
        }
    }

    #[test]
    fn chunks_cover_the_data_once_with_a_short_last_one() {
        let lane = crowded(3);
        let mut data = vec![0usize; 103];
        lane.for_each_chunk_mut(&mut data, 10, |index, chunk| {
            assert_eq!(chunk.len(), if index == 10 { 3 } else { 10 });
            for value in chunk {
                *value += index + 1;
            }
        });
        let expected: Vec<usize> = (0..103).map(|item| item / 10 + 1).collect();
        assert_eq!(data, expected);
        lane.for_each_chunk_mut(&mut data[..0], 10, |_, _| panic!("there is no chunk"));
    }

    #[test]
    fn a_lane_has_no_more_threads_than_cpus() {
        let lane = Lane::spawn(10_000, None).expect("a lane");
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        assert!(lane.threads() <= cpus, "{} threads on {cpus} cpus", lane.threads());
        let one = CpuSet::of_this_thread().expect("an affinity").iter().take(1).collect();
        assert_eq!(Lane::spawn(4, Some(&one)).expect("a lane").threads(), 1);
        assert_eq!(Lane::spawn(0, None).expect("a lane").threads(), 1);
    }

    #[test]
    fn a_resting_lane_serves_the_next_call() {
        let lane = crowded(3);
        for _ in 0..100 {
            lane.rest();
            let sum = AtomicUsize::new(0);
            lane.for_each(100, |index| {
                sum.fetch_add(index, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_lane_moves_between_threads_and_is_dropped_while_its_workers_spin_or_sleep() {
        for round in 0..50 {
            let lane = crowded(3);
            let total = thread::spawn(move || {
                let total = AtomicUsize::new(0);
                lane.for_each(round, |_| {
                    total.fetch_add(1, Ordering::Relaxed);
                });
                total.into_inner()
            });
            assert_eq!(total.join().expect("the thread"), round);
        }
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_add_up(len in 0usize..300, chunk in 1usize..400, threads in 1usize..5) {
            let lane = crowded(threads);
            let mut data = vec![0u32; len];
            lane.for_each_chunk_mut(&mut data, chunk, |_, part| part.iter_mut().for_each(|item| *item += 1));
            prop_assert!(data.iter().all(|item| *item == 1));
        }
    }
}
