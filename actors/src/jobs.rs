//! Jobs: how a node's work reaches the accelerator that it is assigned to, looked up anew for every job.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use nanomind_hal::{Accelerator, AcceleratorId, Clock, JobClass, JobCost, JobLabel, JobOrder, JobTiming, Lane, Phase};

use crate::board::NodeEntry;
use crate::energy::{Charge, EnergyBooks};
use crate::error::NodeError;
use crate::homes::{Home, Homes};
use crate::request::RequestId;
use crate::shared::RunShared;
use crate::tally::NodeTally;
use crate::trace::Foreseen;

/// The accelerators of a run by id, in the order in which the machine offers them.
pub type Accelerators = IndexMap<AcceleratorId, Accelerator>;

/// Long work is cut to jobs that are predicted to take this long, so that nothing waits longer behind one.
pub(crate) const JOB_TIME: Duration = Duration::from_millis(20);

/// How often a node that is assigned to a lost accelerator looks whether it has somewhere to go.
const LOOK_FOR_LOST: Duration = Duration::from_millis(100);

/// What a node says of a job beside the work itself.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// What kind of step it is.
    pub phase: Phase,
    /// How many tokens it works on.
    pub tokens: u32,
    /// Its place in the waiting order.
    pub class: JobClass,
    /// What it will cost.
    pub cost: JobCost,
    /// The request that it works for.
    pub request: Option<RequestId>,
}

/// What came of a job: its value, when it ran, and where.
#[derive(Debug)]
pub struct JobOutcome<T> {
    /// What the work returned.
    pub value: T,
    /// When it was submitted, started and finished.
    pub timing: JobTiming,
    /// How long it was predicted to run, when it started.
    pub predicted: Duration,
    /// Where it ran.
    pub accelerator: AcceleratorId,
}

/// Submits the jobs of one node.
pub struct Jobs {
    node: Arc<str>,
    entry: Option<Arc<NodeEntry>>,
    accelerators: Arc<Accelerators>,
    clock: Clock,
    energy: EnergyBooks,
    tally: Arc<NodeTally>,
    homes: Homes,
    /// Where what the node works with was brought to.
    near: Cell<Option<AcceleratorId>>,
    /// How long jobs have run since that was asked last.
    worked: Cell<Duration>,
}

impl Jobs {
    pub(crate) fn new(node: Arc<str>, entry: Option<Arc<NodeEntry>>, run: &RunShared, tally: Arc<NodeTally>) -> Jobs {
        let (accelerators, clock, energy) = (run.accelerators.clone(), run.clock.clone(), run.energy.clone());
        let (homes, near, worked) = (run.weights.homes().clone(), Cell::default(), Cell::default());
        Jobs { node, entry, accelerators, clock, energy, tally, homes, near, worked }
    }

    /// Where the governor wants the node to work.
    pub fn assigned(&self) -> Option<AcceleratorId> {
        self.entry.as_ref().map(|entry| entry.current())
    }

    /// Where the next job goes: where the node is assigned to, unless what it works with is in another home.
    pub fn place(&self) -> Option<AcceleratorId> {
        self.away().map_or_else(|| self.assigned(), |_| self.near.get())
    }

    /// Where the node is assigned to, while what it works with is in another home: it is to be brought there.
    pub(crate) fn away(&self) -> Option<AcceleratorId> {
        let (near, assigned) = self.near.get().zip(self.assigned())?;
        (self.homes.of(near) != self.homes.of(assigned)).then_some(assigned)
    }

    /// Where the node is assigned to, as soon as that is there: while it is lost, this waits as a job does.
    pub(crate) async fn assigned_and_there(&self) -> Result<AcceleratorId, NodeError> {
        self.when_there(|| self.assigned()).await.map(|(id, _)| id)
    }

    /// Whether what is in the home of `accelerator` is lost with it.
    pub(crate) fn is_lost_with(&self, accelerator: AcceleratorId) -> bool {
        let lost = self.accelerators.get(&accelerator).is_some_and(Accelerator::is_lost);
        lost && self.homes.of(accelerator) != Home::Shared
    }

    /// The accelerators of the run.
    #[cfg(test)]
    pub(crate) fn accelerators(&self) -> &Accelerators {
        &self.accelerators
    }

    /// What the node works with is now in the home of `accelerator`: jobs go to accelerators of that home.
    pub(crate) fn stay_near(&self, accelerator: AcceleratorId) {
        self.near.set(Some(accelerator));
    }

    /// The node works on where it is, and is assigned there again.
    pub(crate) fn stay(&self) {
        if let (Some(entry), Some(near)) = (&self.entry, self.near.get()) {
            entry.assign(near);
        }
    }

