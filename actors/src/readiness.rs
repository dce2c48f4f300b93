//! Which nodes are still getting ready: a prompt is better asked for when somebody can answer.

use std::collections::BTreeSet;

use nanomind_graphs::{PlannedNode, Role};
use tokio::sync::watch;

/// The bricks and sinks that have not asked for their first firing yet.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(watch::Sender<BTreeSet<String>>);

impl Readiness {
    /// Nobody is ready yet; sensors are not waited for.
    pub(crate) fn of(nodes: &[PlannedNode]) -> Readiness {
        let waited_for = nodes.iter().filter(|node| node.role != Role::Sensor);
        Readiness(watch::channel(waited_for.map(|node| node.name.clone()).collect()).0)
    }

    /// The node is ready, or will never be.
    pub(crate) fn ready(&self, node: &str) {
        if self.0.borrow().contains(node) {
            self.0.send_modify(|waiting| {
                waiting.remove(node);
            });
        }
    }

    /// Waits until all are.
    pub(crate) async fn all_ready(&self) {
        // An error means that the sender is gone, and with it everybody who could be waited for.
        let _ = self.0.subscribe().wait_for(BTreeSet::is_empty).await;
    }
}
