//! Accelerators: compute units with a queue of jobs, and a thread or a simulation that runs them, one at a time.

mod cost_model;
mod desk;
mod id;
mod job;
mod lease;
mod order;
mod queue;
mod sim;
mod stats;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

pub use cost_model::{Accuracy, Prediction};
pub use id::{AcceleratorId, AcceleratorIdError, AcceleratorKind};
pub use job::{JobDone, JobError, JobHandle, JobTiming};
pub use lease::CoreLease;
pub use order::{JobClass, JobCost, JobLabel, JobOrder, Phase};
pub use stats::{AcceleratorStats, JobTotals, RunningJob};

use crate::clock::Clock;
use crate::cpu::{CoreGroup, Lane};
use crate::profile::{DeviceProfile, Roofline};
use cost_model::CostModel;
use desk::Desk;
use sim::Simulation;
use worker::Worker;

/// A compute unit: jobs that are submitted to it run one at a time on its own thread and lane, the more urgent first.
/// A simulated one looks the same, but for the time that its jobs take.
///
/// Clones are handles of the same accelerator. It stops when it is told to, or when the last handle is dropped.
#[derive(Clone)]
pub struct Accelerator {
    owner: Arc<Owner>,
}

/// The last handle's end is the accelerator's.
struct Owner {
    desk: Arc<Desk>,
    threads: usize,
    /// What runs the jobs of real cores; jobs of a simulated accelerator are run by a task of the virtual clock.
    thread: Option<JoinHandle<()>>,
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
        let desk = Arc::new(Desk::new(id, clock, CostModel::of_cores(threads)));
        let worker = Worker { desk: Arc::clone(&desk), lane, lease, cpus: Arc::new(group.cpus) };
        let thread = Some(worker.start().map_err(failed)?);
        Ok(Accelerator { owner: Arc::new(Owner { desk, threads, thread }) })
    }

    /// An accelerator of a graphics processor. Jobs are what they are elsewhere; one that works on the device holds a
    /// handle of it, and uses its lane, of one thread, for what the processor does around it. It holds no cores: jobs of
    /// cores run beside its own.
    ///
    /// Once the device is lost, jobs fail with [`JobError::Lost`]. The one that was running is handed over as it ended:
    /// what it says of the loss is its own, and so is the state that it gives back.
    ///
    /// # Errors
    /// The operating system refuses to start a thread.
    #[cfg(feature = "gpu")]
    pub fn gpu(id: AcceleratorId, gpu: &crate::gpu::Gpu, clock: Clock) -> Result<Accelerator, AcceleratorError> {
        let desk = Arc::new(Desk::that_may_be_lost(id, clock, CostModel::of_cores(1), gpu.lost_flag()));
        let (lane, lease, cpus) = (Lane::single(), CoreLease::new(), Arc::new(crate::cpu::CpuSet::default()));
        let worker = Worker { desk: Arc::clone(&desk), lane, lease, cpus };
        let started = worker.start().map_err(|source| AcceleratorError::Thread { accelerator: id, source })?;
        Ok(Accelerator { owner: Arc::new(Owner { desk, threads: 1, thread: Some(started) }) })
    }

    /// A simulated accelerator: jobs run in the one thread of a virtual clock's runtime, and then the time passes that
    /// they would take by the device's profile, launch and roofline. It queues, leases and keeps its books as a real one does,
    /// and is stopped alike. All simulated accelerators of a device must be given clones of one lease.
    ///
    /// The work itself is done, in no virtual time, and its result handed over when that time has passed. Who wants no
    /// numerics submits work that computes none. A job that panics takes its time too. A job of a phase that the
    /// profile does not list fails with [`JobError::Unsupported`].
    ///
    /// # Errors
    /// The device has no such accelerator, or the clock is no virtual one.
    pub fn simulated(
        device: &DeviceProfile,
        id: AcceleratorId,
        lease: CoreLease,
        clock: Clock,
    ) -> Result<Accelerator, AcceleratorError> {
        let Some((profile, roofline)) = device.accelerator(id).zip(device.roofline(id)) else {
            return Err(AcceleratorError::NotInProfile { accelerator: id, device: device.name.clone() });
        };
        let desk = Arc::new(Desk::new(id, clock.clone(), CostModel::seeded(roofline.clone())));
        let cpus = Arc::new(profile.cores.clone());
        let simulation = Simulation { desk: Arc::clone(&desk), lease, cpus, roofline };
        match clock.spawn(simulation.run()) {
            Some(_) => Ok(Accelerator { owner: Arc::new(Owner { desk, threads: 1, thread: None }) }),
            None => Err(AcceleratorError::NotVirtual { accelerator: id }),
        }
    }

    /// What it is called.
    pub fn id(&self) -> AcceleratorId {
        self.owner.desk.id
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
        let desk = &self.owner.desk;
        let (job, handle) = job::job(desk.id, work);
        desk.submit(order, job);
        handle
    }

    /// How long a job of this node, phase and cost is going to run, by the jobs that ran before.
    pub fn predict(&self, node: &str, phase: Phase, cost: JobCost) -> Prediction {
        self.owner.desk.predict(node, phase, cost)
    }

    /// Says what it is by a device's profile: predictions start from there, and what was learnt before is forgotten.
    pub fn seed_from(&self, roofline: Roofline) {
        self.owner.desk.reseed(roofline);
    }

    /// How good predictions were, by node and phase.
    pub fn accuracy(&self) -> Vec<Accuracy> {
        self.owner.desk.accuracy()
    }

    /// Whether it was stopped: whatever is submitted fails.
    pub fn is_stopped(&self) -> bool {
        self.owner.desk.is_stopped()
    }

    /// What it has done and has before it.
    pub fn stats(&self) -> AcceleratorStats {
        self.owner.desk.stats()
    }

    /// A simulated accelerator is lost, or is there again: while it is lost, its jobs fail with [`JobError::Lost`], the
    /// running one when its time has passed. One of real cores is never lost, and one of a real device with its device only.
    pub fn set_lost(&self, lost: bool) {
        if self.owner.thread.is_none() {
            self.owner.desk.set_lost(lost);
        }
    }

    /// Whether it is lost.
    pub fn is_lost(&self) -> bool {
        self.owner.desk.is_lost()
    }

    /// Ends it: the job that runs is finished, all that wait fail with [`JobError::Stopped`], and so do those that are
    /// submitted later. Returns at once.
    pub fn stop(&self) {
        self.owner.desk.stop();
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
    /// A simulated accelerator that its device does not have.
    #[error("{device} has no accelerator {accelerator}")]
    NotInProfile {
        /// The accelerator.
        accelerator: AcceleratorId,
        /// The device.
        device: String,
    },
    /// A simulated accelerator on a clock that is the machine's.
    #[error("{accelerator} is simulated: expected a virtual clock, found the machine's")]
    NotVirtual {
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

impl Drop for Owner {
    fn drop(&mut self) {
        self.desk.stop();
        let Some(thread) = self.thread.take() else { return };
        // A job that holds the last handle drops it on the thread itself, which cannot wait for its own end.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!(accelerator = %self.desk.id, "the thread of an accelerator panicked");
        }
    }
}

#[cfg(test)]
mod tests;
