//! Holds: modes that somebody asks for while they need them, and where the governor hears of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::input::{Hold, HoldId};
use super::mode::Mode;

/// What happened to a hold or to the choice by hand.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum HoldEvent {
    Held(Hold),
    Released(HoldId),
    Chosen(Option<Mode>),
}

/// Where the governor hears of holds.
pub(crate) type HoldEvents = mpsc::UnboundedReceiver<HoldEvent>;

/// A mode that is to be held.
#[derive(Clone, PartialEq, Debug)]
pub struct HoldOrder {
    /// Who asks.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// For what.
    pub mode: Mode,
}

/// Where modes are asked for. Clones are the same; may be sent to other threads.
#[derive(Clone, Debug)]
pub struct Holds {
    next: Arc<AtomicU64>,
    told: mpsc::UnboundedSender<HoldEvent>,
}

impl Holds {
    /// A place to ask, and the end at which the governor hears it.
    pub(crate) fn new() -> (Holds, HoldEvents) {
        let (told, heard) = mpsc::unbounded_channel();
        (Holds { next: Arc::new(AtomicU64::new(1)), told }, heard)
    }

    /// Asks for a mode until the guard is dropped. It overrides what battery and policy say; of several holds the most
    /// frugal counts; heat takes one step off it, and a choice by hand overrides it.
    pub fn hold(&self, owner: impl Into<String>, reason: impl Into<String>, mode: Mode) -> HoldGuard {
        let id = HoldId(self.next.fetch_add(1, Ordering::Relaxed));
        self.tell(HoldEvent::Held(Hold { id, owner: owner.into(), reason: reason.into(), mode }));
        HoldGuard { id, holds: self.clone() }
    }

    /// Chooses a mode by hand, over everything else; `None` gives the choice back to the policy.
    pub fn choose(&self, mode: Option<Mode>) {
        self.tell(HoldEvent::Chosen(mode));
    }

    pub(crate) fn choose_if(&self, mode: Option<Mode>) {
        if mode.is_some() {
            self.choose(mode);
        }
    }

    fn tell(&self, event: HoldEvent) {
        // Where nobody hears it the run is over.
        let _ = self.told.send(event);
    }
}

/// A hold that lasts until this is dropped.
#[derive(Debug)]
#[must_use = "the hold ends when its guard is dropped"]
pub struct HoldGuard {
    id: HoldId,
    holds: Holds,
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.holds.tell(HoldEvent::Released(self.id));
    }
}
