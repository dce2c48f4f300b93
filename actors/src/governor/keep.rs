//! How long weights are worth keeping: the energy of loading them again against that of staying awake for them.
//!
//! It is the problem of renting or buying skis. With the gaps between requests unknown, keeping weights for exactly as
//! long as loading them would cost never takes more than twice the energy of knowing the future (Karlin, Manasse, Rudolph and
//! Sleator, "Competitive snoopy caching", 1988); with gaps seen, the time that would have been best for those is better
//! (Karlin, Manasse, McGeoch and Owicki, "Competitive randomized algorithms for nonuniform problems", 1990).

use std::time::Duration;

use super::decision::Reason;
use super::observation::{Gaps, Observation};

/// Gaps that weigh less than this in sum say nothing yet.
const ENOUGH_GAPS: f64 = 3.0;
/// Another time must be expected to cost less than this share of the present one to be worth a decision.
const WORTHWHILE: f64 = 0.9;
/// Nothing is kept for longer: a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What keeping and loading weights cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct BreakEven {
    /// Millijoules to load the weights of all nodes where they are.
    reload_mj: f64,
    /// Watts of staying awake beyond standing by.
    awake_w: f64,
}

impl BreakEven {
    /// What it is for this device; `None` where nothing says what it draws, or where staying awake costs nothing.
    pub(super) fn of(seen: &Observation) -> Option<BreakEven> {
        let floor = seen.floor?;
        let awake_w = floor.awake_w - floor.standby_w;
        let loads = seen.nodes.iter().filter_map(|node| node.here()).map(|place| {
            // Whoever loads is awake meanwhile.
            Some(place.load_mj? + awake_w * place.load_ms)
        });
        let reload_mj = loads.sum::<Option<f64>>()?;
        (awake_w > 0.0 && reload_mj.is_finite()).then_some(BreakEven { reload_mj, awake_w })
    }

    /// How long to keep weights after work, given the gaps of late and how long they are kept now.
    pub(super) fn keep(&self, gaps: &Gaps, now: Option<Duration>) -> Duration {
        let even = Duration::from_secs_f64((self.reload_mj * 1e-3 / self.awake_w).min(LONGEST.as_secs_f64()));
        if gaps.iter().map(|(_, weight)| weight).sum::<f64>() < ENOUGH_GAPS {
            let alike = |now: &Duration| now.abs_diff(even) <= even.mul_f64(1.0 - WORTHWHILE);
            return now.filter(alike).unwrap_or(even);
        }
        // The best time is nothing, or just beyond one of the gaps.
        let times = std::iter::once(Duration::ZERO).chain(gaps.iter().map(|(gap, _)| gap.mul_f64(1.5).min(LONGEST)));
        let best = times.min_by(|a, b| self.cost(gaps, *a).total_cmp(&self.cost(gaps, *b))).unwrap_or(even);
        match now {
            Some(now) if self.cost(gaps, best) > self.cost(gaps, now) * WORTHWHILE => now,
            _ => best,
        }
    }

    /// Why weights are kept as long as they are.
    pub(super) fn reason(&self, gaps: &Gaps) -> Reason {
        let (sum, weights) = gaps.iter().fold((0.0, 0.0), |(sum, weights), (gap, weight)| {
            (sum + gap.as_secs_f64() * 1e3 * weight, weights + weight)
        });
        let gap_ms = (weights > 0.0).then(|| sum / weights);
        Reason::BreakEven { reload_mj: self.reload_mj, awake_w: self.awake_w, gap_ms }
    }

    /// What keeping weights for `time` would have cost over those gaps, in millijoules.
    fn cost(&self, gaps: &Gaps, time: Duration) -> f64 {
        let awake_mw = self.awake_w * 1e3;
        let of_one = |gap: Duration| {
            if gap <= time { gap.as_secs_f64() * awake_mw } else { time.as_secs_f64() * awake_mw + self.reload_mj }
        };
        gaps.iter().map(|(gap, weight)| of_one(gap) * weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Loading takes what ten seconds of staying awake take.
    const TEN_SECONDS: BreakEven = BreakEven { reload_mj: 10_000.0, awake_w: 1.0 };

    fn gaps(seconds: &[f64]) -> Gaps {
        let mut gaps = Gaps::default();
        seconds.iter().for_each(|gap| gaps.add(Duration::from_secs_f64(*gap)));
        gaps
    }

    #[test]
    fn with_no_gap_seen_weights_stay_until_loading_would_have_cost_as_much() {
        assert_eq!(TEN_SECONDS.keep(&Gaps::default(), None), Duration::from_secs(10));
    }

    #[test]
    fn short_gaps_keep_weights_and_long_ones_release_them_at_once() {
        assert!(TEN_SECONDS.keep(&gaps(&[2.0; 8]), None) > Duration::from_secs(2));
        assert_eq!(TEN_SECONDS.keep(&gaps(&[600.0; 8]), None), Duration::ZERO);
        let mixed = TEN_SECONDS.keep(&gaps(&[2.0, 2.0, 900.0, 2.0, 2.0, 2.0, 900.0, 2.0, 2.0]), None);
        assert!(mixed > Duration::from_secs(2) && mixed < Duration::from_secs(60), "{mixed:?}");
    }

    proptest! {
        #[test]
        fn over_the_gaps_seen_it_never_costs_more_than_any_fixed_time(
            seconds in proptest::collection::vec(0.01f64..5_000.0, 4..40), other in 0.0f64..10_000.0,
        ) {
            let gaps = gaps(&seconds);
            let kept = TEN_SECONDS.cost(&gaps, TEN_SECONDS.keep(&gaps, None));
            prop_assert!(kept <= TEN_SECONDS.cost(&gaps, Duration::from_secs_f64(other)) * (1.0 + 1e-9));
        }

        #[test]
        fn what_is_kept_now_is_left_only_for_something_clearly_better(
            seconds in proptest::collection::vec(0.01f64..5_000.0, 4..40), now in 0.0f64..10_000.0,
        ) {
            let (gaps, now) = (gaps(&seconds), Duration::from_secs_f64(now));
            let kept = TEN_SECONDS.keep(&gaps, Some(now));
            prop_assert!(kept == now || TEN_SECONDS.cost(&gaps, kept) <= TEN_SECONDS.cost(&gaps, now) * WORTHWHILE);
        }
    }
}
