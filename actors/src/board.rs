//! The node board: what every node shows of itself to the governor, and where its work goes now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nanomind_hal::{AcceleratorId, JobCost, Phase, Timestamp};
use parking_lot::Mutex;

use crate::governor::PhaseWork;
use crate::work::TypicalWork;

/// What a move between two accelerators of one kind is assumed to take before one was measured, in milliseconds: the job
/// that runs is finished first, and those are cut to about this.
const ASSUMED_MOVE_MS: f64 = 20.0;
/// How much of a new measurement goes into what a move takes.
const NEWEST: f64 = 0.3;

/// One node's lines on the board. The node writes, the governor reads; the assignment is written at job boundaries.
#[derive(Debug)]
pub struct NodeEntry {
    node: Arc<str>,
    allowed: Vec<AcceleratorId>,
    current: Mutex<AcceleratorId>,
    moves: AtomicU64,
    busy: AtomicBool,
    tokens_generated: AtomicU64,
    weight_bytes: AtomicU64,
    work: Mutex<TypicalWork>,
    moving: Mutex<Moving>,
}

/// What moves take.
#[derive(Default, Debug)]
struct Moving {
    /// When the node was told to move, and has had no job since.
    told: Option<Timestamp>,
    /// For each place, the mean of what moves to there took, in milliseconds, and how many there were.
    measured: Vec<(AcceleratorId, f64, u64)>,
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
            weight_bytes: AtomicU64::new(0),
            work: Mutex::default(),
            moving: Mutex::default(),
        })
    }

    /// The same node, with weights of so many bytes, of which a firing is expected to do this much work.
    pub fn expecting(self, weight_bytes: u64, work: Vec<PhaseWork>) -> NodeEntry {
        self.weight_bytes.store(weight_bytes, Ordering::Relaxed);
        *self.work.lock() = TypicalWork::expecting(work);
        self
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

    /// Bytes of its weights, in memory or not.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes.load(Ordering::Relaxed)
    }

    /// The node has loaded weights of so many bytes.
    pub(crate) fn set_weight_bytes(&self, bytes: u64) {
        self.weight_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What it does each time it fires, by phase.
    pub fn work(&self) -> Vec<PhaseWork> {
        self.work.lock().typical()
    }

    /// The node submits a job.
    pub(crate) fn submitted(&self, phase: Phase, cost: JobCost) {
        self.work.lock().submitted(phase, cost);
    }

    /// The node has dealt with a firing.
    pub(crate) fn fired(&self) {
        self.work.lock().fired();
    }

    /// The node is told to move now: until its first job at the new place, that is what the move takes.
    pub(crate) fn told_to_move(&self, now: Timestamp) {
        self.moving.lock().told = Some(now);
    }

    /// A job of the node, which it began to prepare at `prepared`, started at its place. If it is the first one after a
    /// move, the time between is what the move took; time in which the node had nothing to do is not.
    pub(crate) fn started(&self, place: AcceleratorId, prepared: Timestamp, started: Timestamp) {
        // While weights are on their way, the node works where they are.
        if place != self.current() {
            return;
        }
        let mut moving = self.moving.lock();
        let Some(told) = moving.told.take() else { return };
        let took = started.since(told.max(prepared)).as_secs_f64() * 1e3;
        match moving.measured.iter_mut().find(|(to, ..)| *to == place) {
            Some((_, mean, moves)) => {
                *mean += NEWEST * (took - *mean);
                *moves += 1;
            }
            None => moving.measured.push((place, took, 1)),
        }
    }

    /// What a move to `place` takes in milliseconds, and how many were measured.
    pub fn move_cost(&self, place: AcceleratorId) -> (f64, u64) {
        let moving = self.moving.lock();
        let measured = moving.measured.iter().find(|(to, ..)| *to == place);
        measured.map_or((ASSUMED_MOVE_MS, 0), |(_, mean, moves)| (*mean, *moves))
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
