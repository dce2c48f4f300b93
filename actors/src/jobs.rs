//! Jobs: how a node's work reaches the accelerator that it is assigned to, looked up anew for every job.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use indexmap::IndexMap;
use nanomind_hal::{Accelerator, AcceleratorId, Clock, JobClass, JobCost, JobLabel, JobOrder, JobTiming, Lane, Phase};

use crate::board::NodeEntry;
use crate::energy::{Charge, EnergyBooks};
use crate::error::NodeError;
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

/// Called between two jobs when the node has been moved, with the accelerators left and entered.
pub type MoveHook = Box<dyn FnMut(AcceleratorId, AcceleratorId) -> LocalBoxFuture<'static, Result<(), NodeError>>>;

/// Submits the jobs of one node.
pub struct Jobs {
    node: Arc<str>,
    entry: Option<Arc<NodeEntry>>,
    accelerators: Arc<Accelerators>,
    clock: Clock,
    energy: EnergyBooks,
    tally: Arc<NodeTally>,
    on_move: RefCell<Option<MoveHook>>,
    last: RefCell<Option<AcceleratorId>>,
    /// How long jobs have run since that was asked last.
    worked: Cell<Duration>,
}

impl Jobs {
    pub(crate) fn new(node: Arc<str>, entry: Option<Arc<NodeEntry>>, run: &RunShared, tally: Arc<NodeTally>) -> Jobs {
        let (accelerators, clock, energy) = (run.accelerators.clone(), run.clock.clone(), run.energy.clone());
        let (on_move, last, worked) = (RefCell::default(), RefCell::default(), Cell::default());
        Jobs { node, entry, accelerators, clock, energy, tally, on_move, last, worked }
    }

    /// Sets what is to be done when the governor has moved the node, before its next job: bring weights in, hand state
    /// over. Between core groups there is nothing to do, since they share memory and layout.
    pub fn on_move(
        &self,
        mut hook: impl FnMut(AcceleratorId, AcceleratorId) -> LocalBoxFuture<'static, Result<(), NodeError>> + 'static,
    ) {
        *self.on_move.borrow_mut() = Some(Box::new(move |from, to| hook(from, to)));
    }

    /// Where the next job goes.
    pub fn assigned(&self) -> Option<AcceleratorId> {
        self.entry.as_ref().map(|entry| entry.current())
    }

    /// How long a job of this phase and cost would run where the node is assigned to now, by the jobs before it.
    pub fn predict(&self, phase: Phase, cost: JobCost) -> Option<Duration> {
        let accelerator = self.accelerators.get(&self.assigned()?)?;
        Some(accelerator.predict(&self.node, phase, cost).time)
    }

    /// Runs `work` on the accelerator that the node is assigned to now, and waits for it. The work owns its state and
    /// hands it back in its value; if it panics, that state is lost and the error says so.
    pub async fn run<T: Send + 'static>(
        &self,
        spec: JobSpec,
        work: impl FnOnce(&Lane) -> T + Send + 'static,
    ) -> Result<JobOutcome<T>, NodeError> {
        let (tokens, requests) = (spec.tokens, spec.request.into_iter().collect());
        self.run_for(spec, requests, work, |_| tokens).await
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
        let (id, accelerator) = self.accelerator().await?;
        let prepared = self.clock.now();
        self.prepare(id).await?;
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

    /// How long the node's jobs have run since this was asked last.
    pub(crate) fn take_worked(&self) -> Duration {
        self.worked.take()
    }

    /// Where the next job goes. While that accelerator is lost, this waits: for the governor to assign the node elsewhere,
    /// where its placement allows that, or for the accelerator to be there again.
    async fn accelerator(&self) -> Result<(AcceleratorId, &Accelerator), NodeError> {
        loop {
            let Some(id) = self.assigned() else {
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

    /// Calls the move hook if the node's last job ran elsewhere.
    async fn prepare(&self, to: AcceleratorId) -> Result<(), NodeError> {
        let from = self.last.replace(Some(to));
        let Some(from) = from.filter(|from| *from != to) else { return Ok(()) };
        // Taken out while it runs, so that nothing is borrowed across the wait.
        let Some(mut hook) = self.on_move.take() else { return Ok(()) };
        let prepared = hook(from, to).await;
        self.on_move.borrow_mut().get_or_insert(hook);
        prepared
    }
}
