//! The day that is simulated where no scenario is named: stated here, in full, and in the help of `simulate`.

use std::time::Duration;

use super::{DAY, Motion, Prompts, Rate, Scenario};

const fn clock(hour: u64) -> Duration {
    Duration::from_secs(hour * 3600)
}

impl Scenario {
    /// A day at home from eight in the morning on, the battery full and no charger near: some 64 questions of 8 to 24
    /// tokens with answers of 20 to 60, some 120 times something that moves for 5 s to a minute, both more often in the
    /// morning and in the evening, and 22 °C.
    ///
    /// | hours | questions an hour | motions an hour |
    /// |---|---|---|
    /// | 7 to 9 | 6 | 12 |
    /// | 9 to 17 | 2 | 4 |
    /// | 17 to 22 | 7 | 12 |
    /// | 22 to 7 | 0.2 | 0.5 |
    pub fn day() -> Scenario {
        let parts = [(7, 9, 6.0, 12.0), (9, 17, 2.0, 4.0), (17, 22, 7.0, 12.0), (22, 7, 0.2, 0.5)];
        let rate = |from, to, per_hour| Rate { from: clock(from), to: clock(to), per_hour };
        Scenario {
            name: "a day at home".to_owned(),
            begins: clock(8),
            lasts: DAY,
            prompts: Prompts {
                by_hour: parts.iter().map(|&(from, to, questions, _)| rate(from, to, questions)).collect(),
                ..Prompts::default()
            },
            motion: Motion {
                by_hour: parts.iter().map(|&(from, to, _, motions)| rate(from, to, motions)).collect(),
                ..Motion::default()
            },
            ..Scenario::default()
        }
    }
}
