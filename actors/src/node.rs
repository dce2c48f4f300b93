//! A node and its context: what a sensor, brick or sink implements, and what the runtime lends it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use nanomind_graphs::PlannedNode;
use nanomind_hal::tabm::SlotPool;
use nanomind_hal::{Clock, Timestamp};
use parking_lot::Mutex;

use crate::board::NodeEntry;
use crate::cancellation::Cancellations;
use crate::duty::{Duty, DutyBoard};
use crate::error::NodeError;
use crate::governor::{HoldGuard, Holds, MigrateDue, Mode};
use crate::inputs::{Firing, Inputs};
use crate::jobs::Jobs;
use crate::outputs::Outputs;
use crate::packet::{Packet, Payload};
use crate::pools::PoolSizer;
use crate::readiness::Readiness;
use crate::report::AnswerReport;
use crate::request::{Epoch, Origin, Request, RequestEnd, RequestError, RequestId, Requests};
use crate::rest::Rest;
use crate::run_log::{Answer, Record, RunLog};
use crate::signals::Signals;
use crate::tally::NodeTally;
use crate::turns::{Manner, Turn, Turns};
use crate::weights::WeightStore;

/// A sensor, brick or sink.
///
/// `run` is the node's whole life: it takes what [`NodeContext::next`] yields (or, for a sensor, whatever happens
/// outside), sends packets, and returns when there is nothing left. It runs on the control thread, so it only waits and
/// passes on; whatever computes goes through [`NodeContext::jobs`].
pub trait Node {
    /// Runs the node to its end.
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>>;
}

/// An async function of the context is a node.
impl<F, R> Node for F
where
    F: FnOnce(NodeContext) -> R + 'static,
    R: Future<Output = Result<(), NodeError>> + 'static,
{
    fn run(self: Box<Self>, context: NodeContext) -> LocalBoxFuture<'static, Result<(), NodeError>> {
        Box::pin((*self)(context))
    }
}

/// The requests that a node has taken and not ended; whoever outlives the node reads it to fail them.
#[derive(Clone, Default, Debug)]
pub(crate) struct InFlight(Arc<Mutex<BTreeMap<RequestId, Request>>>);

impl InFlight {
    fn insert(&self, request: Request) {
        self.0.lock().insert(request.id, request);
    }

    fn remove(&self, id: RequestId) {
        self.0.lock().remove(&id);
    }

    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock()).into_values().collect()
    }
}

/// Forced migrations: how often, and whom to ask where to.
#[derive(Clone)]
pub(crate) struct Migrations {
    pub(crate) every: u64,
    pub(crate) governor: actix::Recipient<MigrateDue>,
}

/// Everything that a node is lent for one life.
pub struct NodeContext {
    pub(crate) name: Arc<str>,
    pub(crate) life: u32,
    pub(crate) plan: Arc<PlannedNode>,
    pub(crate) clock: Clock,
    pub(crate) inputs: Inputs,
    pub(crate) outputs: Outputs,
    pub(crate) jobs: Rc<Jobs>,
    pub(crate) requests: Requests,
    pub(crate) cancellations: Cancellations,
    pub(crate) signals: Signals,
    pub(crate) run_signals: Signals,
    pub(crate) readiness: Readiness,
    pub(crate) entry: Option<Arc<NodeEntry>>,
    pub(crate) tally: Arc<NodeTally>,
    pub(crate) log: RunLog,
    pub(crate) weights: WeightStore,
    pub(crate) turns: Turns,
    /// The turn of the stage that is under way.
    pub(crate) turn: RefCell<Weak<Turn>>,
    pub(crate) duty: DutyBoard,
    pub(crate) holds: Holds,
    pub(crate) pools: PoolSizer,
    pub(crate) migrations: Option<Migrations>,
    /// Whether a request ends with the node: at a sink that does not merely look on.
    pub(crate) ends_requests: bool,
    pub(crate) in_flight: InFlight,
    pub(crate) handed_out: Option<HandedOut>,
    /// Since when it works on the request that it works on, or on several.
    pub(crate) working_since: Option<Timestamp>,
    /// Requests that it works on beside the one that was handed out last.
    pub(crate) kept: usize,
    pub(crate) rest: Option<Rest>,
}

