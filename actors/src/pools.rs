//! Slot pools of a node's outputs: sized from the plan, made once for a run, kept over restarts.

use std::cell::RefCell;
use std::rc::Rc;

use indexmap::IndexMap;
use nanomind_hal::tabm::{ElementType, PoolError, SlotGeometry, SlotPool};

use crate::report::PoolReport;

/// Makes the slot pools of one node.
#[derive(Clone)]
pub(crate) struct PoolSizer {
    node: String,
    /// By output port: packets that its edges hold, and how many consumers have one more in hand.
    room: Rc<IndexMap<String, Room>>,
    pools: Rc<RefCell<IndexMap<String, SlotPool>>>,
}

#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Room {
    pub(crate) queued: usize,
    pub(crate) consumers: usize,
}

impl Room {
    /// A slot for each packet that waits, one in each consumer's hand and one in the producer's.
    fn slots(self) -> usize {
        self.queued + self.consumers + 1
    }
}

impl PoolSizer {
    pub(crate) fn new(node: &str, room: IndexMap<String, Room>) -> PoolSizer {
        PoolSizer { node: node.to_owned(), room: Rc::new(room), pools: Rc::default() }
    }

    /// The pool of `port`: made at the first call, the same one afterwards.
    pub(crate) fn get(&self, port: &str, max_tokens: usize, width: usize) -> Result<SlotPool, PoolError> {
        if let Some(pool) = self.pools.borrow().get(port) {
            return Ok(pool.clone());
        }
        let slots = self.room.get(port).copied().unwrap_or_default().slots();
        let pool = SlotPool::new(SlotGeometry { slots, max_tokens, width, element: ElementType::F32 })?;
        self.pools.borrow_mut().insert(port.to_owned(), pool.clone());
        Ok(pool)
    }

    pub(crate) fn reports(&self) -> Vec<PoolReport> {
        let pools = self.pools.borrow();
        let report = |(port, pool): (&String, &SlotPool)| PoolReport::new(format!("{}.{port}", self.node), pool);
        pools.iter().map(report).collect()
    }
}
