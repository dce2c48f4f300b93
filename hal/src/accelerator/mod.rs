//! Accelerators: compute units with a queue of jobs and a thread that runs them, one at a time.

mod id;
mod job;
mod lease;
mod order;
mod predictor;
mod queue;
mod stats;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use id::{AcceleratorId, AcceleratorIdError, AcceleratorKind};
pub use job::{JobDone, JobError, JobHandle, JobTiming};
pub use lease::CoreLease;
pub use order::{JobClass, JobCost, JobLabel, JobOrder, Phase};
pub use stats::{AcceleratorStats, JobTotals, RunningJob};

use crate::clock::Clock;
use crate::cpu::{CoreGroup, CpuSet, Lane, keep_this_thread_on};
use lease::LeaseGuard;
use predictor::Predictor;
use queue::{Queue, Waiting};

/// A compute unit: jobs that are submitted to it run one at a time on its own thread and lane, the more urgent first.
///
/// Clones are handles of the same accelerator. It stops when it is told to, or when the last handle is dropped.
#[derive(Clone)]
pub struct Accelerator {
    owner: Arc<Owner>,
}

/// The end of the thread's life is the end of this one's.
struct Owner {
    shared: Arc<Shared>,
    threads: usize,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    id: AcceleratorId,
    clock: Clock,
    state: Mutex<State>,
    submitted: Condvar,
}

struct State {
    queue: Queue,
    predictor: Predictor,
    stats: AcceleratorStats,
    /// What the running job was predicted to take.
    running_for: Duration,
    stopped: bool,
}

impl Accelerator {
    /// An accelerator of processor cores. Its thread and its lane keep to the group's cores, and hold them in `lease`
    /// while a job runs: all accelerators that share cores must be given clones of one lease.
    ///
    /// # Errors
    /// The group has no core, or the operating system refuses to start a thread.
    pub fn cpu(group: CoreGroup, lease: CoreLease, clock: Clock) -> Result<Accelerator, AcceleratorError> {
        let id = group.name;
        if group.cpus.is_empty() {
            return Err(AcceleratorError::NoCores { accelerator: id });
        }
        let failed = |source| AcceleratorError::Thread { accelerator: id, source };
        let lane = Lane::spawn_named(&id.to_string(), group.cpus.len(), Some(&group.cpus)).map_err(failed)?;
        let threads = lane.threads();
        let shared = Arc::new(Shared::new(id, clock));
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name(id.to_string()).spawn(move || {
            keep_this_thread_on(group.cpus.iter());
            let cpus = Arc::new(group.cpus);
            while worker.run_next(&lane, &lease, &cpus) {}
        });
        let thread = Some(thread.map_err(failed)?);
        Ok(Accelerator { owner: Arc::new(Owner { shared, threads, thread }) })
    }

    /// What it is called.
    pub fn id(&self) -> AcceleratorId {
        self.owner.shared.id
    }

    /// How many threads a job's lane has.
    pub fn threads(&self) -> usize {
        self.owner.threads
    }

    /// Queues `work`. It runs on the accelerator's thread and may use all of its lane; its result, or its panic, comes
    /// through the handle. Never blocks. The queue has no bound of its own: a brick has few jobs out at a time.
    pub fn submit<T: Send + 'static>(
        &self,
        order: JobOrder,
        work: impl FnOnce(&Lane) -> T + Send + 'static,
    ) -> JobHandle<T> {
        let shared = &self.owner.shared;
        let (job, handle) = job::job(shared.id, work);
        let mut state = shared.state.lock();
        // Once stopped, dropping the job is what tells its handle.
        if !state.stopped {
            state.queue.push(Waiting { order, submitted: shared.clock.now(), job });
            shared.submitted.notify_one();
        }
        drop(state);
        handle
    }

    /// How long a job of this phase and cost is going to run, by the jobs that ran before.
    pub fn predict(&self, phase: Phase, cost: JobCost) -> Duration {
        self.owner.shared.state.lock().predictor.predict(phase, cost)
    }

    /// What it has done and has before it.
    pub fn stats(&self) -> AcceleratorStats {
        let shared = &self.owner.shared;
        let state = shared.state.lock();
        let predict = |order: &JobOrder| state.predictor.predict(order.label.phase, order.cost);
        let running = state.stats.running.as_ref().map_or(Duration::ZERO, |running| {
            state.running_for.saturating_sub(shared.clock.now().since(running.since))
        });
        AcceleratorStats {
            queue_depth: state.queue.len(),
            backlog: state.queue.backlog(predict).saturating_add(running),
            ..state.stats.clone()
        }
    }

    /// Ends it: the job that runs is finished, all that wait fail with [`JobError::Stopped`], and so do those that are
    /// submitted later. Returns at once.
    pub fn stop(&self) {
        self.owner.shared.stop();
    }
}

