//! The node actor: the control face of one node. It starts the node's data loop, restarts it when the supervisor says
//! so, and holds the ends of its edges meanwhile, so that what waits in them survives a failure.

use std::any::Any;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use futures_util::FutureExt;
use indexmap::IndexMap;
use nanomind_graphs::{PlannedNode, Role};

use crate::board::NodeEntry;
use crate::edge::EdgeSender;
use crate::error::NodeError;
use crate::governor::Assign;
use crate::inputs::{Input, Inputs};
use crate::jobs::Jobs;
use crate::library::Constructor;
use crate::node::{InFlight, Migrations, NodeContext};
use crate::outputs::Outputs;
use crate::packet::Packet;
use crate::pools::PoolSizer;
use crate::report::{AnswerReport, PlacementReport, PoolReport};
use crate::request::{RequestEnd, RequestError};
use crate::shared::RunShared;
use crate::signals::Signals;
use crate::supervisor::{NodeEnd, NodeEnded, Supervisor, Verdict};
use crate::tally::NodeTally;

/// Starts the node.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Start;

/// A sensor starts nothing new; any other node flows out by itself when its inputs end.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Drain;

/// The node ends now, whatever it is doing.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// Asks what the node has done.
#[derive(Message)]
#[rtype(result = "NodeStats")]
pub(crate) struct Stats;

/// What a node has done.
#[derive(Clone, Debug)]
pub(crate) struct NodeStats {
    /// Where its jobs ran.
    pub(crate) placements: Vec<PlacementReport>,
    /// How often it was moved.
    pub(crate) moves: u64,
    /// What it counted itself.
    pub(crate) counters: IndexMap<String, u64>,
    /// Its answers.
    pub(crate) answers: Vec<AnswerReport>,
    /// The slot pools of its outputs.
    pub(crate) pools: Vec<PoolReport>,
}

/// A life of the node is over; sent by the data loop to its own actor.
#[derive(Message)]
#[rtype(result = "()")]
struct LifeEnded(NodeEnd);

pub(crate) struct NodeParts {
    pub(crate) plan: Arc<PlannedNode>,
    pub(crate) constructor: Constructor,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<(Arc<str>, EdgeSender)>,
    pub(crate) pools: PoolSizer,
    pub(crate) entry: Option<Arc<NodeEntry>>,
    pub(crate) ends_requests: bool,
    pub(crate) tally: Arc<NodeTally>,
    pub(crate) migrate_every: Option<u64>,
}

/// The actor of one node.
pub(crate) struct NodeActor {
    name: Arc<str>,
    parts: NodeParts,
    run: RunShared,
    signals: Signals,
    supervisor: actix::Addr<Supervisor>,
    migrations: Option<Migrations>,
    lives: u32,
}

/// Tells a node whom to ask about forced migrations; sent before [`Start`], because the governor is made after the nodes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct MeetGovernor(pub(crate) actix::Recipient<crate::governor::MigrateDue>);

impl NodeActor {
    pub(crate) fn new(parts: NodeParts, run: RunShared, supervisor: actix::Addr<Supervisor>) -> NodeActor {
        let name = parts.plan.name.as_str().into();
        NodeActor { name, parts, run, signals: Signals::default(), supervisor, migrations: None, lives: 0 }
    }

    /// A context for one life. The actor keeps its own ends of the edges.
    fn context(&self, in_flight: InFlight) -> NodeContext {
        let parts = &self.parts;
        let jobs = Rc::new(Jobs::new(self.name.clone(), parts.entry.clone(), &self.run, parts.tally.clone()));
        NodeContext {
            name: self.name.clone(),
            life: self.lives,
            plan: parts.plan.clone(),
            clock: self.run.clock.clone(),
            inputs: Inputs::new(self.name.clone(), parts.inputs.clone(), self.run.cancellations.clone()),
            outputs: Outputs::new(parts.outputs.clone()),
            jobs,
            requests: self.run.requests.clone(),
            cancellations: self.run.cancellations.clone(),
            signals: self.signals.clone(),
            run_signals: self.run.signals.clone(),
            readiness: self.run.readiness.clone(),
            entry: parts.entry.clone(),
            tally: parts.tally.clone(),
            log: self.run.log.clone(),
            weights: self.run.weights.clone(),
            turns: self.run.turns.clone(),
            turn: RefCell::default(),
            duty: self.run.duty.clone(),
            holds: self.run.holds.clone(),
            pools: parts.pools.clone(),
            migrations: self.migrations.clone(),
            ends_requests: parts.ends_requests,
            in_flight,
            handed_out: None,
            working_since: None,
            kept: 0,
            rest: None,
        }
    }

    fn live(&mut self, context: &mut Context<Self>) {
        let in_flight = InFlight::default();
        let node_context = self.context(in_flight.clone());
        self.lives += 1;
        let life = Life {
            context: node_context,
            constructor: self.parts.constructor.clone(),
            outputs: Outputs::new(self.parts.outputs.clone()),
            ends_requests: self.parts.ends_requests,
            in_flight,
            signals: self.signals.clone(),
            run: self.run.clone(),
        };
        let address = context.address();
        actix::spawn(async move {
            let end = life.run().await;
            // A closed mailbox means that the system is going down and nobody is interested any more.
            address.do_send(LifeEnded(end));
        });
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;
}

impl Handler<MeetGovernor> for NodeActor {
    type Result = ();

    fn handle(&mut self, meet: MeetGovernor, _: &mut Context<Self>) {
        self.migrations = self.parts.migrate_every.map(|every| Migrations { every: every.max(1), governor: meet.0 });
    }
}

impl Handler<Start> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Start, context: &mut Context<Self>) {
        self.live(context);
    }
}

