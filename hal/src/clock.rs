//! The clock: the only place of the project that reads the time or sleeps.

use std::fmt;
use std::ops::Add;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment, in nanoseconds since its [`Clock`] was started. Moments of one clock and its clones compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `nanos` nanoseconds after the start of the clock.
    pub fn from_nanos(nanos: u64) -> Timestamp {
        Timestamp(nanos)
    }

    /// Nanoseconds since the start of the clock.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start of the clock.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 * 1e-9
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, time: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos(time)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} s", self.as_secs_f64())
    }
}

/// What tells the time and sleeps. Clones share one start, so their timestamps compare.
///
/// Sleeping needs a tokio runtime with its time driver on; reading the time needs nothing.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that follows the machine's monotonic clock and starts now.
    pub fn system() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        Timestamp(nanos(self.start.elapsed()))
    }

    /// The date on the wall, for names and logs. It may jump; never measure with it.
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Sleeps for `time` (resolution: 1 ms).
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Stops the calling thread for `time`. For threads that may wait, such as that of a download; never in an actor.
    pub fn sleep_blocking(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Ticks every `period`, the first time at once. A late tick is not made up for: ticks never come in bursts.
    ///
    /// A zero period is taken as 1 ms, the finest that the timer can do.
    pub fn interval(&self, period: Duration) -> Interval {
        let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Interval { ticks, clock: self.clone() }
    }
}

/// A steady tick, from [`Clock::interval`].
#[derive(Debug)]
pub struct Interval {
    ticks: tokio::time::Interval,
    clock: Clock,
}

impl Interval {
    /// Waits for the next tick and says when it came. Cancelling the wait loses no tick.
    pub async fn tick(&mut self) -> Timestamp {
        self.ticks.tick().await;
        self.clock.now()
    }
}

/// Nanoseconds of a duration, clamped to `u64` (584 years).
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    }

    #[test]
    fn clones_share_their_start() {
        let clock = Clock::system();
        let clone = clock.clone();
        let (first, second) = (clock.now(), clone.now());
        assert!(second >= first, "the clone went back from {first} to {second}");
    }

    #[test]
    fn a_timestamp_never_goes_below_zero_or_over_the_end() {
        let (early, late) = (Timestamp::from_nanos(5), Timestamp::from_nanos(8));
        assert_eq!(late.since(early), Duration::from_nanos(3));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp::from_nanos(u64::MAX) + Duration::from_secs(1), Timestamp::from_nanos(u64::MAX));
    }

    #[test]
    fn sleeping_takes_at_least_the_time_asked_for() {
        let clock = Clock::system();
        let before = clock.now();
        runtime().block_on(clock.sleep(Duration::from_millis(3)));
        let slept = clock.now().since(before);
        assert!(slept >= Duration::from_millis(3), "slept {slept:?}");
    }

    #[test]
    fn ticks_come_in_order_and_a_zero_period_does_not_panic() {
        let clock = Clock::system();
        let ticks = runtime().block_on(async {
            let mut interval = clock.interval(Duration::ZERO);
            let mut ticks = Vec::new();
            for _ in 0..3 {
                ticks.push(interval.tick().await);
            }
            ticks
        });
        assert!(ticks.is_sorted(), "{ticks:?}");
    }
}
