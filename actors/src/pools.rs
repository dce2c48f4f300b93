//! Slot pools of a node's outputs: sized from the plan, made once for a run, kept over restarts.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;
use nanomind_hal::Timestamp;
use nanomind_hal::tabm::{ElementType, PoolError, SlotGeometry, SlotPool};

use crate::report::PoolReport;

/// Makes the slot pools of one node.
#[derive(Clone)]
pub(crate) struct PoolSizer {
    node: String,
    /// By output port: packets that its edges and consumers hold.
    room: Rc<IndexMap<String, Room>>,
    pools: Rc<RefCell<IndexMap<String, SlotPool>>>,
}

#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Room {
    /// Packets that wait on edges.
    pub(crate) queued: usize,
    /// Packets that consumers work on or hold on to.
    pub(crate) held: usize,
}

impl Room {
    /// A slot for each packet that waits, is worked on or held, for each that the producer keeps, and one in its hand: so
    /// whoever needs a slot gets one as soon as others go on, whatever is kept.
    fn slots(self, kept: usize) -> usize {
        self.queued + self.held + kept + 1
    }
}

impl PoolSizer {
    pub(crate) fn new(node: &str, room: IndexMap<String, Room>) -> PoolSizer {
        PoolSizer { node: node.to_owned(), room: Rc::new(room), pools: Rc::default() }
    }

    /// The pool of `port` for a producer that keeps up to `kept` slots: made at the first call, the same one afterwards.
    pub(crate) fn get(&self, port: &str, max_tokens: usize, width: usize, kept: usize) -> Result<SlotPool, PoolError> {
        if let Some(pool) = self.pools.borrow().get(port) {
            return Ok(pool.clone());
        }
        let slots = self.room.get(port).copied().unwrap_or_default().slots(kept);
        let pool = SlotPool::new(SlotGeometry { slots, max_tokens, width, element: ElementType::F32 })?;
        self.pools.borrow_mut().insert(port.to_owned(), pool.clone());
        Ok(pool)
    }

    /// Tells the trace what the pool of `port` has seen so far.
    pub(crate) fn trace(&self, port: &str, now: Timestamp) {
        if !tracing::enabled!(target: crate::trace::TARGET, tracing::Level::TRACE) {
            return;
        }
        if let Some(pool) = self.pools.borrow().get(port) {
            let (pool, stats) = (format!("{}.{port}", self.node), pool.stats());
            crate::trace::pool(&pool, stats.ready_or_reading + stats.writing, stats.copied_bytes, now);
        }
    }

    /// As [`PoolSizer::trace`], of every pool.
    pub(crate) fn trace_all(&self, now: Timestamp) {
        let ports: Vec<String> = self.pools.borrow().keys().cloned().collect();
        ports.iter().for_each(|port| self.trace(port, now));
    }

    pub(crate) fn reports(&self) -> Vec<PoolReport> {
        let pools = self.pools.borrow();
        let report = |(port, pool): (&String, &SlotPool)| PoolReport::new(format!("{}.{port}", self.node), pool);
        pools.iter().map(report).collect()
    }
}