/// The firing that the node works on, until it asks for the next one.
pub(crate) struct HandedOut {
    request: Request,
    origin: Origin,
    last: bool,
    failed: bool,
    since: Timestamp,
}

/// What became of a firing.
enum Taken {
    /// The node works on it.
    Fires(Box<Firing>),
    /// It was cancelled, or has failed and is on its way to whoever waits for it.
    PassedOn,
    /// It has failed, and nobody is there to be told.
    NobodyListens,
}

impl NodeContext {
    /// The node's name in the graph.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How often the node was started before in this run: 0 in its first life.
    pub fn life(&self) -> u32 {
        self.life
    }

    /// The node as planned: its fields, placement and models.
    pub fn plan(&self) -> &PlannedNode {
        &self.plan
    }

    /// The run's clock; nothing else may read time or sleep.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The ledger that sensors mint requests from.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The way to the accelerator.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The weights that nodes of this run share.
    pub fn weights(&self) -> &WeightStore {
        &self.weights
    }

    /// What the governor asks of the node now, beside where to work.
    pub fn duty(&self) -> Duty {
        self.duty.duty()
    }

    /// Asks for a power mode until the guard is dropped, and no longer than the node lives that keeps it.
    pub fn hold(&self, reason: impl Into<String>, mode: Mode) -> HoldGuard {
        self.holds.hold(&*self.name, reason, mode)
    }

    /// Waits until the governor asks for something else than `duty`.
    pub async fn duty_changed_from(&self, duty: Duty) -> Duty {
        self.duty.changed_from(duty).await
    }

    /// The slot pool of an output, with as many slots as its edges and their consumers can hold: slots of `max_tokens`
    /// rows of `width` elements in F32. Made once for the run; a restarted node gets the same pool.
    pub fn slot_pool(&self, port: &str, max_tokens: usize, width: usize) -> Result<SlotPool, NodeError> {
        self.slot_pool_with(port, max_tokens, width, 0)
    }

    /// As [`NodeContext::slot_pool`], with `kept` slots more for what the node itself keeps to send again.
    pub fn slot_pool_with(
        &self,
        port: &str,
        max_tokens: usize,
        width: usize,
        kept: usize,
    ) -> Result<SlotPool, NodeError> {
        self.pools.get(port, max_tokens, width, kept).map_err(NodeError::own)
    }

    /// Whether an input is connected.
    pub fn has_input(&self, port: &str) -> bool {
        self.inputs.is_connected(port)
    }

    /// Whether anything listens on an output.
    pub fn has_output(&self, port: &str) -> bool {
        self.outputs.is_connected(port)
    }

    /// What to work on next; `None` when the inputs have ended.
    ///
    /// Asking for the next firing says that the one before is dealt with: at a sink this is what ends the request. A
    /// failed request is passed on to all outputs without troubling the node; only a sink is shown it.
    pub async fn next(&mut self) -> Option<Firing> {
        self.readiness.ready(&self.name);
        loop {
            self.dealt_with();
            if let Some(rest) = self.rest {
                rest.over(&self.clock, &self.duty, &self.requests, &self.signals).await;
                self.rest = None;
            }
            let firing = self.inputs.next().await?;
            match self.take(firing).await {
                Taken::Fires(firing) => return Some(*firing),
                Taken::PassedOn => {}
                Taken::NobodyListens => return None,
            }
        }
    }

    /// What to work on beside what the node works on already ([`NodeContext::keep`]): `None` when nothing has come.
    /// Otherwise as [`NodeContext::next`], and as cheap as a look.
    pub(crate) async fn next_if_there(&mut self) -> Option<Firing> {
        loop {
            self.dealt_with();
            let firing = self.inputs.next().now_or_never()??;
            match self.take(firing).await {
                Taken::Fires(firing) => return Some(*firing),
                Taken::PassedOn => {}
                Taken::NobodyListens => return None,
            }
        }
    }