impl Handler<LifeEnded> for NodeActor {
    type Result = ();

    fn handle(&mut self, LifeEnded(end): LifeEnded, context: &mut Context<Self>) {
        let ended = NodeEnded { node: self.name.clone(), end };
        let decided = self.supervisor.send(ended).into_actor(self).map(|verdict, actor, context| match verdict {
            Ok(Verdict::Restart) => actor.live(context),
            Ok(Verdict::Done | Verdict::GiveUp) | Err(_) => {
                // Dropping the ends is what tells the neighbours: the stream ends here.
                actor.parts.inputs.clear();
                actor.parts.outputs.clear();
            }
        });
        context.spawn(decided);
    }
}

impl Handler<Drain> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.signals.drain();
    }
}

impl Handler<Stop> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) {
        self.signals.stop();
    }
}

impl Handler<Assign> for NodeActor {
    type Result = ();

    fn handle(&mut self, assign: Assign, _: &mut Context<Self>) {
        let Some(entry) = &self.parts.entry else { return };
        if let Some(from) = entry.assign(assign.accelerator) {
            entry.told_to_move(self.run.clock.now());
            tracing::info!(node = %self.name, %from, to = %assign.accelerator, reason = %assign.reason, "node moves");
        }
    }
}

impl Handler<Stats> for NodeActor {
    type Result = MessageResult<Stats>;

    fn handle(&mut self, _: Stats, _: &mut Context<Self>) -> Self::Result {
        let NodeParts { entry, tally, pools, .. } = &self.parts;
        pools.trace_all(self.run.clock.now());
        MessageResult(NodeStats {
            placements: tally.placements(),
            moves: entry.as_ref().map_or(0, |entry| entry.moves()),
            counters: tally.counters(),
            answers: tally.answers(),
            pools: pools.reports(),
        })
    }
}

/// One life of a node, from construction to its end.
struct Life {
    context: NodeContext,
    constructor: Constructor,
    outputs: Outputs,
    ends_requests: bool,
    in_flight: InFlight,
    signals: Signals,
    run: RunShared,
}

impl Life {
    async fn run(self) -> NodeEnd {
        let Life { context, constructor, outputs, ends_requests, in_flight, signals, run } = self;
        let leaving = Leaving { outputs: &outputs, ends_requests, in_flight: &in_flight, run: &run };
        let (name, entry) = (context.name.clone(), context.entry.clone());
        // A sensor that others feed starts nothing by itself, and owes an answer to what it was fed.
        let sensor = context.plan.role == Role::Sensor && context.inputs.is_empty();
        let work = async move {
            let node = constructor(&context.plan)?;
            node.run(context).await
        };
        let work = AssertUnwindSafe(work).catch_unwind();
        let drained = async { if sensor { signals.draining().await } else { std::future::pending().await } };
        let end = tokio::select! {
            biased;
            () = signals.stopping() => NodeEnd::Stopped,
            () = drained => NodeEnd::Stopped,
            result = work => match result {
                Ok(result) => {
                    leaving.settle_rest(&result);
                    NodeEnd::of(result)
                }
                Err(panic) => NodeEnd::Panicked(panic_message(panic)),
            },
        };
        if let Some(entry) = entry {
            entry.set_busy(false);
        }
        if let Some(error) = request_error(&name, &end) {
            let tell = leaving.fail_requests(&error);
            tokio::select! {
                biased;
                () = signals.stopping() => {}
                () = tell => {}
            }
        }
        end
    }
}

/// What a node leaves behind whose life is over.
struct Leaving<'a> {
    outputs: &'a Outputs,
    ends_requests: bool,
    in_flight: &'a InFlight,
    run: &'a RunShared,
}

impl Leaving<'_> {
    /// Settles the rest of a node that has ended in order: a sink has dealt with what it took last; a node that nobody
    /// listens to any more has lost what it worked on.
    fn settle_rest(&self, result: &Result<(), NodeError>) {
        let end = match result {
            Ok(()) if self.ends_requests => RequestEnd::Answered,
            Err(NodeError::Closed(_)) => RequestEnd::Dropped,
            // What a brick sent last is on its way to a sink; what failed is told to everybody.
            Ok(()) | Err(_) => return,
        };
        for request in self.in_flight.take() {
            self.run.requests.settle(request.id, end);
        }
    }

    /// Tells everybody downstream that the requests in flight have no answer.
    async fn fail_requests(&self, error: &RequestError) {
        for request in self.in_flight.take() {
            if self.outputs.is_empty() {
                tracing::error!(request = request.id.0, "{error}");
                if !self.ends_requests {
                    continue;
                }
            } else if self.outputs.send_everywhere(Packet::failed(request, error.clone())).await.is_ok() {
                continue;
            }
            self.run.requests.settle(request.id, RequestEnd::Failed);
        }
    }
}

fn request_error(node: &Arc<str>, end: &NodeEnd) -> Option<RequestError> {
    match end {
        NodeEnd::Failed(error) => Some(RequestError::NodeFailed { node: node.clone(), cause: with_causes(error) }),
        NodeEnd::Panicked(message) => Some(RequestError::Panicked { node: node.clone(), message: message.clone() }),
        NodeEnd::Finished | NodeEnd::Stopped | NodeEnd::Cancelled => None,
    }
}

/// An error and what lies behind it, in one line.
fn with_causes(error: &NodeError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "no message".to_owned(), |text| (*text).to_owned()),
    }
}
