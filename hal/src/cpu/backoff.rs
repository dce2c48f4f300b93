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
        } else if now.since(self.until.get()) > self.span.get() {
            // As long without a stall as it was alone: the neighbours have gone.
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
    fn a_quiet_time_as_long_as_the_backoff_forgets_it() {
        let backoff = Backoff::default();
        for _ in 0..4 {
            backoff.judge(at_ms(10), OWN, STALLED);
        }
        assert!(backoff.is_alone(at_ms(25)));
        backoff.judge(at_ms(60), OWN, Duration::ZERO);
        backoff.judge(at_ms(61), OWN, STALLED);
        assert!(!backoff.is_alone(at_ms(63)), "begins with the shortest again");
    }

    #[test]
    fn long_tasks_of_the_workers_are_no_stall() {
        let backoff = Backoff::default();
        backoff.judge(at_ms(10), Duration::from_millis(5), Duration::from_millis(6));
        assert!(!backoff.is_alone(at_ms(10)));
    }
}
