//! The crew: a lane's workers, how they wait for a call without wasting a core, and how their caller waits for them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::affinity::{CpuSet, current_cpu, keep_this_thread_on};
use super::fork::{Call, Fork, Panic};
use crate::clock::{Clock, Timestamp};

/// How long an idle worker, and a caller with nothing left to claim, spins before it sleeps: longer than the serial
/// stretches between the calls of one step, far shorter than a scheduler's slice.
pub(super) const SPIN: Duration = Duration::from_micros(70);

/// Looks at shared state between two looks at the clock.
const SPINS_PER_LOOK: u32 = 32;

/// How a call went.
pub(super) struct Outcome {
    /// The first panic of its tasks.
    pub(super) panic: Option<Panic>,
    /// When it ended.
    pub(super) ended: Timestamp,
    /// How long the caller computed.
    pub(super) own: Duration,
    /// How long the caller waited for the workers after that.
    pub(super) waited: Duration,
}

/// The workers and what they share with the caller.
pub(super) struct Crew {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    fork: Fork,
    /// Where the workers may run.
    cpus: CpuSet,
    /// How many workers there are.
    workers: usize,
    /// Where the caller runs. The workers keep away from there: on a busy machine a woken worker would be put on its
    /// caller's own core, and the two would take turns.
    caller_cpu: AtomicUsize,
    /// The workers that sleep, or are about to: bit `n` is worker `n`. Who wakes one clears its bit.
    asleep: AtomicU64,
    /// Set while idle workers should not spin, as others need their cores.
    resting: AtomicBool,
    closing: AtomicBool,
    caller_asleep: AtomicBool,
    caller: Mutex<()>,
    all_done: Condvar,
    clock: Clock,
}

impl Crew {
    /// Workers of one lane at most: one bit each says who sleeps.
    pub(super) const MAX_WORKERS: usize = u64::BITS as usize;

    /// Starts `workers` workers called `name-1`, `name-2`, … that may run on `cpus`.
    pub(super) fn start(name: &str, workers: usize, cpus: CpuSet) -> io::Result<Crew> {
        let shared = Arc::new(Shared {
            fork: Fork::new(),
            cpus,
            workers,
            caller_cpu: AtomicUsize::new(current_cpu()),
            asleep: AtomicU64::new(0),
            resting: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            caller_asleep: AtomicBool::new(false),
            caller: Mutex::new(()),
            all_done: Condvar::new(),
            clock: Clock::system(),
        });
        // Dropping the crew ends the workers that were started, should one fail to.
        let mut crew = Crew { shared, workers: Vec::with_capacity(workers) };
        for worker in 0..workers {
            let shared = Arc::clone(&crew.shared);
            let seen = shared.fork.current();
            let name = format!("{name}-{}", worker + 1);
            crew.workers.push(thread::Builder::new().name(name).spawn(move || shared.serve(worker, seen))?);
        }
        Ok(crew)
    }

