//! Power policies over many days: how long the battery lasts, how much is answered, how long people wait.

use nanomind_graphs::PowerPolicy;
use serde::Serialize;

use super::super::Scenario;
use super::{ASSISTANT, Bench, SuiteError};

/// The thresholds of the paper.
const HIGH: f64 = 0.50;
const LOW: f64 = 0.20;

/// The policies that are compared: ours first, then the paper's rule, then the fixed ones.
pub(super) const POLICIES: [PowerPolicy; 5] = [
    PowerPolicy::Adaptive { high: HIGH, low: LOW },
    PowerPolicy::AlphaRule { high: HIGH, low: LOW },
    PowerPolicy::Performance,
    PowerPolicy::Balanced,
    PowerPolicy::PowerSaver,
];

/// The policies over the same days.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Study {
    /// How many days, each drawn from a seed of its own.
    pub days: u64,
    /// What came of each policy, ours first.
    pub policies: Vec<PolicyResult>,
    /// Ours against each of the others.
    pub against: Vec<Comparison>,
}

/// What came of a policy.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PolicyResult {
    /// The policy.
    pub policy: String,
    /// Hours until the battery was empty, day by day.
    pub hours: Vec<f64>,
    /// Answers in that time, in the mean of the days.
    pub answered: f64,
    /// The share of what was asked in that time that was answered, over all days.
    pub answered_share: f64,
    /// Seconds to the end of an answer, half of the time no longer; in the mean of the days.
    pub p50_s: f64,
    /// The same, nine times in ten.
    pub p90_s: f64,
}

/// Our policy against another one, day by day.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// The other one.
    pub policy: String,
    /// The battery life of ours over that of the other one: the least over the days,
    pub least: f64,
    /// … and the mean.
    pub mean: f64,
    /// Days on which ours answered at least as much of what was asked.
    pub as_much_answered: u64,
}

impl PolicyResult {
    /// The mean battery life, in hours.
    pub fn mean_hours(&self) -> f64 {
        mean(self.hours.iter().copied())
    }

    /// The shortest battery life, in hours.
    pub fn least_hours(&self) -> f64 {
        self.hours.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// One day under one policy.
struct Day {
    hours: f64,
    answered: u64,
    asked: u64,
    p50_s: f64,
    p90_s: f64,
}

impl Study {
    pub(super) fn over(days: u64, bench: &Bench<'_>, step: &mut dyn FnMut()) -> Result<Study, SuiteError> {
        let plan = bench.plan(ASSISTANT, &[])?;
        let mut results: Vec<Vec<Day>> = Vec::new();
        for policy in POLICIES {
            let mut of_policy = Vec::new();
            for seed in 1..=days {
                let report = bench.simulation(Scenario::day(), seed, policy).run(&plan)?;
                let seconds = |of: fn(&super::super::Percentiles) -> f64| {
                    report.end_to_end.as_ref().map_or(0.0, |percentiles| of(percentiles) * 1e-3)
                };
                of_policy.push(Day {
                    hours: report.hours_to_empty().unwrap_or(report.hours),
                    answered: report.requests.answered,
                    asked: report.requests.minted,
                    p50_s: seconds(|percentiles| percentiles.p50_ms),
                    p90_s: seconds(|percentiles| percentiles.p90_ms),
                });
                step();
            }
            results.push(of_policy);
        }
        let policies = POLICIES.iter().zip(&results).map(|(policy, days)| result(*policy, days)).collect();
        let ours = &results[0];
        let against =
            POLICIES.iter().zip(&results).skip(1).map(|(policy, days)| compare(*policy, ours, days)).collect();
        Ok(Study { days, policies, against })
    }
}

fn result(policy: PowerPolicy, days: &[Day]) -> PolicyResult {
    let sum = |of: fn(&Day) -> u64| days.iter().map(of).sum::<u64>() as f64;
    PolicyResult {
        policy: policy.to_string(),
        hours: days.iter().map(|day| day.hours).collect(),
        answered: mean(days.iter().map(|day| day.answered as f64)),
        answered_share: sum(|day| day.answered) / sum(|day| day.asked).max(1.0),
        p50_s: mean(days.iter().map(|day| day.p50_s)),
        p90_s: mean(days.iter().map(|day| day.p90_s)),
    }
}

fn compare(policy: PowerPolicy, ours: &[Day], theirs: &[Day]) -> Comparison {
    let gains = || ours.iter().zip(theirs).map(|(ours, theirs)| ours.hours / theirs.hours);
    let as_much = ours.iter().zip(theirs).filter(|(ours, theirs)| ours.answered >= theirs.answered);
    Comparison {
        policy: policy.to_string(),
        least: gains().fold(f64::INFINITY, f64::min),
        mean: mean(gains()),
        as_much_answered: as_much.count() as u64,
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
