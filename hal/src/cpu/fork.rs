//! One fork: how the threads of a lane share out the tasks of a call and agree that all are done. It never waits
//! for a thread that has claimed nothing, and never touches a call after its caller has gone.
//!
//! All claims go through one word: the number of the call above, the tasks left to claim below. A thread reads the
//! word, reads what the call is, and then claims a task by exchanging the word for one with a task less. If that
//! succeeds, the call was still the same one *and* has a task that is not done: so its caller is still waiting, what
//! was read belongs to this call, and the closure behind it is alive. If it fails, what was read is thrown away.
//! Tasks are counted down, so that an exhausted word reads as exhausted whatever the fields of the next call say.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam::utils::CachePadded;

use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Mutex, Ordering};

/// Tasks of one call at most: the lower bits of the word.
pub(crate) const MAX_TASKS: usize = (1 << TASK_BITS) - 1;
const TASK_BITS: u32 = 24;

/// What a panic carries.
pub(crate) type Panic = Box<dyn Any + Send>;

/// The number of a call; it wraps after 2⁴⁰ calls, which at a million calls a second is twelve days. A thread would
/// have to stand still between two instructions for exactly that long to mistake one call for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call(u64);

/// A closure with its type erased: `run(data, index)`.
type Run = unsafe fn(*const (), usize);

/// The shared state of the calls of one lane, one at a time.
pub(crate) struct Fork {
    word: CachePadded<AtomicU64>,
    done: CachePadded<AtomicUsize>,
    tasks: AtomicUsize,
    data: AtomicPtr<()>,
    run: AtomicPtr<()>,
    panic: Mutex<Option<Panic>>,
}

impl Fork {
    pub(crate) fn new() -> Fork {
        Fork {
            word: CachePadded::new(AtomicU64::new(0)),
            done: CachePadded::new(AtomicUsize::new(0)),
            tasks: AtomicUsize::new(0),
            data: AtomicPtr::new(std::ptr::null_mut()),
            run: AtomicPtr::new(std::ptr::null_mut()),
            panic: Mutex::new(None),
        }
    }

    /// The call that is running, or that ran last.
    pub(crate) fn current(&self) -> Call {
        // SeqCst, as a worker looks here once more after it has said that it sleeps.
        Call(self.word.load(Ordering::SeqCst) >> TASK_BITS)
    }

    /// Offers `tasks` tasks (at least 1, at most [`MAX_TASKS`]) to all threads.
    ///
    /// # Safety
    /// One thread at a time offers. `task` must stay alive and in place until [`Fork::is_done`] has said yes.
    pub(crate) unsafe fn offer<F: Fn(usize) + Sync>(&self, tasks: usize, task: &F) -> Call {
        debug_assert!((1..=MAX_TASKS).contains(&tasks), "{tasks} tasks in one call");
        // Relaxed will do: the word below publishes these, and nobody who reads them early can claim.
        self.tasks.store(tasks, Ordering::Relaxed);
        self.data.store(std::ptr::from_ref(task).cast::<()>().cast_mut(), Ordering::Relaxed);
        self.run.store(run::<F> as Run as *mut (), Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        let call = (self.word.load(Ordering::Relaxed) >> TASK_BITS).wrapping_add(1) & (u64::MAX >> TASK_BITS);
        // SeqCst, as the caller then looks who sleeps, and who goes to sleep looks here afterwards.
        self.word.store(call << TASK_BITS | tasks as u64, Ordering::SeqCst);
        Call(call)
    }

    /// Claims and runs tasks of `call` until none is left; says whether that was the last of it. A panic is kept for
    /// [`Fork::take_panic`], and the tasks that nobody has claimed by then are given up.
    pub(crate) fn help(&self, call: Call) -> bool {
        let mut finished = 0;
        let mut tasks = 0;
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let left = word & MAX_TASKS as u64;
            if word >> TASK_BITS != call.0 || left == 0 {
                break;
            }
            let data = self.data.load(Ordering::Relaxed);
            let erased = self.run.load(Ordering::Relaxed);
            let offered = self.tasks.load(Ordering::Relaxed);
            if let Err(now) = self.word.compare_exchange_weak(word, word - 1, Ordering::AcqRel, Ordering::Acquire) {
                word = now;
                continue;
            }
            tasks = offered;
            // SAFETY: the exchange succeeded, so this call has a task that is not done and its caller still waits:
            // the three fields were not overwritten since the word was read, and hold what `offer` stored: `erased`
            // came from a `Run`, `data` from the `&F` it was made for, which `offer`'s caller keeps alive.
            let outcome = catch_unwind(AssertUnwindSafe(|| unsafe {
                let run = std::mem::transmute::<*mut (), Run>(erased);
                run(data.cast_const(), tasks - left as usize);
            }));
            finished += 1;
            word = self.word.load(Ordering::Acquire);
            if let Err(panic) = outcome {
                finished += self.give_up();
                self.panic.lock().get_or_insert(panic);
            }
        }
        // Once we have reported, the caller may be gone: nothing of the call is touched afterwards. SeqCst, as we then
        // look whether the caller sleeps.
        finished > 0 && self.done.fetch_add(finished, Ordering::SeqCst) + finished == tasks
    }