impl fmt::Debug for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accelerator").field("id", &self.id()).field("threads", &self.threads()).finish_non_exhaustive()
    }
}

/// Why there is no accelerator.
#[derive(Debug, thiserror::Error)]
pub enum AcceleratorError {
    /// Its group of cores is empty.
    #[error("{accelerator} has no cores")]
    NoCores {
        /// The accelerator.
        accelerator: AcceleratorId,
    },
    /// The operating system refuses to start a thread.
    #[error("cannot start a thread for {accelerator}: {source}")]
    Thread {
        /// The accelerator.
        accelerator: AcceleratorId,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Shared {
    fn new(id: AcceleratorId, clock: Clock) -> Shared {
        let stats = AcceleratorStats {
            id,
            queue_depth: 0,
            running: None,
            backlog: Duration::ZERO,
            total: JobTotals::default(),
            nodes: Default::default(),
        };
        let state = State {
            queue: Queue::default(),
            predictor: Predictor::default(),
            stats,
            running_for: Duration::ZERO,
            stopped: false,
        };
        Shared { id, clock, state: Mutex::new(state), submitted: Condvar::new() }
    }

    fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let failed = std::mem::take(&mut state.queue);
        self.submitted.notify_one();
        drop(state);
        // Outside the lock, as the captures of a job may do anything when they are dropped.
        drop(failed);
    }

    /// Waits for a job and runs it; `false` once stopped.
    fn run_next(&self, lane: &Lane, lease: &CoreLease, cpus: &Arc<CpuSet>) -> bool {
        let mut state = self.state.lock();
        while state.queue.is_empty() {
            if state.stopped {
                return false;
            }
            self.submitted.wait(&mut state);
        }
        drop(state);
        // The job is chosen when the cores are there: a more urgent one may have come meanwhile.
        let mut guard = Some(lease.acquire(cpus));
        let Some(next) = self.begin() else { return true };
        let Waiting { order, submitted, job } = next;
        let about = job::About { label: &order.label, submitted };
        let span = tracing::debug_span!(
            "job", accelerator = %self.id, node = %order.label.node, phase = %order.label.phase,
            tokens = order.label.tokens,
        );
        let run = || {
            job.run(lane, &self.clock, about, &mut |timing, succeeded| {
                if guard.as_ref().is_some_and(LeaseGuard::is_wanted) {
                    lane.rest();
                }
                guard = None;
                self.end(&order, timing, succeeded);
            });
        };
        // A job catches its own panic; this is for a result that panics when it is dropped, its handle being gone.
        if span.in_scope(|| catch_unwind(AssertUnwindSafe(run))).is_err() {
            tracing::error!(label = %order.label, "the result of a job panicked when it was dropped");
        }
        true
    }

    /// Takes the job that goes next; none if it was stopped meanwhile.
    fn begin(&self) -> Option<Waiting> {
        let mut state = self.state.lock();
        let next = state.queue.pop()?;
        state.running_for = state.predictor.predict(next.order.label.phase, next.order.cost);
        state.stats.running = Some(RunningJob { label: next.order.label.clone(), since: self.clock.now() });
        Some(next)
    }

    /// Writes down a job that ended.
    fn end(&self, order: &JobOrder, timing: JobTiming, succeeded: bool) {
        let label = &order.label;
        let mut state = self.state.lock();
        state.stats.running = None;
        state.stats.total.add(label, timing, succeeded);
        match state.stats.nodes.get_mut(&label.node) {
            Some(node) => node.add(label, timing, succeeded),
            None => state.stats.nodes.entry(Arc::clone(&label.node)).or_default().add(label, timing, succeeded),
        }
        // Where a panic cut a job short, its time says nothing about its cost.
        if succeeded {
            state.predictor.learn(label.phase, order.cost, timing.ran());
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
        let Some(thread) = self.thread.take() else { return };
        // A job that holds the last handle drops it on the thread itself, which cannot wait for its own end.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!(accelerator = %self.shared.id, "the thread of an accelerator panicked");
        }
    }
}

#[cfg(test)]
mod tests;
