//! Standby: while there is nothing to do and nothing in memory, the device waits on one core for the next event.
//!
//! Sensors go on looking, at the pace of their duty; a request that they mint ends it. Nanomind lowers nothing of a real
//! machine itself: there the books of energy stay awake, and standby is counted as the time in which the machine could
//! be lowered. On a simulated one the floor of what the device draws follows.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use nanomind_hal::{Clock, PowerState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::duty::DutyBoard;
use crate::energy::EnergyBooks;
use crate::memory::MemoryBooks;
use crate::request::Requests;

/// How much of a run was standby.
#[derive(Clone, Copy, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct StandbyReport {
    /// How often it began.
    pub entries: u64,
    /// How long it lasted in all, in seconds.
    pub seconds: f64,
}

/// Whether the device stands by. Clones are the same state.
#[derive(Clone)]
pub(crate) struct Standby {
    clock: Clock,
    requests: Requests,
    duty: DutyBoard,
    memory: MemoryBooks,
    energy: EnergyBooks,
    counted: Rc<RefCell<Counted>>,
}

#[derive(Default)]
struct Counted {
    entries: u64,
    time: Duration,
    /// Since when it stands by.
    since: Option<Timestamp>,
}

impl Standby {
    pub(crate) fn new(
        clock: Clock,
        requests: Requests,
        duty: DutyBoard,
        memory: MemoryBooks,
        energy: EnergyBooks,
    ) -> Standby {
        Standby { clock, requests, duty, memory, energy, counted: Rc::default() }
    }

    /// Enters and leaves standby at every event that matters, as long as the run lasts.
    pub(crate) async fn keep(self) {
        let (mut open, mut weights, mut duty) = (self.requests.watch(), self.memory.weights(), self.duty.watch());
        loop {
            let is_idle = open.borrow_and_update().all == 0 && *weights.borrow_and_update() == 0;
            self.turn(is_idle && duty.borrow_and_update().standby);
            // Their senders live in this, so waiting cannot fail.
            tokio::select! {
                _ = open.changed() => {}
                _ = weights.changed() => {}
                _ = duty.changed() => {}
            }
        }
    }

    fn turn(&self, to_standby: bool) {
        let now = self.clock.now();
        let mut counted = self.counted.borrow_mut();
        let state = match (counted.since, to_standby) {
            (None, true) => {
                counted.entries += 1;
                counted.since = Some(now);
                PowerState::Standby
            }
            (Some(since), false) => {
                counted.time += now.since(since);
                counted.since = None;
                PowerState::Awake
            }
            _ => return,
        };
        if self.clock.is_virtual() {
            self.energy.enter(state);
        }
        if to_standby {
            self.memory.stands_by();
        }
        crate::trace::counter("standby", f64::from(u8::from(to_standby)), now);
        tracing::debug!(standby = to_standby, "power state");
    }

    /// What was counted so far; nothing where the run never stood by.
    pub(crate) fn report(&self) -> Option<StandbyReport> {
        let counted = self.counted.borrow();
        let lasting = counted.since.map_or(Duration::ZERO, |since| self.clock.now().since(since));
        let seconds = (counted.time + lasting).as_secs_f64();
        (counted.entries > 0).then_some(StandbyReport { entries: counted.entries, seconds })
    }
}