    /// Takes all tasks that are left without running them; says how many. Only who has claimed a task of this call
    /// and not yet reported it may ask, so the call cannot change meanwhile.
    fn give_up(&self) -> usize {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let left = word & MAX_TASKS as u64;
            match self.word.compare_exchange_weak(word, word - left, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return left as usize,
                Err(now) => word = now,
            }
        }
    }

    /// Whether all tasks of the call with `tasks` tasks are done. Only its caller may ask.
    pub(crate) fn is_done(&self, tasks: usize) -> bool {
        self.done.load(Ordering::SeqCst) == tasks
    }

    /// The panic of the call that is done, if there was one.
    pub(crate) fn take_panic(&self) -> Option<Panic> {
        self.panic.lock().take()
    }
}

/// Calls the closure behind `data`.
///
/// # Safety
/// `data` points to a living `F`.
unsafe fn run<F: Fn(usize) + Sync>(data: *const (), index: usize) {
    // SAFETY: the caller promises a living `F`; it is `Sync`, so any thread may call it.
    let task = unsafe { &*data.cast::<F>() };
    task(index);
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! The fork in every order that its threads can touch it. Run with
    //! `RUSTFLAGS="--cfg loom" cargo test -p nanomind-hal --release --target-dir target/loom loom`.

    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// What one call did, and whether it is over.
    struct Round {
        ran: Vec<AtomicUsize>,
        over: std::sync::atomic::AtomicBool,
    }

    /// Two calls of `tasks` tasks each.
    fn two_calls(fork: &Fork, tasks: usize) {
        let round = || Round { ran: (0..tasks).map(|_| AtomicUsize::new(0)).collect(), over: false.into() };
        let rounds = [round(), round()];
        let tasks_of = rounds.each_ref().map(|round| {
            |index: usize| {
                assert!(!round.over.load(std::sync::atomic::Ordering::SeqCst), "the call was over");
                round.ran[index].fetch_add(1, Ordering::Relaxed);
            }
        });
        for (round, task) in rounds.iter().zip(&tasks_of) {
            // SAFETY: this thread alone offers, and `task` outlives the wait.
            let call = unsafe { fork.offer(tasks, task) };
            if !fork.help(call) {
                while !fork.is_done(tasks) {
                    thread::yield_now();
                }
            }
            round.over.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        if let Some(panic) = fork.take_panic() {
            std::panic::resume_unwind(panic);
        }
        for (number, round) in rounds.iter().enumerate() {
            for (index, ran) in round.ran.iter().enumerate() {
                assert_eq!(ran.load(Ordering::Relaxed), 1, "runs of task {index} in call {number}");
            }
        }
    }

    fn model(workers: usize, tasks: usize) {
        let mut model = loom::model::Builder::new();
        // Two forced switches find the known ways to get this wrong; unbounded it would take hours.
        model.preemption_bound = Some(2);
        model.check(move || {
            let fork = Arc::new(Fork::new());
            let workers: Vec<_> = (0..workers)
                .map(|_| {
                    let fork = Arc::clone(&fork);
                    // A worker may look at any time, and may miss a call.
                    thread::spawn(move || {
                        for _ in 0..2 {
                            fork.help(fork.current());
                        }
                    })
                })
                .collect();
            two_calls(&fork, tasks);
            workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
        });
    }

    #[test]
    fn loom_a_worker_that_comes_late_touches_nothing_of_a_call_that_is_over() {
        model(1, 2);
    }

    #[test]
    fn loom_two_workers_and_the_caller_run_each_task_once() {
        model(2, 1);
    }
}
