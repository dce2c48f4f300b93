//! Backoff: a lane whose workers lose their cores to other processes computes alone for a while.
//!
//! A worker that is preempted in the middle of a task keeps its caller waiting for a scheduler's slice, some thousand
//! times longer than the call. Beside busy neighbours two threads would so be slower than one. No result depends on how
//! many threads computed it, so nobody sees the difference.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Timestamp;

/// A caller that waits less than this for its workers is not worth a thought: they may just have had the longer tasks.
const STALL: Duration = Duration::from_micros(500);

/// The first time alone, which doubles with each stall that follows soon …
const SHORTEST: Duration = Duration::from_millis(2);

/// … up to this: one stall in so long costs a percent or two.
const LONGEST: Duration = Duration::from_millis(250);

/// Stalls are forgotten after as long without one as the lane was alone, and not before this: a neighbour and a worker
/// that share a core take turns of a few milliseconds, and a turn of the worker is no sign that the neighbour has gone.
const QUIET: Duration = Duration::from_millis(50);

/// Since when, and for how long, a lane computes alone.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    until: Cell<Timestamp>,
    span: Cell<Duration>,
}

impl Backoff {
    /// Whether the lane should compute alone at `now`.
    pub(super) fn is_alone(&self, now: Timestamp) -> bool {
        now < self.until.get()
    }

    /// Judges a call that ended at `now`: its caller computed for `own` and then waited for the workers for `waited`.
    pub(super) fn judge(&self, now: Timestamp, own: Duration, waited: Duration) {
        if waited > STALL && waited > 2 * own {
            let span = (2 * self.span.get()).clamp(SHORTEST, LONGEST);
            self.span.set(span);
            self.until.set(now + span);
        } else if now.since(self.until.get()) > self.span.get().max(QUIET) {
            // The neighbours have gone.
            self.span.set(Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    const OWN: Duration = Duration::from_micros(20);
    const STALLED: Duration = Duration::from_millis(4);

    #[test]
    fn a_stall_sends_the_lane_alone_and_more_stalls_for_longer() {
        let backoff = Backoff::default();
        assert!(!backoff.is_alone(at_ms(10)));
        backoff.judge(at_ms(10), OWN, STALLED);
        assert!(backoff.is_alone(at_ms(11)) && !backoff.is_alone(at_ms(12)));
        backoff.judge(at_ms(13), OWN, STALLED);
        assert!(backoff.is_alone(at_ms(16)) && !backoff.is_alone(at_ms(17)));
        for _ in 0..20 {
            backoff.judge(at_ms(20), OWN, STALLED);
        }
        assert!(backoff.is_alone(at_ms(269)) && !backoff.is_alone(at_ms(270)), "never longer than {LONGEST:?}");
    }

    #[test]
    fn a_neighbour_that_takes_turns_with_a_worker_is_not_forgotten_in_the_workers_turn() {
        let backoff = Backoff::default();
        let mut now = 10;
        for _ in 0..6 {
            backoff.judge(at_ms(now), OWN, STALLED);
            while backoff.is_alone(at_ms(now)) {
                now += 1;
            }
            // A turn of the worker, longer than the first times alone, and then one of the neighbour.
            for _ in 0..8 {
                backoff.judge(at_ms(now), OWN, Duration::ZERO);
                now += 1;
            }
        }
        backoff.judge(at_ms(now), OWN, STALLED);
        assert!(backoff.is_alone(at_ms(now + 127)), "alone for ever longer");
    }

    #[test]
    fn a_long_quiet_time_forgets_the_backoff() {
        let backoff = Backoff::default();
        for _ in 0..4 {
            backoff.judge(at_ms(10), OWN, STALLED);
        }
        assert!(backoff.is_alone(at_ms(25)));
        backoff.judge(at_ms(90), OWN, Duration::ZERO);
        backoff.judge(at_ms(91), OWN, STALLED);
        assert!(!backoff.is_alone(at_ms(93)), "begins with the shortest again");
    }

    #[test]
    fn long_tasks_of_the_workers_are_no_stall() {
        let backoff = Backoff::default();
        backoff.judge(at_ms(10), Duration::from_millis(5), Duration::from_millis(6));
        assert!(!backoff.is_alone(at_ms(10)));
    }
}
