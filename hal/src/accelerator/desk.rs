//! An accelerator's desk: where jobs are handed in and wait, and where the books are kept. What runs them is another's.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::cost_model::{Accuracy, CostModel, Prediction};
use super::id::AcceleratorId;
use super::job::{Job, JobTiming};
use super::order::{JobCost, JobOrder, Phase};
use super::queue::{Queue, Waiting};
use super::stats::{AcceleratorStats, JobTotals, RunningJob};
use crate::clock::Clock;
use crate::profile::Roofline;

/// What the handles of an accelerator and the one that runs its jobs share.
pub(super) struct Desk {
    pub(super) id: AcceleratorId,
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// Wakes the thread that waits for jobs; a task leaves its waker in the state.
    submitted: Condvar,
    /// Whether there is something to do: for a thread that looks now and then before it sleeps. Written under the lock.
    called: AtomicBool,
    /// Whether the accelerator is gone. Whoever watches its device sets it too.
    lost: Arc<AtomicBool>,
}

struct State {
    queue: Queue,
    costs: CostModel,
    stats: AcceleratorStats,
    /// What the running job was predicted to take.
    running_for: Duration,
    waker: Option<Waker>,
    stopped: bool,
}

impl Desk {
    pub(super) fn new(id: AcceleratorId, clock: Clock, costs: CostModel) -> Desk {
        Desk::that_may_be_lost(id, clock, costs, Arc::default())
    }

    /// A desk of something that is gone when `lost` says so.
    pub(super) fn that_may_be_lost(id: AcceleratorId, clock: Clock, costs: CostModel, lost: Arc<AtomicBool>) -> Desk {
        let stats = AcceleratorStats {
            id,
            queue_depth: 0,
            running: None,
            backlog: Duration::ZERO,
            total: JobTotals::default(),
            nodes: Default::default(),
        };
        let state =
            State { queue: Queue::default(), costs, stats, running_for: Duration::ZERO, waker: None, stopped: false };
        Desk { id, clock, state: Mutex::new(state), submitted: Condvar::new(), called: AtomicBool::new(false), lost }
    }

    /// Puts a job in the queue. Once stopped, it is dropped, which is what tells its handle.
    pub(super) fn submit(&self, order: JobOrder, job: Box<dyn Job>) {
        let mut state = self.state.lock();
        if !state.stopped {
            state.queue.push(Waiting { order, submitted: self.clock.now(), job });
            self.ring(&mut state);
        }
    }

    pub(super) fn predict(&self, node: &str, phase: Phase, cost: JobCost) -> Prediction {
        self.state.lock().costs.predict(node, phase, cost)
    }

    pub(super) fn reseed(&self, roofline: Roofline) {
        self.state.lock().costs.reseed(roofline);
    }

    pub(super) fn accuracy(&self) -> Vec<Accuracy> {
        self.state.lock().costs.accuracy()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    pub(super) fn stats(&self) -> AcceleratorStats {
        let state = self.state.lock();
        let predict = |order: &JobOrder| state.costs.predict(&order.label.node, order.label.phase, order.cost).time;
        let running =
            state.stats.running.as_ref().map_or(Duration::ZERO, |running| {
                state.running_for.saturating_sub(self.clock.now().since(running.since))
            });
        AcceleratorStats {
            queue_depth: state.queue.len(),
            backlog: state.queue.backlog(predict).saturating_add(running),
            ..state.stats.clone()
        }
    }

    pub(super) fn set_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Release);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let failed = std::mem::take(&mut state.queue);
        self.ring(&mut state);
        drop(state);
        // Outside the lock, as the captures of a job may do anything when they are dropped.
        drop(failed);
    }

    /// Blocks this thread until a job waits; `false` once stopped. For `patience` it looks now and then, and leaves the
    /// core to whoever wants it in between; then it sleeps.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        if !patience.is_zero() {
            let idle = self.clock.now();
            while !self.called.load(Ordering::Relaxed) && self.clock.now().since(idle) < patience {
                thread::yield_now();
            }
        }
        let mut state = self.state.lock();
        while state.queue.is_empty() {
            if state.stopped {
                return false;
            }
            self.submitted.wait(&mut state);
        }
        true
    }

    /// Waits until a job waits; `false` once stopped. For the one task that runs the jobs.
    pub(super) async fn wait_async(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.state.lock();
            match (state.queue.is_empty(), state.stopped) {
                (false, _) => Poll::Ready(true),
                (true, true) => Poll::Ready(false),
                (true, false) => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Wakes whoever waits for jobs.
    fn ring(&self, state: &mut State) {
        self.called.store(true, Ordering::Relaxed);
        self.submitted.notify_one();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Takes the job that goes next, and what it is predicted to take; none if it was stopped meanwhile.
    pub(super) fn begin(&self) -> Option<(Waiting, Duration)> {
        let mut state = self.state.lock();
        let next = state.queue.pop()?;
        self.called.store(!state.queue.is_empty() || state.stopped, Ordering::Relaxed);
        let label = &next.order.label;
        let predicted = state.costs.predict(&label.node, label.phase, next.order.cost).time;
        state.running_for = predicted;
        state.stats.running = Some(RunningJob { label: next.order.label.clone(), since: self.clock.now() });
        Some((next, predicted))
    }

    /// The job that was begun does not run after all.
    pub(super) fn withdraw(&self) {
        self.state.lock().stats.running = None;
    }

    /// Writes down a job that ended.
    pub(super) fn end(&self, order: &JobOrder, timing: JobTiming, predicted: Duration, succeeded: bool) {
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
            state.costs.learn(label, order.cost, predicted, timing.ran());
        }
    }
}