    /// The node works on what it was handed last beside what it asks for next: that is dealt with when what this gives is
    /// given to [`NodeContext::end`], and not before. `None` where nothing is handed out.
    pub(crate) fn keep(&mut self) -> Option<HandedOut> {
        let kept = self.handed_out.take()?;
        self.kept += 1;
        Some(kept)
    }

    /// What was kept is dealt with.
    pub(crate) fn end(&mut self, kept: HandedOut) {
        self.kept -= 1;
        self.deal_with(kept);
    }

    /// Takes a firing in: one that has failed goes on to whoever is downstream, unless this is where requests end.
    async fn take(&mut self, firing: Firing) -> Taken {
        if self.is_cancelled(firing.packet.epoch) {
            return Taken::PassedOn;
        }
        let request = firing.packet.request();
        let failure = firing.failure().cloned();
        self.in_flight.insert(request);
        let last = firing.packet.last || failure.is_some();
        let since = self.clock.now();
        let origin = self.requests.origin(request.id).unwrap_or_default();
        self.handed_out = Some(HandedOut { request, origin, last, failed: failure.is_some(), since });
        self.working_since.get_or_insert(since);
        if let Some(entry) = &self.entry {
            entry.set_busy(true);
        }
        match failure {
            Some(error) if !self.outputs.is_empty() => {
                match self.outputs.send_everywhere(Packet::failed(request, error)).await {
                    Ok(()) => Taken::PassedOn,
                    Err(_) => Taken::NobodyListens,
                }
            }
            Some(error) => Taken::Fires(Box::new(failed_firing(firing, error))),
            None => Taken::Fires(Box::new(firing)),
        }
    }

    /// Sends a packet on an output, waiting for room where the edge's policy is to block.
    ///
    /// # Errors
    /// When nobody receives on it any more; returning that error ends the node as finished.
    pub async fn send(&self, port: &str, packet: Packet) -> Result<(), NodeError> {
        let (begun, request) = (self.clock.now(), packet.request);
        // What nobody listens to brings nothing.
        let is_sensor = self.handed_out.is_none() && self.kept == 0;
        if is_sensor && self.outputs.is_connected(port) {
            self.requests.arrived(&self.name, &packet);
        }
        let in_slots = matches!(packet.payload, Payload::Embeddings(_));
        if let Err(closed) = self.lend_turn_for(self.outputs.send(port, packet)).await {
            // Its answer has nowhere to go any more.
            self.requests.settle(request, RequestEnd::Dropped);
            return Err(closed.into());
        }
        if in_slots {
            self.pools.trace(port, self.clock.now());
        }
        // In the trace an arrow starts at a slice; a sensor works on no firing that would make one.
        if is_sensor {
            crate::trace::node_span(&self.name, &self.plan.kind, Some(request), begun, self.clock.now());
        }
        Ok(())
    }

    /// Waits for something that other bricks must do: where bricks work in turn, they have this node's turn meanwhile.
    pub async fn lend_turn_for<F: Future>(&self, others: F) -> F::Output {
        let turn = self.turn.borrow().upgrade();
        match turn {
            Some(turn) => turn.lend_for(others).await,
            None => others.await,
        }
    }

    /// Waits for the node's turn, or shares that of the stage that is under way.
    pub(crate) async fn take_turn(&self, manner: Manner) -> Rc<Turn> {
        let mine = self.turn.borrow().upgrade();
        if let Some(mine) = mine {
            return mine;
        }
        let turn = self.turns.take(manner).await;
        *self.turn.borrow_mut() = Rc::downgrade(&turn);
        turn
    }

    /// Ends a request with a refusal on every output; the node goes on with the next one.
    pub async fn refuse(&self, request: Request, cause: impl std::fmt::Display) -> Result<(), NodeError> {
        let error = RequestError::Refused { node: self.name.clone(), cause: cause.to_string() };
        Ok(self.lend_turn_for(self.outputs.send_everywhere(Packet::failed(request, error))).await?)
    }

    /// A sink shows the first part of an answer.
    pub fn first_output(&self, request: RequestId) {
        self.requests.first_output(request);
    }

    /// Whether the epoch has been cancelled: asked before a job and before publishing its result.
    pub fn is_cancelled(&self, epoch: Epoch) -> bool {
        self.cancellations.is_cancelled(epoch)
    }

