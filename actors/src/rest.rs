//! Rest: bricks that work on a stream do nothing for a while, so that the work is no more than its share of their time.

use std::time::Duration;

use nanomind_hal::{Clock, Timestamp};

use crate::duty::DutyBoard;
use crate::request::Requests;
use crate::signals::Signals;

/// The smallest share of its time that a brick may have for a stream, so that no duty stops it.
const SMALLEST_SHARE: f64 = 1e-3;

/// Work on a stream that a node has done, and has not rested from.
#[derive(Clone, Copy)]
pub(crate) struct Rest {
    /// When the work began.
    pub(crate) begun: Timestamp,
    /// How long its jobs ran.
    pub(crate) worked: Duration,
}

impl Rest {
    /// Does nothing for so long that the work was no more than the share that the duty of the moment has for it. Ends
    /// early when somebody waits for an answer of the run, and when the run drains.
    pub(crate) async fn over(self, clock: &Clock, board: &DutyBoard, requests: &Requests, signals: &Signals) {
        let mut open = requests.watch();
        loop {
            let duty = board.duty();
            let until = self.begun + self.worked.div_f64(duty.working_share.clamp(SMALLEST_SHARE, 1.0));
            if open.borrow_and_update().asked > 0 || until <= clock.now() {
                return;
            }
            tokio::select! {
                biased;
                () = signals.draining() => return,
                _ = open.changed() => {}
                _ = board.changed_from(duty) => {}
                () = clock.sleep_until(until) => {}
            }
        }
    }
}
