//! The two signals of a run: drain (start nothing new, finish what is begun) and stop (now).

use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Running,
    Draining,
    Stopping,
}

/// Shared by all nodes of a run and by whoever may end it; may be sent to other threads.
#[derive(Clone, Debug)]
pub(crate) struct Signals(watch::Sender<Phase>);

impl Default for Signals {
    fn default() -> Self {
        Signals(watch::channel(Phase::Running).0)
    }
}

impl Signals {
    /// Sensors end; what is in flight flows out.
    pub(crate) fn drain(&self) {
        self.raise(Phase::Draining);
    }

    /// Everything ends at once.
    pub(crate) fn stop(&self) {
        self.raise(Phase::Stopping);
    }

    /// Whether the run drains or stops.
    pub(crate) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Whether the run stops.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.0.borrow() >= Phase::Stopping
    }

    /// Waits until the run drains or stops.
    pub(crate) async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until the run stops.
    pub(crate) async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    fn raise(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            *current = (*current).max(phase);
            later
        });
    }

    async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.subscribe();
        // An error means that every sender is gone, and with them whoever could raise a signal.
        if receiver.wait_for(|current| *current >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