    /// Cancels an epoch: from here on its packets are dropped wherever they are met (a person interrupts, a connection
    /// is gone).
    pub fn cancel(&self, epoch: Epoch) {
        self.cancellations.cancel(epoch);
    }

    /// Waits until the epoch is cancelled.
    pub async fn cancelled(&self, epoch: Epoch) {
        self.cancellations.cancelled(epoch).await;
    }

    /// Waits until every brick and sink has made its preparations (loaded its model, opened its file).
    pub async fn others_ready(&self) {
        self.readiness.all_ready().await;
    }

    /// Drains the whole run, as Ctrl-C does.
    pub fn drain_run(&self) {
        self.run_signals.drain();
    }

    /// Whether the run drains: sensors start nothing new.
    pub fn is_draining(&self) -> bool {
        self.signals.is_draining()
    }

    /// Waits until the run drains.
    pub async fn draining(&self) {
        self.signals.draining().await;
    }

    /// Adds to a counter of the node's own, shown in the report.
    pub fn count(&self, counter: &str, by: u64) {
        self.tally.count(counter, by);
    }

    /// Marks this moment on the node's track of the trace.
    pub fn mark(&self, what: &str, request: RequestId) {
        crate::trace::mark(&self.name, what, Some(request), self.clock.now());
    }

    /// Puts an answer into the report.
    pub fn report_answer(&self, answer: AnswerReport) {
        let AnswerReport { request, prompt_tokens, cached_tokens, generated_tokens, .. } = answer;
        self.log.write(|| {
            let (at, node, request) = (self.clock.now(), self.name.to_string(), RequestId(request));
            Record::Answer(Answer { at, request, node, prompt_tokens, cached_tokens, generated_tokens })
        });
        self.tally.answer(answer);
    }

    /// The node's line on the board, if it submits jobs.
    pub fn board(&self) -> Option<&Arc<NodeEntry>> {
        self.entry.as_ref()
    }

    /// A place where the node can be moved, after it has generated `tokens` tokens of an answer. In a run with forced
    /// migrations this asks the governor when the number is reached; in any other it returns at once.
    pub async fn migration_point(&self, tokens: u64) {
        let Some(migrations) =
            self.migrations.as_ref().filter(|forced| tokens > 0 && tokens.is_multiple_of(forced.every))
        else {
            return;
        };
        let due = MigrateDue { node: self.name.to_string(), every: migrations.every };
        if let Ok(Some(assign)) = migrations.governor.send(due).await
            && let Some(entry) = &self.entry
            && entry.assign(assign.accelerator).is_some()
        {
            entry.told_to_move(self.clock.now());
        }
    }

    fn dealt_with(&mut self) {
        match self.handed_out.take() {
            Some(done) => self.deal_with(done),
            None => self.say_whether_busy(),
        }
    }

    fn say_whether_busy(&self) {
        if let Some(entry) = &self.entry {
            entry.set_busy(self.kept > 0);
        }
    }

    fn deal_with(&mut self, done: HandedOut) {
        self.say_whether_busy();
        if let Some(entry) = &self.entry {
            entry.fired();
        }
        crate::trace::node_span(&self.name, &self.plan.kind, Some(done.request.id), done.since, self.clock.now());
        if !done.last {
            return;
        }
        self.in_flight.remove(done.request.id);
        if self.kept == 0 {
            let (begun, worked) = (self.working_since.take(), self.jobs.take_worked());
            self.rest = begun.filter(|_| done.origin == Origin::Stream).map(|begun| Rest { begun, worked });
        }
        if self.ends_requests {
            let end = if done.failed { RequestEnd::Failed } else { RequestEnd::Answered };
            self.requests.settle(done.request.id, end);
        }
    }
}

impl Drop for NodeContext {
    fn drop(&mut self) {
        // A node that has ended, in whatever way, is not waited for.
        self.readiness.ready(&self.name);
    }
}

/// A sink is shown one failure, whichever input it came by.
fn failed_firing(mut firing: Firing, error: RequestError) -> Firing {
    firing.packet = Packet { payload: Payload::Failed(error), tokens: 0, last: true, ..firing.packet };
    firing
}
