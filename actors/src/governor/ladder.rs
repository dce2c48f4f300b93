//! The ladder: what each mode of a policy comes to for the nodes.

use std::time::Duration;

use nanomind_graphs::PowerPolicy;

use super::mode::Mode;
use crate::duty::{Duty, Frames, Keep};

/// A stream never falls below this share of its frame rate: α is 0 where standby begins, and a duty is above 0.
const LEAST_SHARE: f64 = 0.05;
/// While it is hot, α counts at most this.
const HOT_ALPHA: f64 = 0.5;
/// How long an adaptive run keeps weights where nothing says what the device draws, but in power-saver, where it does not.
const KEPT_UNKNOWN: Duration = Duration::from_secs(60);

/// What the duty follows from, beside the mode.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rung {
    pub(super) policy: PowerPolicy,
    pub(super) mode: Mode,
    /// Whether somebody asked for the mode by name, and so for just what it means.
    pub(super) asked: bool,
    /// α by the battery; none where there is none to save.
    pub(super) alpha: Option<f64>,
    pub(super) hot: bool,
    /// How long weights are worth keeping, where that can be told.
    pub(super) keep: Option<Duration>,
}

impl Rung {
    /// The duty of this rung. An adaptive run works in full only where there is nothing to save.
    pub(super) fn duty(&self) -> Duty {
        let saves = self.alpha.is_some() || self.mode != Mode::Performance;
        match self.policy {
            PowerPolicy::Adaptive { .. } if saves && !self.asked => self.by_demand(),
            _ => self.by_rule(),
        }
    }

    /// What frame rate and work are scaled with in balanced mode.
    fn share(&self) -> f64 {
        let alpha = self.alpha.unwrap_or(1.0);
        let alpha = if self.hot { alpha.min(HOT_ALPHA) } else { alpha };
        alpha.max(LEAST_SHARE)
    }

    /// The NANOMIND paper's rule: full parallel work, work scaled by α, On-Demand Cascade.
    fn by_rule(&self) -> Duty {
        let full = Duty { mode: self.mode, ..Duty::default() };
        match self.mode {
            Mode::Performance => full,
            Mode::Balanced => Duty { frame_rate: self.share(), working_share: self.share(), ..full },
            Mode::PowerSaver => Duty {
                frames: Frames::Moving,
                weights: Keep::For(Duration::ZERO),
                in_turn: true,
                standby: true,
                ..full
            },
        }
    }

    /// The same rungs, but for what is asked: work that is due is done at once, so that the device can stand by again.
    fn by_demand(&self) -> Duty {
        let unknown = if self.mode == Mode::PowerSaver { Duration::ZERO } else { KEPT_UNKNOWN };
        let keep = self.keep.unwrap_or(unknown);
        Duty {
            mode: self.mode,
            frame_rate: if self.mode == Mode::Balanced { self.share() } else { 1.0 },
            working_share: 1.0,
            frames: Frames::Moving,
            weights: Keep::For(keep),
            // What is released at once is also loaded one after the other.
            in_turn: self.mode == Mode::PowerSaver && keep.is_zero(),
            standby: true,
        }
    }

    /// How much energy weighs against latency: 0 not at all, 1 energy alone. It grows as α falls.
    pub(super) fn thrift(&self) -> f64 {
        match self.mode {
            Mode::Performance => 0.0,
            Mode::Balanced => 1.0 - self.alpha.unwrap_or(0.5),
            Mode::PowerSaver => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(policy: PowerPolicy, mode: Mode) -> Rung {
        Rung { policy, mode, asked: false, alpha: Some(0.4), hot: false, keep: Some(Duration::from_secs(7)) }
    }

    const ADAPTIVE: PowerPolicy = PowerPolicy::Adaptive { high: 0.5, low: 0.2 };
    const RULE: PowerPolicy = PowerPolicy::AlphaRule { high: 0.5, low: 0.2 };

    #[test]
    fn the_papers_rule_works_in_full_then_by_alpha_then_in_turn() {
        let duty = |mode| rung(RULE, mode).duty();
        assert_eq!(duty(Mode::Performance), Duty::default());
        let balanced = duty(Mode::Balanced);
        assert_eq!((balanced.frame_rate, balanced.working_share, balanced.frames), (0.4, 0.4, Frames::All));
        let cascade = duty(Mode::PowerSaver);
        assert_eq!((cascade.weights, cascade.in_turn, cascade.standby), (Keep::For(Duration::ZERO), true, true));
    }

    #[test]
    fn an_adaptive_run_on_battery_stands_by_in_every_mode_and_in_none_on_a_charger() {
        for mode in Mode::ALL {
            let duty = rung(ADAPTIVE, mode).duty();
            assert!(duty.standby && duty.frames == Frames::Moving, "{duty}");
            assert_eq!(duty.weights, Keep::For(Duration::from_secs(7)));
        }
        let full = rung(ADAPTIVE, Mode::Performance);
        assert_eq!(Rung { alpha: None, ..full }.duty(), Duty::default());
        assert_eq!(Rung { asked: true, ..full }.duty(), Duty::default());
    }

    #[test]
    fn the_most_that_alpha_takes_away_leaves_a_stream_alive() {
        let nearly_empty = Rung { alpha: Some(0.0), ..rung(RULE, Mode::Balanced) };
        assert_eq!(nearly_empty.duty().frame_rate, LEAST_SHARE);
        let hot = Rung { alpha: None, hot: true, ..rung(PowerPolicy::Performance, Mode::Balanced) };
        assert_eq!(hot.duty().frame_rate, HOT_ALPHA);
    }
}
