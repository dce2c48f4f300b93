//! The clock: the only place of the project that reads the time or sleeps. It is the machine's, or a virtual one.
//!
//! Virtual time stands on tokio's paused clock, which leaps to the next timer whenever every task waits. That clock's
//! timers count milliseconds, so one of its milliseconds stands for one virtual nanosecond and nothing is rounded.

use std::fmt;
use std::io;
use std::ops::Add;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::runtime::{self, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant as TokioInstant, Sleep};

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
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant },
    Virtual(VirtualTime),
}

impl Clock {
    /// A clock that follows the machine's monotonic clock and starts now.
    pub fn system() -> Clock {
        Clock { source: Source::System { start: Instant::now() } }
    }

    /// A virtual clock that starts at `wall`, and the runtime that moves it: all that is to live in virtual time runs
    /// there, on the one thread that drives the runtime. Time stands still while any task can go on; when all of them
    /// wait, it leaps to what the first of them sleeps for. So a run takes the same course each time, to the
    /// nanosecond, and takes no longer than its computing. What runs on other threads is not waited for.
    ///
    /// # Errors
    /// The operating system refuses what a runtime needs.
    pub fn simulated(wall: SystemTime) -> io::Result<(Clock, Runtime)> {
        let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let handle = runtime.handle().clone();
        let start = {
            let _inside = handle.enter();
            TokioInstant::now()
        };
        Ok((Clock { source: Source::Virtual(VirtualTime { runtime: handle, start, wall }) }, runtime))
    }

    /// Whether it is a virtual one.
    pub fn is_virtual(&self) -> bool {
        matches!(self.source, Source::Virtual(_))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System { start } => Timestamp(nanos(start.elapsed())),
            Source::Virtual(time) => time.now(),
        }
    }

    /// The date on the wall, for names and logs. It may jump; never measure with it. A virtual clock's date is that of
    /// its start and what has passed since.
    pub fn wall(&self) -> SystemTime {
        match &self.source {
            Source::System { .. } => SystemTime::now(),
            Source::Virtual(time) => time.wall + Duration::from_nanos(self.now().0),
        }
    }

    /// Sleeps for `time` (resolution: 1 ms; of a virtual clock, 1 ns).
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// Sleeps until it is `then`; not at all if that is past.
    pub async fn sleep_until(&self, then: Timestamp) {
        let sleep = match &self.source {
            // A moment that the machine's clock cannot tell is too far off to come.
            Source::System { start } => match start.checked_add(Duration::from_nanos(then.0)) {
                Some(then) => tokio::time::sleep_until(then.into()),
                None => return std::future::pending().await,
            },
            Source::Virtual(time) => time.sleep_until(then),
        };
        sleep.await;
    }

    /// Waits for `work`, but no longer than `time`. Work that is ready at that very moment counts as done.
    ///
    /// # Errors
    /// The time is up; the work is dropped.
    pub async fn timeout<F: Future>(&self, time: Duration, work: F) -> Result<F::Output, TimedOut> {
        tokio::select! {
            biased;
            output = work => Ok(output),
            () = self.sleep(time) => Err(TimedOut { after: time }),
        }
    }

    /// Stops the calling thread for `time`. For threads that may wait, such as that of a download; never in an actor.
    /// Who blocks a thread waits for the world outside, so this is the machine's time even where the clock is virtual.
    pub fn sleep_blocking(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Ticks every `period`, the first time at once. A late tick is not made up for: ticks never come in bursts.
    ///
    /// A zero period is taken as 1 ms, the finest that the machine's timer can do.
    pub fn interval(&self, period: Duration) -> Interval {
        let period = if period.is_zero() { FINEST } else { period };
        Interval { next: self.now(), period, clock: self.clone() }
    }

    /// Has the runtime of a virtual clock run a task; `None` where the clock is the machine's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        match &self.source {
            Source::System { .. } => None,
            Source::Virtual(time) => Some(time.runtime.spawn(task)),
        }
    }
}

/// What the machine's timers can do.
const FINEST: Duration = Duration::from_millis(1);

/// How late a tick may come and still be followed in step.
const IN_STEP: Duration = Duration::from_millis(5);

/// A paused runtime's time, a millisecond of it read as a nanosecond.
#[derive(Clone, Debug)]
struct VirtualTime {
    runtime: Handle,
    start: TokioInstant,
    wall: SystemTime,
}

impl VirtualTime {
    /// Outside of its runtime tokio would tell the machine's time, hence the handle.
    fn now(&self) -> Timestamp {
        let _inside = self.runtime.enter();
        let passed = TokioInstant::now().duration_since(self.start).as_millis();
        Timestamp(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, then: Timestamp) -> Sleep {
        let _inside = self.runtime.enter();
        // The start plus any `u64` of milliseconds is less than what an instant can hold.
        tokio::time::sleep_until(self.start + Duration::from_millis(then.0))
    }
}

/// The time was up before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not done within {after:?}")]
pub struct TimedOut {
    /// How long it was waited for.
    pub after: Duration,
}

/// A steady tick, from [`Clock::interval`].
#[derive(Debug)]
pub struct Interval {
    next: Timestamp,
    period: Duration,
    clock: Clock,
}

impl Interval {
    /// Waits for the next tick and says when it came. Cancelling the wait loses no tick.
    pub async fn tick(&mut self) -> Timestamp {
        let due = self.next;
        self.clock.sleep_until(due).await;
        let now = self.clock.now();
        let late = now.since(due) > IN_STEP;
        self.next = if late { now } else { due } + self.period;
        now
    }
}

/// Nanoseconds of a duration, clamped to `u64` (584 years).
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