    /// How long a job of this phase and cost would run where the next one goes, by the jobs before it.
    pub fn predict(&self, phase: Phase, cost: JobCost) -> Option<Duration> {
        let accelerator = self.accelerators.get(&self.place()?)?;
        Some(accelerator.predict(&self.node, phase, cost).time)
    }

    /// Runs `work` at [`Jobs::place`], and waits for it. The work owns its state and hands it back in its value; if it
    /// panics, that state is lost and the error says so.
    pub async fn run<T: Send + 'static>(
        &self,
        spec: JobSpec,
        work: impl FnOnce(&Lane) -> T + Send + 'static,
    ) -> Result<JobOutcome<T>, NodeError> {
        let (tokens, requests) = (spec.tokens, spec.request.into_iter().collect());
        self.run_for(spec, requests, work, |_| tokens).await
    }

    /// As [`Jobs::run`] on `accelerator`, wherever the next job goes: what brings weights there.
    pub(crate) async fn run_at<T: Send + 'static>(
        &self,
        accelerator: AcceleratorId,
        spec: JobSpec,
        work: impl FnOnce(&Lane) -> T + Send + 'static,
    ) -> Result<JobOutcome<T>, NodeError> {
        let (tokens, requests) = (spec.tokens, spec.request.into_iter().collect());
        let place = self.when_there(|| Some(accelerator)).await?;
        self.submit(place, spec, requests, work, |_| tokens).await
    }

    /// As [`Jobs::run`], for several requests alike, which share what the job takes. `tokens` counts those that the energy
    /// was spent on, where that shows only afterwards.
    pub(crate) async fn run_for<T: Send + 'static>(
        &self,
        spec: JobSpec,
        requests: Vec<RequestId>,
        work: impl FnOnce(&Lane) -> T + Send + 'static,
        tokens: impl FnOnce(&T) -> u32,
    ) -> Result<JobOutcome<T>, NodeError> {
        let place = self.when_there(|| self.place()).await?;
        self.submit(place, spec, requests, work, tokens).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        (id, accelerator): (AcceleratorId, &Accelerator),
        spec: JobSpec,
        requests: Vec<RequestId>,
        work: impl FnOnce(&Lane) -> T + Send + 'static,
        tokens: impl FnOnce(&T) -> u32,
    ) -> Result<JobOutcome<T>, NodeError> {
        let prepared = self.clock.now();
        let label = JobLabel { node: self.node.clone(), phase: spec.phase, tokens: spec.tokens };
        let order = JobOrder { label: label.clone(), class: spec.class, cost: spec.cost };
        let done = accelerator.submit(order, work).await?;
        if let Some(entry) = &self.entry {
            entry.submitted(spec.phase, spec.cost);
            if spec.phase == Phase::Load && spec.cost.bytes > 0 {
                entry.set_weight_bytes(spec.cost.bytes);
            }
            entry.started(id, prepared, done.timing.started);
        }
        // A slice of the trace tells of one request, or of none.
        let request = if let [request] = requests[..] { Some(request) } else { None };
        let charge = Charge { phase: spec.phase, tokens: tokens(&done.value), requests };
        let energy = self.energy.charge(&self.node, id, done.timing.ran(), charge);
        let predicted = done.predicted;
        crate::trace::job(&id, &label, &done.timing, &Foreseen { predicted, energy }, request);
        self.tally.job(id, &label, &done.timing, predicted);
        self.worked.set(self.worked.get() + done.timing.ran());
        Ok(JobOutcome { value: done.value, timing: done.timing, predicted, accelerator: id })
    }

    /// As [`crate::NodeContext::count`].
    pub(crate) fn count(&self, counter: &str, by: u64) {
        self.tally.count(counter, by);
    }

    /// How long the node's jobs have run since this was asked last.
    pub(crate) fn take_worked(&self) -> Duration {
        self.worked.take()
    }

    /// The accelerator that `place` says. While that one is lost, this waits: for the governor to assign the node elsewhere,
    /// where its placement allows that, or for the accelerator to be there again.
    async fn when_there(
        &self,
        place: impl Fn() -> Option<AcceleratorId>,
    ) -> Result<(AcceleratorId, &Accelerator), NodeError> {
        loop {
            let Some(id) = place() else {
                return Err(NodeError::NoAccelerator { node: self.node.to_string() });
            };
            match self.accelerators.get(&id) {
                None => {
                    return Err(NodeError::UnknownAccelerator { node: self.node.to_string(), accelerator: id });
                }
                Some(accelerator) if !accelerator.is_lost() => return Ok((id, accelerator)),
                Some(_) => self.clock.sleep(LOOK_FOR_LOST).await,
            }
        }
    }
}
