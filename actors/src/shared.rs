//! What all nodes of one run share; owned by the runtime, never global.

use std::sync::Arc;

use nanomind_hal::Clock;

use crate::cancellation::Cancellations;
use crate::duty::DutyBoard;
use crate::energy::EnergyBooks;
use crate::governor::Holds;
use crate::jobs::Accelerators;
use crate::readiness::Readiness;
use crate::request::Requests;
use crate::run_log::RunLog;
use crate::signals::Signals;
use crate::standby::Standby;
use crate::turns::Turns;
use crate::weights::WeightStore;

#[derive(Clone)]
pub(crate) struct RunShared {
    pub(crate) clock: Clock,
    pub(crate) requests: Requests,
    pub(crate) cancellations: Cancellations,
    pub(crate) accelerators: Arc<Accelerators>,
    pub(crate) weights: WeightStore,
    pub(crate) turns: Turns,
    pub(crate) signals: Signals,
    pub(crate) readiness: Readiness,
    pub(crate) duty: DutyBoard,
    pub(crate) holds: Holds,
    pub(crate) energy: EnergyBooks,
    pub(crate) standby: Standby,
    pub(crate) log: RunLog,
}
