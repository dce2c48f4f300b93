//! A line through what was measured: `measured = a + b · seed`, by least squares that forget.

use std::time::Duration;

/// What a measurement's weight comes to with each later one: about twenty count.
const FADING: f64 = 0.9;
/// How firmly the line is drawn through the origin, as a share of the measurements' own weight: where all seeds are alike
/// nothing else says how much of the time is fixed.
const THROUGH_ORIGIN: f64 = 0.01;
/// Once this many were measured,
const SETTLED: u64 = 4;
/// … one that is further off the line than by this factor counts as this far off: another process took the cores, say.
/// What stays different moves the line all the same.
const MOST_OFF: f64 = 2.0;
/// The shortest time that counts, in seconds: clocks have their grain.
const LEAST_SECONDS: f64 = 1e-7;

/// Weighted sums over pairs of seed and measured time, both in seconds. A pair weighs one over the square of its seed, so
/// that errors relative to the size of a job are made small, and short jobs count as much as long ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    jobs: u64,
    weight: f64,
    seed: f64,
    time: f64,
    seed_seed: f64,
    seed_time: f64,
}

impl Line {
    /// How many were measured.
    pub(super) fn jobs(&self) -> u64 {
        self.jobs
    }

    /// One more measurement.
    pub(super) fn learn(&mut self, seed: f64, ran: Duration) {
        let seed = seed.max(LEAST_SECONDS);
        let mut time = ran.as_secs_f64().max(LEAST_SECONDS);
        if let Some(expected) = self.at(seed).filter(|_| self.jobs >= SETTLED) {
            time = time.clamp(expected / MOST_OFF, expected * MOST_OFF).max(LEAST_SECONDS);
        }
        let weight = 1.0 / (seed * seed);
        let add = |sum: &mut f64, value: f64| *sum = *sum * FADING + weight * value;
        add(&mut self.weight, 1.0);
        add(&mut self.seed, seed);
        add(&mut self.time, time);
        add(&mut self.seed_seed, seed * seed);
        add(&mut self.seed_time, seed * time);
        self.jobs += 1;
    }

    /// The time of a job with this seed; `None` before anything was measured.
    pub(super) fn at(&self, seed: f64) -> Option<f64> {
        let (fixed, slope) = self.fit()?;
        Some(fixed + slope * seed)
    }

    /// Fixed time and slope: neither below 0, since no job takes less for doing more.
    fn fit(&self) -> Option<(f64, f64)> {
        if self.jobs == 0 {
            return None;
        }
        let firm = self.weight * (1.0 + THROUGH_ORIGIN);
        let determinant = firm * self.seed_seed - self.seed * self.seed;
        let fixed = (self.seed_seed * self.time - self.seed * self.seed_time) / determinant;
        let slope = (firm * self.seed_time - self.seed * self.time) / determinant;
        Some(match (fixed, slope) {
            (fixed, slope) if !(fixed.is_finite() && slope.is_finite()) => (self.time / self.weight, 0.0),
            (_, slope) if slope < 0.0 => (self.time / self.weight, 0.0),
            (fixed, _) if fixed < 0.0 => (0.0, self.seed_time / self.seed_seed),
            sound => sound,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_fixed_time_and_a_rate_are_told_apart() {
        let mut line = Line::default();
        for size in (1..=8).cycle().take(40) {
            line.learn(f64::from(size) * 1e-3, seconds(2e-3 + 3e-3 * f64::from(size)));
        }
        let far = line.at(20e-3).expect("a line");
        assert!((far / 62e-3 - 1.0).abs() < 0.02, "{far}");
    }

    #[test]
    fn alike_jobs_make_a_line_through_the_origin() {
        let mut line = Line::default();
        (0..40).for_each(|_| line.learn(2e-3, seconds(5e-3)));
        assert!((line.at(4e-3).expect("a line") / 10e-3 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn one_job_that_was_held_up_moves_little_and_lasting_change_moves_all() {
        let mut line = Line::default();
        (0..40).for_each(|_| line.learn(1e-3, seconds(4e-3)));
        line.learn(1e-3, seconds(4.0));
        assert!(line.at(1e-3).expect("a line") < 4.5e-3);
        (0..150).for_each(|_| line.learn(1e-3, seconds(4.0)));
        assert!((line.at(1e-3).expect("a line") / 4.0 - 1.0).abs() < 0.02);
    }

    proptest! {
        #[test]
        fn whatever_was_measured_a_prediction_is_a_time_that_grows_with_cost(
            jobs in proptest::collection::vec((1e-9f64..1e3, 0.0f64..1e4), 1..60), small in 1e-9f64..1e2, more in 1.0f64..1e3,
        ) {
            let mut line = Line::default();
            jobs.iter().for_each(|(seed, time)| line.learn(*seed, seconds(*time)));
            let (less, more) = (line.at(small).expect("a line"), line.at(small * more).expect("a line"));
            prop_assert!(less.is_finite() && less >= 0.0 && more >= less * (1.0 - 1e-9), "{less} {more}");
        }
    }
}
