//! The energy books of a run: what every job is charged with, settled against what meters or the device's model say.

use std::sync::Arc;
use std::time::Duration;

use nanomind_hal::{
    AcceleratorId, BatterySource, Clock, Energy, EnergyLedger, EnergySource, EnergyStatement, PowerModel, PowerState,
};
use parking_lot::Mutex;

use crate::request::RequestId;

/// The books of one run. Clones are the same books.
#[derive(Clone)]
pub struct EnergyBooks {
    clock: Clock,
    books: Arc<Mutex<Books>>,
}

struct Books {
    ledger: EnergyLedger,
    source: EnergySource,
    /// The battery of a simulated device, which gives what the device takes.
    drained: Option<nanomind_hal::SimulatedBattery>,
    /// Whether the source failed to answer, which is said once.
    source_failed: bool,
}

impl EnergyBooks {
    /// Books that begin now, of a device with this model if one is known, and with what measures its energy.
    pub fn new(clock: Clock, model: Option<PowerModel>, source: EnergySource, battery: &BatterySource) -> EnergyBooks {
        // A simulated battery is drained by what is booked; measuring by it would count what was estimated.
        let drained = match battery {
            BatterySource::Simulated(battery) if model.is_some() => Some(battery.clone()),
            _ => None,
        };
        let ledger = EnergyLedger::new(clock.now(), model);
        let books = Books { ledger, source, drained, source_failed: false };
        EnergyBooks { clock, books: Arc::new(Mutex::new(books)) }
    }

    /// A job of `node` ran this long, for this request.
    pub(crate) fn charge(
        &self,
        node: &Arc<str>,
        _request: Option<RequestId>,
        accelerator: AcceleratorId,
        ran: Duration,
    ) {
        self.books.lock().ledger.charge(node, accelerator, ran);
    }

    /// The device enters this state now.
    pub fn enter(&self, state: PowerState) {
        self.books.lock().ledger.enter(self.clock.now(), state);
    }

    /// Settles what was charged up to now, and drains a simulated battery by it. Gives the energy since the time before.
    pub fn settle(&self) -> Energy {
        let mut books = self.books.lock();
        let measured = match books.source.since_last(&self.clock) {
            Ok(measured) => measured,
            Err(error) => {
                if !std::mem::replace(&mut books.source_failed, true) {
                    tracing::warn!("{error}; energy is not measured while this lasts");
                }
                None
            }
        };
        let now = self.clock.now();
        let taken = books.ledger.settle(now, measured);
        if let (Some(battery), Some(taken)) = (&books.drained, taken.amount()) {
            battery.draw(now, taken);
        }
        taken
    }

    /// All that was settled so far.
    pub fn statement(&self) -> EnergyStatement {
        self.books.lock().ledger.statement()
    }
}
