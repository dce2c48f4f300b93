//! Amounts of energy, with what is known of how they came about.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Energy in whole millionths of a joule: sums of it are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MicroJoules(u64);

impl MicroJoules {
    /// No energy.
    pub const ZERO: MicroJoules = MicroJoules(0);

    /// So many millionths of a joule.
    pub const fn new(microjoules: u64) -> MicroJoules {
        MicroJoules(microjoules)
    }

    /// The nearest to so many joules; zero for less than none, and the most there is for more than that.
    pub fn from_joules(joules: f64) -> MicroJoules {
        // A cast takes the nearest bound for what lies outside, and zero for what is no number.
        MicroJoules((joules * 1e6).round() as u64)
    }

    /// The nearest to so many watt-hours; see [`MicroJoules::from_joules`].
    pub fn from_wh(wh: f64) -> MicroJoules {
        MicroJoules::from_joules(wh * 3_600.0)
    }

    /// Millionths of a joule.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Joules.
    pub fn joules(self) -> f64 {
        self.0 as f64 * 1e-6
    }

    /// Watt-hours.
    pub fn wh(self) -> f64 {
        self.joules() / 3_600.0
    }

    /// The mean power if it took this long; `None` where it took no time.
    pub fn over(self, time: Duration) -> Option<f64> {
        (!time.is_zero()).then(|| self.joules() / time.as_secs_f64())
    }

    /// What is left without `other`; none where that is more.
    pub fn saturating_sub(self, other: MicroJoules) -> MicroJoules {
        MicroJoules(self.0.saturating_sub(other.0))
    }
}

impl Add for MicroJoules {
    type Output = MicroJoules;

    fn add(self, other: MicroJoules) -> MicroJoules {
        MicroJoules(self.0.saturating_add(other.0))
    }
}

impl AddAssign for MicroJoules {
    fn add_assign(&mut self, other: MicroJoules) {
        *self = *self + other;
    }
}

impl Sum for MicroJoules {
    fn sum<I: Iterator<Item = MicroJoules>>(amounts: I) -> MicroJoules {
        amounts.fold(MicroJoules::ZERO, Add::add)
    }
}

impl fmt::Display for MicroJoules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000 => write!(f, "{} µJ", self.0),
            1_000..1_000_000 => write!(f, "{:.3} mJ", self.0 as f64 * 1e-3),
            1_000_000..3_600_000_000 => write!(f, "{:.3} J", self.joules()),
            _ => write!(f, "{:.3} Wh", self.wh()),
        }
    }
}

/// An energy figure and how it came about. What was not measured and cannot be estimated is no zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Energy {
    /// A meter or the battery said so.
    Measured(MicroJoules),
    /// A model says so, or it is a share of what was measured that a model cut.
    Estimated(MicroJoules),
    /// Nothing is known.
    Unmeasured,
}

impl Energy {
    /// The amount, where there is one.
    pub fn amount(self) -> Option<MicroJoules> {
        match self {
            Energy::Measured(amount) | Energy::Estimated(amount) => Some(amount),
            Energy::Unmeasured => None,
        }
    }

    /// `measured`, `estimated` or `unmeasured`.
    pub fn label(self) -> &'static str {
        match self {
            Energy::Measured(_) => "measured",
            Energy::Estimated(_) => "estimated",
            Energy::Unmeasured => "unmeasured",
        }
    }
}

impl fmt::Display for Energy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount() {
            Some(amount) => write!(f, "{amount} ({})", self.label()),
            None => f.write_str(self.label()),
        }
    }
}

/// Power in whole millionths of a watt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MicroWatts(pub(super) u64);

impl MicroWatts {
    pub(super) fn from_watts(watts: f64) -> MicroWatts {
        MicroWatts((watts * 1e6).round() as u64)
    }

    /// What it comes to over a time, exactly.
    pub(super) fn over(self, time: Duration) -> FemtoJoules {
        FemtoJoules(u128::from(self.0).saturating_mul(time.as_nanos()))
    }
}

/// Energy to the product of a millionth of a watt and a nanosecond: nothing is rounded before a whole microjoule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FemtoJoules(pub(super) u128);

impl FemtoJoules {
    const IN_A_MICROJOULE: u128 = 1_000_000_000;

    /// Millionths of a watt times nanoseconds: 10⁻¹⁵ J.
    pub fn get(self) -> u128 {
        self.0
    }

    /// So many microjoules.
    pub fn of(amount: MicroJoules) -> FemtoJoules {
        FemtoJoules(u128::from(amount.0) * FemtoJoules::IN_A_MICROJOULE)
    }

    /// So many equal parts, the first of which bear what cannot be divided: they sum to the whole.
    pub fn split(self, parts: usize) -> impl Iterator<Item = FemtoJoules> {
        let parts = parts as u128;
        (0..parts).map(move |part| FemtoJoules(self.0 / parts + u128::from(part < self.0 % parts)))
    }

    /// Whole microjoules; what is less is left out.
    pub fn whole(self) -> MicroJoules {
        MicroJoules(u64::try_from(self.0 / FemtoJoules::IN_A_MICROJOULE).unwrap_or(u64::MAX))
    }

    /// Takes out the whole microjoules; what is left is less than one.
    pub(super) fn take_whole(&mut self) -> MicroJoules {
        let whole = self.0 / FemtoJoules::IN_A_MICROJOULE;
        self.0 %= FemtoJoules::IN_A_MICROJOULE;
        MicroJoules(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

impl AddAssign for FemtoJoules {
    fn add_assign(&mut self, other: FemtoJoules) {
        self.0 = self.0.saturating_add(other.0);
    }
}
