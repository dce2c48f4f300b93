//! The supervisor: hears how every node ends, decides about restarts, and knows when the run is over.

mod end;
mod policy;

pub use end::NodeEnd;
pub use policy::{Verdict, decide};

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, MessageResult};
use indexmap::IndexMap;
use nanomind_graphs::RestartPolicy;
use nanomind_hal::{Clock, Timestamp};
use tokio::sync::watch;

use crate::report::NodeOutcome;

/// A node tells that it has ended; the answer is what becomes of it.
#[derive(Message)]
#[rtype(result = "Verdict")]
pub(crate) struct NodeEnded {
    pub(crate) node: Arc<str>,
    pub(crate) end: NodeEnd,
}

/// Asks how every node fared, in the order of the plan.
#[derive(Message)]
#[rtype(result = "Vec<(Arc<str>, NodeOutcome)>")]
pub(crate) struct Outcomes;

struct Watched {
    policy: RestartPolicy,
    restarts: Vec<Timestamp>,
    ended: Option<String>,
    failed: bool,
    device_missing: bool,
    last_failure: Option<String>,
}

/// The supervisor of one run.
pub(crate) struct Supervisor {
    clock: Clock,
    nodes: IndexMap<Arc<str>, Watched>,
    running: watch::Sender<usize>,
}

impl Supervisor {
    /// Watches `nodes`; `running` counts those that have not ended for good.
    pub(crate) fn new(
        clock: Clock,
        nodes: impl Iterator<Item = (Arc<str>, RestartPolicy)>,
    ) -> (Supervisor, watch::Receiver<usize>) {
        let watched = |policy| Watched {
            policy,
            restarts: Vec::new(),
            ended: None,
            failed: false,
            device_missing: false,
            last_failure: None,
        };
        let nodes: IndexMap<_, _> = nodes.map(|(node, policy)| (node, watched(policy))).collect();
        let (running, receiver) = watch::channel(nodes.len());
        (Supervisor { clock, nodes, running }, receiver)
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;
}

impl Handler<NodeEnded> for Supervisor {
    type Result = MessageResult<NodeEnded>;

    fn handle(&mut self, ended: NodeEnded, _: &mut Context<Self>) -> Self::Result {
        let now = self.clock.now();
        let Some(node) = self.nodes.get_mut(&ended.node) else { return MessageResult(Verdict::Done) };
        let verdict = decide(node.policy, &ended.end, &node.restarts, now);
        if ended.end.is_failure() {
            node.last_failure = Some(ended.end.to_string());
        }
        match verdict {
            Verdict::Restart => {
                node.restarts.push(now);
                tracing::warn!(node = %ended.node, end = %ended.end, restarts = node.restarts.len(), "node is restarted");
            }
            Verdict::Done | Verdict::GiveUp => {
                node.failed = verdict == Verdict::GiveUp;
                node.device_missing = node.failed && ended.end.is_for_want_of_a_device();
                if node.ended.replace(ended.end.to_string()).is_none() {
                    self.running.send_modify(|running| *running = running.saturating_sub(1));
                }
                if node.failed {
                    tracing::error!(node = %ended.node, end = %ended.end, "node stays down");
                } else {
                    tracing::debug!(node = %ended.node, end = %ended.end, "node ended");
                }
            }
        }
        MessageResult(verdict)
    }
}

impl Handler<Outcomes> for Supervisor {
    type Result = MessageResult<Outcomes>;

    fn handle(&mut self, _: Outcomes, _: &mut Context<Self>) -> Self::Result {
        let outcome = |node: &Watched| NodeOutcome {
            end: node.ended.clone().unwrap_or_else(|| "running".to_owned()),
            failed: node.failed,
            device_missing: node.device_missing,
            restarts: node.restarts.len() as u64,
            last_failure: node.last_failure.clone(),
        };
        MessageResult(self.nodes.iter().map(|(name, node)| (name.clone(), outcome(node))).collect())
    }
}