    /// How many workers there are.
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Sends the workers to sleep until the next call.
    pub(super) fn rest(&self) {
        self.shared.resting.store(true, Ordering::Relaxed);
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Runs one call, begun now, of at least one task and at most [`MAX_TASKS`](super::fork::MAX_TASKS).
    ///
    /// # Safety
    /// One call at a time: no other thread is in here, and `task` does not come back here.
    pub(super) unsafe fn run(&self, now: Timestamp, tasks: usize, task: &(impl Fn(usize) + Sync)) -> Outcome {
        let shared = &*self.shared;
        shared.resting.store(false, Ordering::Relaxed);
        shared.caller_cpu.store(current_cpu(), Ordering::Relaxed);
        // SAFETY: one call at a time is what our caller promises; `task` is borrowed until all tasks are done, which
        // `help` says or `wait_until_done` waits for.
        let call = unsafe { shared.fork.offer(tasks, task) };
        self.wake(tasks - 1);
        let last = shared.fork.help(call);
        let helped = self.now();
        let ended = if last { helped } else { shared.wait_until_done(tasks, helped) };
        Outcome { panic: shared.fork.take_panic(), ended, own: helped.since(now), waited: ended.since(helped) }
    }

    /// Wakes as many sleeping workers as have something to do.
    fn wake(&self, wanted: usize) {
        let shared = &*self.shared;
        // SeqCst: whoever's bit we miss here sets it after our offer, and so sees the offer before it sleeps.
        let mut asleep = shared.asleep.load(Ordering::SeqCst);
        for _ in 0..wanted {
            if asleep == 0 {
                return;
            }
            let worker = asleep.trailing_zeros();
            shared.asleep.fetch_and(!(1 << worker), Ordering::SeqCst);
            if let Some(worker) = self.workers.get(worker as usize) {
                worker.thread().unpark();
            }
            asleep &= asleep - 1;
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks and has none of its own.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// What worker `worker` does: helps with each call after `seen` until the lane is dropped.
    fn serve(&self, worker: usize, mut seen: Call) {
        let mut kept_off = None;
        while let Some(call) = self.next_call(worker, seen) {
            seen = call;
            let caller_cpu = self.caller_cpu.load(Ordering::Relaxed);
            if kept_off != Some(caller_cpu) {
                self.keep_off(caller_cpu, worker);
                kept_off = Some(caller_cpu);
            }
            if self.fork.help(call) {
                self.wake_caller();
            }
        }
    }

    /// Keeps worker `worker`, which is this thread, off the caller's cpu, and on one of its own where every cpu has
    /// its worker.
    fn keep_off(&self, caller_cpu: usize, worker: usize) {
        let others = self.cpus.iter().filter(|cpu| *cpu != caller_cpu);
        match others.clone().count() {
            0 => {}
            count if count <= self.workers => keep_this_thread_on(others.skip(worker % count).take(1)),
            _ => keep_this_thread_on(others),
        }
    }

    /// Waits for a call after `seen`: spins for a moment, then sleeps. `None` when the lane is dropped.
    fn next_call(&self, worker: usize, seen: Call) -> Option<Call> {
        let idle = self.clock.now();
        loop {
            for _ in 0..SPINS_PER_LOOK {
                let call = self.fork.current();
                if call != seen {
                    return Some(call);
                }
                std::hint::spin_loop();
            }
            if self.closing.load(Ordering::Relaxed) {
                return None;
            }
            let in_the_way =
                self.resting.load(Ordering::Relaxed) || current_cpu() == self.caller_cpu.load(Ordering::Relaxed);
            if in_the_way || self.clock.now().since(idle) > SPIN {
                self.sleep(worker, seen);
            }
        }
    }

    /// Sleeps until a call after `seen` wants this worker, or the lane is dropped. May wake for nothing.
    fn sleep(&self, worker: usize, seen: Call) {
        let bit = 1 << worker;
        self.asleep.fetch_or(bit, Ordering::SeqCst);
        while self.fork.current() == seen
            && self.asleep.load(Ordering::SeqCst) & bit != 0
            && !self.closing.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.asleep.fetch_and(!bit, Ordering::SeqCst);
    }

    /// Waits until the workers have done what they claimed: spins for a moment, then sleeps, which also leaves the
    /// core to a worker that was waiting for one. Begins at `idle`; says when it ended, to within the spin.
    fn wait_until_done(&self, tasks: usize, idle: Timestamp) -> Timestamp {
        loop {
            for _ in 0..SPINS_PER_LOOK {
                if self.fork.is_done(tasks) {
                    // A wait this short needs no second look at the clock.
                    return idle;
                }
                std::hint::spin_loop();
            }
            if self.clock.now().since(idle) > SPIN {
                break;
            }
        }
        let mut caller = self.caller.lock();
        // SeqCst: either the worker that finishes last sees this, or we see that it has finished.
        self.caller_asleep.store(true, Ordering::SeqCst);
        while !self.fork.is_done(tasks) {
            self.all_done.wait(&mut caller);
        }
        self.caller_asleep.store(false, Ordering::Relaxed);
        self.clock.now()
    }

    fn wake_caller(&self) {
        if self.caller_asleep.load(Ordering::SeqCst) {
            // With the lock held the caller is either asleep by now or sees that all is done.
            let _caller = self.caller.lock();
            self.all_done.notify_one();
        }
    }
}
