//! The memory books of a run: how many bytes of weights are in memory, over time.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use nanomind_hal::{Clock, ProcessMemory};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The most that was in memory at moments of one kind, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resident {
    /// Moments that were looked at.
    pub times: u64,
    /// Packed weights of all models; what nodes share is counted once.
    pub weights: u64,
    /// The whole process, code and mapped files included; nothing where the system does not say, and in a simulation,
    /// whose process is not the device's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<u64>,
}

impl Resident {
    fn saw(&mut self, weights: u64, process: Option<u64>) {
        self.times += 1;
        self.weights = self.weights.max(weights);
        self.process = self.process.max(process);
    }
}

/// The books of one run. Clones are the same books.
#[derive(Clone)]
pub(crate) struct MemoryBooks {
    clock: Clock,
    kept: Rc<RefCell<Kept>>,
    weights: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    peak: u64,
    between_stages: Option<Resident>,
    in_standby: Option<Resident>,
}

impl MemoryBooks {
    pub(crate) fn new(clock: Clock) -> MemoryBooks {
        MemoryBooks { clock, kept: Rc::default(), weights: watch::Sender::new(0) }
    }

    /// So many bytes of weights are in memory now.
    pub(crate) fn weights_are(&self, bytes: u64) {
        let is_news = self.weights.send_if_modified(|known| std::mem::replace(known, bytes) != bytes);
        if is_news {
            let mut kept = self.kept.borrow_mut();
            kept.peak = kept.peak.max(bytes);
            crate::trace::counter("weights MB", bytes as f64 / 1e6, self.clock.now());
        }
    }

    /// Bytes of weights that are in memory, and every change of them.
    pub(crate) fn weights(&self) -> watch::Receiver<u64> {
        self.weights.subscribe()
    }

    /// A stage in turn has ended: its weights are gone, or should be.
    pub(crate) fn stage_ended(&self) {
        let (weights, process) = self.look();
        self.kept.borrow_mut().between_stages.get_or_insert_default().saw(weights, process);
    }

    /// The device stands by.
    pub(crate) fn stands_by(&self) {
        let (weights, process) = self.look();
        self.kept.borrow_mut().in_standby.get_or_insert_default().saw(weights, process);
    }

    /// The most bytes of weights that were in memory at once.
    pub(crate) fn peak(&self) -> u64 {
        self.kept.borrow().peak
    }

    /// Right after the stages that bricks did in turn; nothing where none did.
    pub(crate) fn between_stages(&self) -> Option<Resident> {
        self.kept.borrow().between_stages
    }

    /// As the device began to stand by; nothing where it never did.
    pub(crate) fn in_standby(&self) -> Option<Resident> {
        self.kept.borrow().in_standby
    }

    fn look(&self) -> (u64, Option<u64>) {
        let measures = !self.clock.is_virtual();
        let process = measures.then(|| ProcessMemory::read(Path::new("/"))).flatten();
        (*self.weights.borrow(), process.map(|memory| memory.resident))
    }
}
