//! The simulation of an accelerator: a task of the virtual clock that runs its jobs one at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::desk::Desk;
use super::job::{JobError, JobTiming};
use super::lease::CoreLease;
use super::order::JobLabel;
use super::queue::Waiting;
use crate::cpu::{CpuSet, Lane};
use crate::profile::Roofline;

/// Runs the jobs of a desk and lets the time pass that they would take.
pub(super) struct Simulation {
    pub(super) desk: Arc<Desk>,
    pub(super) lease: CoreLease,
    /// None for what is no part of the processor.
    pub(super) cpus: Arc<CpuSet>,
    pub(super) roofline: Roofline,
}

impl Simulation {
    /// Runs jobs until the desk is stopped.
    pub(super) async fn run(self) {
        // A runtime that ends takes its tasks with it: whoever waits for a job is to be told.
        let _closed = Closing(&self.desk);
        while self.desk.wait_async().await {
            self.run_next().await;
        }
    }

    async fn run_next(&self) {
        // The job is chosen when the cores are there: a more urgent one may have come meanwhile.
        let guard = self.lease.acquire_async(&self.cpus).await;
        let Some((Waiting { order, submitted, mut job }, predicted)) = self.desk.begin() else { return };
        let (label, clock) = (&order.label, &self.desk.clock);
        let started = clock.now();
        let refused = match self.roofline.time(label.phase, order.cost) {
            Some(_) if self.desk.is_lost() => Err(self.lost(label)),
            Some(time) => Ok(time),
            None => Err(JobError::Unsupported { accelerator: self.desk.id, label: label.clone() }),
        };
        let time = match refused {
            Ok(time) => time,
            Err(error) => {
                drop(guard);
                self.desk.withdraw();
                return job.refuse(error);
            }
        };
        // On the thread that drives the runtime: only so does time stand still meanwhile.
        let succeeded = job.work(&Lane::single());
        clock.sleep_until(started + time).await;
        let timing = JobTiming { submitted, started, finished: clock.now() };
        drop(guard);
        if self.desk.is_lost() {
            self.desk.withdraw();
            return job.refuse(self.lost(label));
        }
        self.desk.end(&order, timing, predicted, succeeded);
        // A job catches its own panic; this is for a result that panics when it is dropped, its handle being gone.
        if catch_unwind(AssertUnwindSafe(|| job.deliver(label, timing, predicted))).is_err() {
            tracing::error!(%label, "the result of a job panicked when it was dropped");
        }
    }
}

impl Simulation {
    fn lost(&self, label: &JobLabel) -> JobError {
        JobError::Lost { accelerator: self.desk.id, label: label.clone() }
    }
}

/// Stops the desk when it is dropped.
struct Closing<'a>(&'a Desk);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
