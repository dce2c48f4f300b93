//! Duty: what the governor asks of every node beside where to work, and the board on which the nodes read it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::governor::Mode;

/// What the power mode comes to for the nodes. The governor posts it; sensors pace themselves by it, bricks keep or
/// release their weights by it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Duty {
    /// The power mode that it follows from.
    pub mode: Mode,
    /// The share of its own frame rate that a sensor of a stream keeps to, above 0 and up to 1: α in balanced mode.
    pub frame_rate: f64,
    /// The share of time that work on a stream may take, above 0 and up to 1; what a person waits for is not held back.
    pub working_share: f64,
    /// Which frames of a stream are worth looking at.
    pub frames: Frames,
    /// How long a brick keeps its weights when it has nothing to do.
    pub weights: Keep,
    /// Whether bricks take turns: each loads, executes and releases before the next one loads (On-Demand Cascade).
    pub in_turn: bool,
    /// Whether the device may stand by on one core while there is nothing to do.
    pub standby: bool,
}

/// Which frames of a stream a sensor passes on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    /// Every one.
    #[default]
    All,
    /// Those in which something has moved since the last one that was passed on.
    Moving,
}

/// How long weights stay after the work that needed them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// As long as the node lives.
    #[default]
    Always,
    /// As long as the next work comes within this time; zero: they go as soon as the work is done.
    For(Duration),
}

impl Default for Duty {
    /// Full work.
    fn default() -> Duty {
        Duty {
            mode: Mode::Performance,
            frame_rate: 1.0,
            working_share: 1.0,
            frames: Frames::All,
            weights: Keep::Always,
            in_turn: false,
            standby: false,
        }
    }
}

impl fmt::Display for Duty {
    /// `frames 40 % (moving), work 100 %, weights kept 3.0 s, in turn, standby`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moving = if self.frames == Frames::Moving { " (moving)" } else { "" };
        write!(f, "frames {:.0} %{moving}, work {:.0} %", self.frame_rate * 100.0, self.working_share * 100.0)?;
        match self.weights {
            Keep::Always => f.write_str(", weights kept")?,
            Keep::For(Duration::ZERO) => f.write_str(", weights released")?,
            Keep::For(time) => write!(f, ", weights kept {:.1} s", time.as_secs_f64())?,
        }
        let words = [(self.in_turn, ", in turn"), (self.standby, ", standby")];
        words.iter().filter(|(is, _)| *is).try_for_each(|(_, word)| f.write_str(word))
    }
}

/// Where the governor posts the duty and nodes read it. Clones are the same board.
#[derive(Clone, Debug)]
pub struct DutyBoard {
    posted: watch::Sender<Duty>,
}

impl Default for DutyBoard {
    fn default() -> DutyBoard {
        DutyBoard { posted: watch::Sender::new(Duty::default()) }
    }
}

impl DutyBoard {
    /// Posts another duty. One that is posted already wakes nobody.
    pub fn post(&self, duty: Duty) {
        self.posted.send_if_modified(|posted| std::mem::replace(posted, duty) != duty);
    }

    /// What is posted now.
    pub fn duty(&self) -> Duty {
        *self.posted.borrow()
    }

    /// What is posted, and every change of it.
    pub(crate) fn watch(&self) -> watch::Receiver<Duty> {
        self.posted.subscribe()
    }

    /// Waits until another duty is posted than this one.
    pub async fn changed_from(&self, duty: Duty) -> Duty {
        let mut posted = self.posted.subscribe();
        // The board holds the sender, so waiting cannot fail while it is borrowed.
        match posted.wait_for(|posted| *posted != duty).await {
            Ok(posted) => *posted,
            Err(_) => duty,
        }
    }
}
