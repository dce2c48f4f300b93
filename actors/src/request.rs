//! Requests: the ids that sensors mint, and the ledger of those that still wait for their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nanomind_hal::{Clock, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::governor::{DemandObservation, Gaps};
use crate::packet::Packet;
use crate::run_log::{Arrival, Brought, Ended, Record, RunLog};

/// The number of one request; sensors mint them and every packet derived from one keeps it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// What can be cancelled as a whole: one utterance, one connection, one request of a prompt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A request id with the epoch it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Which request.
    pub id: RequestId,
    /// The epoch that cancels it.
    pub epoch: Epoch,
}

/// Who wants a request answered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Somebody who waits for it: a person's question, or one that a graph asks from time to time.
    #[default]
    Asked,
    /// Nobody in particular: a picture of a stream.
    Stream,
}

/// The requests that have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct OpenRequests {
    /// All of them.
    pub(crate) all: usize,
    /// Those that somebody waits for.
    pub(crate) asked: usize,
}

impl OpenRequests {
    fn begin(&mut self, origin: Origin) {
        self.all += 1;
        self.asked += usize::from(origin == Origin::Asked);
    }

    fn end(&mut self, origin: Origin) {
        self.all -= 1;
        self.asked -= usize::from(origin == Origin::Asked);
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "request {}", self.0)
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "epoch {}", self.0)
    }
}

/// Why a request ends without its answer. It travels as a packet, so whoever waits downstream learns of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A node ended with an error while it worked on the request.
    #[error("node `{node}` failed: {cause}")]
    NodeFailed {
        /// The failing node.
        node: Arc<str>,
        /// Its error, as shown to a person.
        cause: String,
    },
    /// A node, or a job that it had submitted, panicked while it worked on the request.
    #[error("node `{node}` panicked: {message}")]
    Panicked {
        /// The panicking node.
        node: Arc<str>,
        /// The panic message.
        message: String,
    },
    /// A node refused the request and goes on with the next one.
    #[error("node `{node}` cannot answer this request: {cause}")]
    Refused {
        /// The refusing node.
        node: Arc<str>,
        /// The reason, as shown to a person.
        cause: String,
    },
    /// An input that joins by request ended before its packet for this request came.
    #[error("node `{node}`: nothing arrived on `{port}` for this request")]
    Unjoined {
        /// The waiting node.
        node: Arc<str>,
        /// The input that stayed empty.
        port: Arc<str>,
    },
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestEnd {
    /// A sink received the whole answer.
    Answered,
    /// A sink received a failure.
    Failed,
    /// Its epoch was cancelled.
    Cancelled,
    /// The packet that would have ended it was dropped by an edge's policy, or met a node that had ended.
    Dropped,
}

/// How many requests ended in which way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Minted by sensors.
    pub minted: u64,
    /// Answered in full.
    pub answered: u64,
    /// Ended by a failure.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Lost to an edge's drop policy, or to a node that had ended.
    pub dropped: u64,
}

#[derive(Debug)]
struct Open {
    /// Whether its sensor has sent something of it.
    arrived: bool,
    epoch: Epoch,
    origin: Origin,
    minted: Timestamp,
    first_output: Option<Timestamp>,
}

/// When an open request was minted, and when the first part of its answer was shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTimes {
    pub(crate) minted: Timestamp,
    pub(crate) first_output: Option<Timestamp>,
}

#[derive(Default, Debug)]
struct Ledger {
    open: BTreeMap<RequestId, Open>,
    counts: RequestCounts,
    first_outputs: Vec<(RequestId, Duration)>,
    /// Since when there has been none open, if one ever was.
    idle_since: Option<Timestamp>,
    gaps: Gaps,
}

/// How many times to first output are kept for the report; later ones only count.
const FIRST_OUTPUTS_KEPT: usize = 1024;

