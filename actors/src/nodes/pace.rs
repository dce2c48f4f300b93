//! The pace of a stream: when its next frame is due, by its own field and by the duty of the moment.

use std::time::Duration;

use nanomind_hal::{Clock, Timestamp};

use crate::duty::{Duty, DutyBoard};
use crate::governor::Mode;
use crate::node::NodeContext;

/// How late a frame may come and the next ones still be counted from when it was due.
const IN_STEP: Duration = Duration::from_millis(5);

/// The least share of its own rate that a stream keeps to, so that no duty stops it.
const LOWEST_RATE: f64 = 1e-4;

/// In power-saver a stream in which nothing moves is looked at no more often than this.
const LOOK_IN_STANDBY: Duration = Duration::from_secs(1);

/// When frames are due: at full duty one each `every`, or with zero one after the other; at less duty as much less often.
pub(crate) struct Pace {
    every: Duration,
    /// When the last frame was due; none before the first, which is due at once.
    last: Option<Timestamp>,
    /// Whether nothing moved in the last frame.
    still: bool,
}

impl Pace {
    pub(crate) fn new(every: Duration) -> Pace {
        Pace { every, last: None, still: false }
    }

    /// Says whether something moved in the last frame.
    pub(crate) fn moved(&mut self, moved: bool) {
        self.still = !moved;
    }

    /// Waits until the next frame is due. Another duty takes effect at once, however long the wait was to be.
    pub(crate) async fn wait(&mut self, context: &NodeContext) {
        self.wait_by(context.clock(), &context.duty).await;
    }

    async fn wait_by(&mut self, clock: &Clock, board: &DutyBoard) {
        let asked = clock.now();
        loop {
            let duty = board.duty();
            let Some(due) = self.due(duty, asked) else { break };
            tokio::select! {
                biased;
                _ = board.changed_from(duty) => {}
                () = clock.sleep_until(due) => {
                    let now = clock.now();
                    let late = now.since(due) > IN_STEP;
                    self.last = Some(if late { now } else { due });
                    return;
                }
            }
        }
        self.last = Some(clock.now());
    }

    /// When the frame that was asked for at `asked` is due; `None`: at once.
    fn due(&self, duty: Duty, asked: Timestamp) -> Option<Timestamp> {
        let last = self.last?;
        let rate = duty.frame_rate.clamp(LOWEST_RATE, 1.0);
        let least = if self.still && duty.mode == Mode::PowerSaver { LOOK_IN_STANDBY } else { Duration::ZERO };
        let period = self.every.div_f64(rate).max(least);
        if !period.is_zero() {
            return Some(last + period);
        }
        // The last frame took until it was asked for the next one; rests fill up what is not the share of work.
        let rest = asked.since(last).mul_f64(1.0 / rate - 1.0);
        (!rest.is_zero()).then(|| asked + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn at_rate(frame_rate: f64) -> Duty {
        Duty { frame_rate, ..Duty::default() }
    }

    /// The moments, in milliseconds, of frames that take `work` each, while the board is changed as `change` says.
    fn moments(every: u64, work: u64, count: usize, change: &[(u64, f64)]) -> Vec<u64> {
        let (clock, runtime) = Clock::simulated(SystemTime::UNIX_EPOCH).expect("a runtime");
        let board = DutyBoard::default();
        let mut pace = Pace::new(Duration::from_millis(every));
        let frames = async {
            let mut moments = Vec::new();
            for _ in 0..count {
                pace.wait_by(&clock, &board).await;
                moments.push(clock.now().as_nanos() / 1_000_000);
                clock.sleep(Duration::from_millis(work)).await;
            }
            moments
        };
        let changes = async {
            for (at, rate) in change {
                clock.sleep_until(Timestamp::from_nanos(at * 1_000_000)).await;
                board.post(at_rate(*rate));
            }
        };
        runtime.block_on(async { tokio::join!(frames, changes).0 })
    }

    #[test]
    fn a_stream_keeps_its_own_pace_and_a_share_of_it_at_less_duty() {
        assert_eq!(moments(100, 30, 4, &[]), [0, 100, 200, 300]);
        assert_eq!(moments(100, 30, 4, &[(0, 0.5)]), [0, 200, 400, 600]);
        assert_eq!(moments(100, 250, 3, &[]), [0, 250, 500], "what comes late is not made up for");
    }

    #[test]
    fn another_duty_counts_at_once_and_not_after_the_sleep_that_was_begun() {
        assert_eq!(moments(1_000, 1, 3, &[(0, 0.001), (2_500, 1.0)]), [0, 2_500, 3_500]);
        assert_eq!(moments(100, 1, 3, &[(150, 0.1)]), [0, 100, 1_100]);
    }

    #[test]
    fn in_power_saver_a_stream_is_looked_at_now_and_then_until_something_moves() {
        let (clock, runtime) = Clock::simulated(SystemTime::UNIX_EPOCH).expect("a runtime");
        let board = DutyBoard::default();
        board.post(Duty { mode: Mode::PowerSaver, ..Duty::default() });
        let moments = runtime.block_on(async {
            let (mut pace, mut moments) = (Pace::new(Duration::from_millis(40)), Vec::new());
            for moves in [true, false, false, true, true] {
                pace.wait_by(&clock, &board).await;
                moments.push(clock.now().as_nanos() / 1_000_000);
                pace.moved(moves);
            }
            moments
        });
        assert_eq!(moments, [0, 40, 1_040, 2_040, 2_080]);
    }

    #[test]
    fn a_stream_as_fast_as_it_is_taken_rests_for_what_is_not_its_share() {
        assert_eq!(moments(0, 40, 3, &[]), [0, 40, 80]);
        assert_eq!(moments(0, 40, 3, &[(0, 0.25)]), [0, 160, 320]);
    }
}
