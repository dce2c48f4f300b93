//! Cancelled epochs: what every pop, job and send asks before it goes on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::request::{Epoch, Requests};

/// At most this many cancelled epochs are remembered; beyond, the oldest is forgotten (its packets left long ago).
const EPOCHS_KEPT: usize = 65_536;

/// The set of cancelled epochs of one run.
#[derive(Clone, Debug)]
pub struct Cancellations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests: Requests,
    epochs: RwLock<BTreeSet<Epoch>>,
    /// Read first: most runs never cancel anything.
    count: AtomicUsize,
    changed: watch::Sender<u64>,
}

impl Cancellations {
    /// Nothing is cancelled yet; cancelled requests are settled in `requests`.
    pub fn new(requests: Requests) -> Cancellations {
        let (changed, _) = watch::channel(0);
        let shared = Shared { requests, epochs: RwLock::default(), count: AtomicUsize::new(0), changed };
        Cancellations { shared: Arc::new(shared) }
    }

    /// Cancels an epoch: from here on its packets are dropped wherever they are met.
    pub fn cancel(&self, epoch: Epoch) {
        let mut epochs = self.shared.epochs.write();
        if !epochs.insert(epoch) {
            return;
        }
        while epochs.len() > EPOCHS_KEPT {
            epochs.pop_first();
        }
        self.shared.count.store(epochs.len(), Ordering::Release);
        drop(epochs);
        self.shared.requests.settle_epoch(epoch);
        self.shared.changed.send_modify(|generation| *generation += 1);
    }

    /// Whether the epoch has been cancelled.
    pub fn is_cancelled(&self, epoch: Epoch) -> bool {
        self.shared.count.load(Ordering::Acquire) > 0 && self.shared.epochs.read().contains(&epoch)
    }

    /// Waits until the epoch is cancelled.
    pub async fn cancelled(&self, epoch: Epoch) {
        let mut changed = self.shared.changed.subscribe();
        while !self.is_cancelled(epoch) {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanomind_hal::Clock;

    #[tokio::test]
    async fn waiting_for_a_cancellation_ends_when_that_epoch_is_cancelled() {
        let requests = Requests::new(Clock::system());
        let cancellations = Cancellations::new(requests.clone());
        let request = requests.mint();
        let ((), ()) = tokio::join!(cancellations.cancelled(request.epoch), async {
            cancellations.cancel(requests.mint().epoch);
            cancellations.cancel(request.epoch);
        });
        assert!(cancellations.is_cancelled(request.epoch));
        assert_eq!(requests.counts().cancelled, 2);
    }
}