/// The ledger of requests of one run: mints ids and remembers which are still open.
#[derive(Clone, Debug)]
pub struct Requests {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    next_request: AtomicU64,
    next_epoch: AtomicU64,
    ledger: Mutex<Ledger>,
    changed: watch::Sender<u64>,
    log: RunLog,
    open: watch::Sender<OpenRequests>,
}

impl Requests {
    /// An empty ledger that stamps with `clock`.
    pub fn new(clock: Clock) -> Requests {
        Requests::logged(clock, RunLog::default())
    }

    /// The same, telling `log` of arrivals and ends.
    pub(crate) fn logged(clock: Clock, log: RunLog) -> Requests {
        let (changed, _) = watch::channel(0);
        Requests {
            shared: Arc::new(Shared {
                clock,
                next_request: AtomicU64::new(1),
                next_epoch: AtomicU64::new(1),
                ledger: Mutex::default(),
                changed,
                log,
                open: watch::Sender::default(),
            }),
        }
    }

    /// A new request of somebody who waits for the answer, in an epoch of its own.
    pub fn mint(&self) -> Request {
        self.mint_for(Origin::Asked)
    }

    /// A new request in an epoch of its own.
    pub fn mint_for(&self, origin: Origin) -> Request {
        self.open(self.new_epoch(), origin)
    }

    /// A new epoch, for requests that are cancelled together.
    pub fn new_epoch(&self) -> Epoch {
        Epoch(self.shared.next_epoch.fetch_add(1, Ordering::Relaxed))
    }

    /// A new request of somebody who waits for the answer, in an epoch that already exists.
    pub fn mint_in(&self, epoch: Epoch) -> Request {
        self.open(epoch, Origin::Asked)
    }

    fn open(&self, epoch: Epoch, origin: Origin) -> Request {
        let id = RequestId(self.shared.next_request.fetch_add(1, Ordering::Relaxed));
        let minted = self.shared.clock.now();
        let mut ledger = self.shared.ledger.lock();
        ledger.counts.minted += 1;
        if let Some(since) = ledger.idle_since.take() {
            ledger.gaps.add(minted.since(since));
        }
        ledger.open.insert(id, Open { arrived: false, epoch, origin, minted, first_output: None });
        // Under the lock, so that no end is counted before its beginning.
        self.shared.open.send_modify(|open| open.begin(origin));
        Request { id, epoch }
    }

    /// What a request was minted for; `None` when it has ended.
    pub fn origin(&self, id: RequestId) -> Option<Origin> {
        self.shared.ledger.lock().open.get(&id).map(|open| open.origin)
    }

    /// Whether a request has not ended.
    pub fn is_open(&self, id: RequestId) -> bool {
        self.shared.ledger.lock().open.contains_key(&id)
    }

    /// The requests that have not ended, and every change of them.
    pub(crate) fn watch(&self) -> watch::Receiver<OpenRequests> {
        self.shared.open.subscribe()
    }

    /// A sensor sends something of a request: the first time is its arrival.
    pub(crate) fn arrived(&self, sensor: &str, packet: &Packet) {
        if !self.shared.log.is_on() {
            return;
        }
        let at = self.shared.clock.now();
        let mut ledger = self.shared.ledger.lock();
        let open = ledger.open.get_mut(&packet.request);
        if open.is_some_and(|open| !std::mem::replace(&mut open.arrived, true)) {
            drop(ledger);
            let (request, brought) = (packet.request, Brought::by(&packet.payload));
            self.shared.log.write(|| Record::Arrival(Arrival { at, request, sensor: sensor.to_owned(), brought }));
        }
    }

    /// A sink shows the first part of the answer: the time to first output is taken here.
    pub fn first_output(&self, id: RequestId) {
        let now = self.shared.clock.now();
        let mut ledger = self.shared.ledger.lock();
        let Some(open) = ledger.open.get_mut(&id).filter(|open| open.first_output.is_none()) else { return };
        open.first_output = Some(now);
        let waited = now.since(open.minted);
        if ledger.first_outputs.len() < FIRST_OUTPUTS_KEPT {
            ledger.first_outputs.push((id, waited));
        }
    }

