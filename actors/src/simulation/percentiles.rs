//! Percentiles of how long things took.

use std::time::Duration;

use serde::Serialize;

/// How long something took, over all times that it happened; milliseconds.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub struct Percentiles {
    /// How often it happened.
    pub count: u64,
    /// Half of the times it took no longer.
    pub p50_ms: f64,
    /// Nine times in ten it took no longer.
    pub p90_ms: f64,
    /// 99 times in a hundred it took no longer.
    pub p99_ms: f64,
    /// The longest that it took.
    pub max_ms: f64,
}

impl Percentiles {
    /// Those of these times; nothing where there are none.
    pub fn of(mut times: Vec<Duration>) -> Option<Percentiles> {
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        // The nearest rank: a time that was really taken.
        let at = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times[rank.saturating_sub(1).min(last)].as_secs_f64() * 1e3
        };
        let count = times.len() as u64;
        Some(Percentiles { count, p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_taken() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let percentiles = Percentiles::of(times).unwrap();
        let Percentiles { count, p50_ms, p90_ms, p99_ms, max_ms } = percentiles;
        assert_eq!((count, p50_ms, p90_ms, p99_ms, max_ms), (200, 100.0, 180.0, 198.0, 200.0));
        let one = Percentiles::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((one.p50_ms, one.p99_ms), (7.0, 7.0));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }
}
