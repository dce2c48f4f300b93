//! The worker of real cores or of a real device: a thread that runs an accelerator's jobs one at a time, and survives them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::desk::Desk;
use super::job::{JobError, JobTiming};
use super::lease::CoreLease;
use super::queue::Waiting;
use crate::cpu::{CpuSet, Lane, keep_this_thread_on};

/// Looks for the next job for a moment before it sleeps: longer than it takes a node to hand in the next step of an
/// answer, …
const PATIENCE: Duration = Duration::from_micros(250);

/// … but no longer than this part of the job before, so that waiting never takes much of what work takes.
const PATIENCE_SHARE: u32 = 8;

/// Runs the jobs of a desk on a lane, cores in hand.
pub(super) struct Worker {
    pub(super) desk: Arc<Desk>,
    pub(super) lane: Lane,
    pub(super) lease: CoreLease,
    pub(super) cpus: Arc<CpuSet>,
}

impl Worker {
    /// Starts the thread. It ends when the desk is stopped.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name(self.desk.id.to_string()).spawn(move || {
            // The thread of a device has no cores of its own: it goes where there is room.
            if !self.cpus.is_empty() {
                keep_this_thread_on(self.cpus.iter());
            }
            let mut patience = Duration::ZERO;
            while self.desk.wait(patience) {
                patience = (self.run_next() / PATIENCE_SHARE).min(PATIENCE);
            }
        })
    }

    /// Says how long the job ran.
    fn run_next(&self) -> Duration {
        // The job is chosen when the cores are there: a more urgent one may have come meanwhile.
        let guard = self.lease.acquire(&self.cpus);
        let Some((Waiting { order, submitted, mut job }, predicted)) = self.desk.begin() else {
            return Duration::ZERO;
        };
        let label = &order.label;
        if self.desk.is_lost() {
            drop(guard);
            self.desk.withdraw();
            job.refuse(JobError::Lost { accelerator: self.desk.id, label: label.clone() });
            return Duration::ZERO;
        }
        let span = tracing::debug_span!(
            "job", accelerator = %self.desk.id, node = %label.node, phase = %label.phase, tokens = label.tokens,
        );
        let run = || {
            let started = self.desk.clock.now();
            let succeeded = job.work(&self.lane);
            let timing = JobTiming { submitted, started, finished: self.desk.clock.now() };
            if guard.is_wanted() {
                self.lane.rest();
            }
            drop(guard);
            self.desk.end(&order, timing, predicted, succeeded);
            job.deliver(label, timing, predicted);
            timing.ran()
        };
        // A job catches its own panic; this is for a result that panics when it is dropped, its handle being gone.
        span.in_scope(|| catch_unwind(AssertUnwindSafe(run))).unwrap_or_else(|_| {
            tracing::error!(label = %order.label, "the result of a job panicked when it was dropped");
            Duration::ZERO
        })
    }
}