    /// The request has ended; only the first end counts.
    pub fn settle(&self, id: RequestId, end: RequestEnd) {
        let mut ledger = self.shared.ledger.lock();
        let Some(Open { origin, .. }) = ledger.open.remove(&id) else { return };
        match end {
            RequestEnd::Answered => ledger.counts.answered += 1,
            RequestEnd::Failed => ledger.counts.failed += 1,
            RequestEnd::Cancelled => ledger.counts.cancelled += 1,
            RequestEnd::Dropped => ledger.counts.dropped += 1,
        }
        if ledger.open.is_empty() {
            ledger.idle_since = Some(self.shared.clock.now());
        }
        self.shared.open.send_modify(|open| open.end(origin));
        drop(ledger);
        let at = self.shared.clock.now();
        self.shared.log.write(|| Record::Ended(Ended { at, request: id, end }));
        self.shared.changed.send_modify(|generation| *generation += 1);
    }

    /// Ends every open request of a cancelled epoch.
    pub(crate) fn settle_epoch(&self, epoch: Epoch) {
        let cancelled: Vec<RequestId> = {
            let ledger = self.shared.ledger.lock();
            ledger.open.iter().filter(|(_, open)| open.epoch == epoch).map(|(id, _)| *id).collect()
        };
        for id in cancelled {
            self.settle(id, RequestEnd::Cancelled);
        }
    }

    /// Waits until the request has ended, in whatever way.
    pub async fn settled(&self, id: RequestId) {
        let mut changed = self.shared.changed.subscribe();
        while self.shared.ledger.lock().open.contains_key(&id) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until a request is open.
    pub async fn opened(&self) {
        let mut open = self.watch();
        // The ledger holds the sender, so waiting cannot fail.
        let _ = open.wait_for(|open| open.all > 0).await;
    }

    /// What is asked of the run, as the governor sees it.
    pub(crate) fn demand(&self) -> DemandObservation {
        let ledger = self.shared.ledger.lock();
        DemandObservation { open: ledger.open.len(), minted: ledger.counts.minted, gaps: ledger.gaps.clone() }
    }

    /// The counts so far.
    pub fn counts(&self) -> RequestCounts {
        self.shared.ledger.lock().counts
    }

    /// The times of a request that has not ended.
    pub(crate) fn times(&self, id: RequestId) -> Option<RequestTimes> {
        let ledger = self.shared.ledger.lock();
        let open = ledger.open.get(&id)?;
        Some(RequestTimes { minted: open.minted, first_output: open.first_output })
    }

    /// How many requests have not ended.
    pub fn open_count(&self) -> usize {
        self.shared.ledger.lock().open.len()
    }

    /// Time from minting to first output, by request (the first 1,024).
    pub fn first_outputs(&self) -> Vec<(RequestId, Duration)> {
        self.shared.ledger.lock().first_outputs.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_settled_request_wakes_whoever_waits_for_it_and_counts_once() {
        let requests = Requests::new(Clock::system());
        let request = requests.mint();
        let waiter = requests.clone();
        let (_, ()) = tokio::join!(waiter.settled(request.id), async {
            requests.settle(request.id, RequestEnd::Answered);
            requests.settle(request.id, RequestEnd::Failed);
        });
        let counts = requests.counts();
        assert_eq!((counts.minted, counts.answered, counts.failed), (1, 1, 0), "{counts:?}");
    }

    #[test]
    fn cancelling_an_epoch_ends_its_requests_only() {
        let requests = Requests::new(Clock::system());
        let first = requests.mint();
        let sibling = requests.mint_in(first.epoch);
        let other = requests.mint();
        requests.settle_epoch(first.epoch);
        assert_eq!(requests.counts().cancelled, 2, "{first:?} and {sibling:?} share an epoch, {other:?} does not");
        assert_eq!(requests.open_count(), 1);
    }
}
