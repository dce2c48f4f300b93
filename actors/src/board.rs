//! The node board: what every node shows of itself to the governor, and where its work goes now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nanomind_hal::AcceleratorId;
use parking_lot::Mutex;

/// One node's lines on the board. The node writes, the governor reads; the assignment is written at job boundaries.
#[derive(Debug)]
pub struct NodeEntry {
    node: Arc<str>,
    allowed: Vec<AcceleratorId>,
    current: Mutex<AcceleratorId>,
    moves: AtomicU64,
    busy: AtomicBool,
    tokens_generated: AtomicU64,
}

impl NodeEntry {
    /// A node that may run on `allowed` (in order of preference) and starts on the first of them.
    ///
    /// Returns `None` where `allowed` is empty: such a node has no line on the board.
    pub fn new(node: Arc<str>, allowed: Vec<AcceleratorId>) -> Option<NodeEntry> {
        let current = Mutex::new(*allowed.first()?);
        Some(NodeEntry {
            node,
            allowed,
            current,
            moves: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            tokens_generated: AtomicU64::new(0),
        })
    }

    /// The node's name in the graph.
    pub fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// The accelerators that its placement allows, in order of preference.
    pub fn allowed(&self) -> &[AcceleratorId] {
        &self.allowed
    }

    /// Whether the governor has a choice at all.
    pub fn movable(&self) -> bool {
        self.allowed.len() > 1
    }

    /// Where its next job goes.
    pub fn current(&self) -> AcceleratorId {
        *self.current.lock()
    }

    /// Sends the node's next jobs to `accelerator`; returns where they went before if that is another one.
    ///
    /// An accelerator that the placement does not allow is ignored, so a stale decision cannot break a pin.
    pub fn assign(&self, accelerator: AcceleratorId) -> Option<AcceleratorId> {
        if !self.allowed.contains(&accelerator) {
            return None;
        }
        let mut current = self.current.lock();
        if *current == accelerator {
            return None;
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
        Some(std::mem::replace(&mut *current, accelerator))
    }

    /// How often it was moved.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Whether it works on a request now.
    pub fn busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// The node says whether it works on a request now.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Tokens generated since the start of the run.
    pub fn tokens_generated(&self) -> u64 {
        self.tokens_generated.load(Ordering::Relaxed)
    }

    /// The node generated `tokens` more tokens.
    pub fn count_generated(&self, tokens: u64) {
        self.tokens_generated.fetch_add(tokens, Ordering::Relaxed);
    }
}

/// The lines of all nodes that submit jobs, in the order of the plan.
#[derive(Clone, Default, Debug)]
pub struct NodeBoard {
    entries: Vec<Arc<NodeEntry>>,
}

impl NodeBoard {
    /// A board with these lines.
    pub fn new(entries: Vec<Arc<NodeEntry>>) -> NodeBoard {
        NodeBoard { entries }
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<NodeEntry>> {
        self.entries.iter()
    }

    /// One node's line.
    pub fn get(&self, node: &str) -> Option<&Arc<NodeEntry>> {
        self.entries.iter().find(|entry| &*entry.node == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> AcceleratorId {
        name.parse().unwrap()
    }

    #[test]
    fn an_assignment_outside_the_placement_is_ignored() {
        let entry = NodeEntry::new("mind".into(), vec![id("cpu:0"), id("cpu:1")]).unwrap();
        assert_eq!(entry.assign(id("gpu")), None);
        assert_eq!(entry.assign(id("cpu:0")), None, "it is there already");
        assert_eq!(entry.assign(id("cpu:1")), Some(id("cpu:0")));
        assert_eq!((entry.current(), entry.moves()), (id("cpu:1"), 1));
    }
}
