//! When each frame was handed over, when its answer began and when it was complete.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nanomind::{actors::RequestId, hal::Timestamp};

/// One frame's times and answer.
#[derive(Clone, Debug)]
pub struct Lap {
    /// The picture's file.
    pub file: String,
    /// When it was handed over, before it was even read.
    pub handed_over: Timestamp,
    /// When the first text of its answer came.
    pub first: Option<Timestamp>,
    /// When its answer was complete.
    pub done: Option<Timestamp>,
    /// The answer so far.
    pub text: String,
}

/// The laps of a run by request, shared by the node that begins them and the one that ends them.
#[derive(Clone, Default)]
pub struct Stopwatch(Arc<Mutex<BTreeMap<RequestId, Lap>>>);

impl Stopwatch {
    fn laps(&self) -> MutexGuard<'_, BTreeMap<RequestId, Lap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame is handed over.
    pub fn begin(&self, request: RequestId, file: String, now: Timestamp) {
        let lap = Lap { file, handed_over: now, first: None, done: None, text: String::new() };
        self.laps().insert(request, lap);
    }

    /// A piece of its answer came.
    pub fn hear(&self, request: RequestId, piece: &str, last: bool, now: Timestamp) {
        let mut laps = self.laps();
        let Some(lap) = laps.get_mut(&request) else { return };
        lap.text.push_str(piece);
        if !lap.text.trim().is_empty() {
            lap.first.get_or_insert(now);
        }
        if last {
            lap.done = Some(now);
        }
    }

    /// All laps in the order in which their frames were handed over.
    pub fn take(&self) -> Vec<Lap> {
        std::mem::take(&mut *self.laps()).into_values().collect()
    }
}
