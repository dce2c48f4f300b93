//! The timetable of one sensor: what a scenario has it send, drawn from a seed before anything runs.
//!
//! Every sensor draws from a stream of its own, so that a further sensor, or another policy, changes nothing of what the
//! others see.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::scenario::{Arrival, DAY, Moving, Question, Rate, Scenario};

/// The random numbers of one purpose: those of another one do not change them.
pub(super) fn stream(seed: u64, purpose: &str, number: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // FNV-1a: any hash that is the same everywhere does.
    let bytes = purpose.bytes().chain(number.to_le_bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    random.set_stream(hash);
    random
}

/// From 0 up to, but without, 1.
fn fraction(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// One of the whole numbers from `least` to `most`, each as likely.
pub(super) fn between(random: &mut ChaCha8Rng, least: u64, most: u64) -> u64 {
    let numbers = (most.saturating_sub(least)).saturating_add(1) as f64;
    least + ((fraction(random) * numbers) as u64).min(most.saturating_sub(least))
}

/// The questions that are put to the sensor `node`, in order.
pub(crate) fn questions(scenario: &Scenario, seed: u64, node: &str) -> Vec<Question> {
    if let Some(recorded) = recorded(scenario, node) {
        let question = |(time, what)| match what {
            Arrival::Question { tokens, answer } => Some(Question { time, tokens, answer }),
            Arrival::Frame { .. } => None,
        };
        return recorded.filter_map(question).collect();
    }
    let prompts = &scenario.prompts;
    let mut random = stream(seed, "questions", number_of(node));
    let mut all = prompts.at.clone();
    for time in by_chance(scenario, &prompts.by_hour, &mut random) {
        let tokens = between(&mut random, (*prompts.tokens.start()).into(), (*prompts.tokens.end()).into());
        let answer = between(&mut random, (*prompts.answers.start()).into(), (*prompts.answers.end()).into());
        // Both lie between two numbers of 32 bits.
        all.push(Question { time, tokens: tokens as u32, answer: answer as u32 });
    }
    all.sort_by_key(|question| question.time);
    all
}

/// When something moves before the camera `node`: spans that neither touch nor overlap, in order.
pub(crate) fn motion(scenario: &Scenario, seed: u64, node: &str) -> Vec<Moving> {
    let motion = &scenario.motion;
    let mut random = stream(seed, "motion", number_of(node));
    let mut all = motion.at.clone();
    let (least, most) = (motion.lasts.start().as_millis() as u64, motion.lasts.end().as_millis() as u64);
    for time in by_chance(scenario, &motion.by_hour, &mut random) {
        all.push(Moving { time, lasts: Duration::from_millis(between(&mut random, least, most)) });
    }
    all.sort_by_key(|moving| moving.time);
    let mut merged: Vec<Moving> = Vec::with_capacity(all.len());
    for next in all {
        match merged.last_mut() {
            Some(last) if last.time + last.lasts >= next.time => {
                last.lasts = last.lasts.max(next.time + next.lasts - last.time);
            }
            _ => merged.push(next),
        }
    }
    merged
}

/// The frames that a recording has the camera `node` send, and whether something moves in each; `None` where none says.
pub(super) fn frames(scenario: &Scenario, node: &str) -> Option<Vec<(Duration, bool)>> {
    let frame = |(time, what)| match what {
        Arrival::Frame { moving } => Some((time, moving)),
        Arrival::Question { .. } => None,
    };
    recorded(scenario, node).map(|recorded| recorded.filter_map(frame).collect())
}

/// What was recorded of a sensor, if anything was.
fn recorded<'a>(scenario: &'a Scenario, node: &'a str) -> Option<impl Iterator<Item = (Duration, Arrival)> + 'a> {
    let mut of_node = scenario.recorded.iter().filter(move |recorded| recorded.sensor == node).peekable();
    of_node.peek()?;
    Some(of_node.map(|recorded| (recorded.time, recorded.what)))
}

/// A number that stands for a name.
fn number_of(name: &str) -> u64 {
    name.bytes().fold(17, |number: u64, byte| number.wrapping_mul(31).wrapping_add(byte.into()))
}

/// Moments of a Poisson process whose rate goes by the time of day, in order. Candidates come at the highest rate, and
/// each is kept with the share that its own moment's rate has of that.
fn by_chance(scenario: &Scenario, rates: &[Rate], random: &mut ChaCha8Rng) -> Vec<Duration> {
    let highest: f64 = rates.iter().map(|rate| rate.per_hour).sum();
    let mut moments = Vec::new();
    if highest <= 0.0 {
        return moments;
    }
    let end = scenario.lasts.as_secs_f64();
    let mut at = 0.0;
    loop {
        at -= (1.0 - fraction(random)).ln() * 3600.0 / highest;
        let kept = fraction(random) * highest;
        if at >= end {
            return moments;
        }
        // Whole milliseconds: what a person reads in a report is what was simulated.
        let moment = Duration::from_millis((at * 1e3) as u64);
        if kept < rate_at(scenario, rates, moment) {
            moments.push(moment);
        }
    }
}

/// The rate at a moment of the scenario, in events an hour.
fn rate_at(scenario: &Scenario, rates: &[Rate], moment: Duration) -> f64 {
    let since_midnight = (scenario.begins + moment).as_millis() % DAY.as_millis();
    let covers = |rate: &&Rate| {
        let (from, to) = (rate.from.as_millis(), rate.to.as_millis());
        match from < to {
            true => (from..to).contains(&since_midnight),
            false => since_midnight >= from || since_midnight < to,
        }
    };
    rates.iter().filter(covers).map(|rate| rate.per_hour).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour_of(time: Duration) -> u64 {
        ((Scenario::day().begins + time).as_secs() / 3600) % 24
    }

    #[test]
    fn a_seed_gives_the_same_day_each_time_and_another_one_another_day() {
        let day = Scenario::day();
        assert_eq!(questions(&day, 7, "question"), questions(&day, 7, "question"));
        assert_ne!(questions(&day, 7, "question"), questions(&day, 8, "question"));
        assert_ne!(questions(&day, 7, "question"), questions(&day, 7, "other"), "two people ask apart");
        assert_eq!(motion(&day, 7, "camera"), motion(&day, 7, "camera"));
    }

    #[test]
    fn the_stated_day_has_as_many_questions_as_it_says_at_the_hours_that_it_says() {
        let day = Scenario::day();
        let all: Vec<Question> = (0..200).flat_map(|seed| questions(&day, seed, "question")).collect();
        let a_day = all.len() as f64 / 200.0;
        assert!((a_day - 64.8).abs() < 2.0, "{a_day} questions a day");
        let evening = all.iter().filter(|question| (17..22).contains(&hour_of(question.time))).count() as f64 / 200.0;
        assert!((evening - 35.0).abs() < 1.5, "{evening} questions from 17 to 22");
        assert!(all.iter().all(|one| (8..=24).contains(&one.tokens) && (20..=60).contains(&one.answer)));
        assert!(all.iter().any(|one| one.tokens == 8) && all.iter().any(|one| one.tokens == 24), "both ends come");
    }

    #[test]
    fn motion_that_overlaps_is_one() {
        let second = Duration::from_secs;
        let moving = |time, lasts| Moving { time: second(time), lasts: second(lasts) };
        let mut day = Scenario::default();
        day.motion.at = vec![moving(10, 5), moving(12, 10), moving(30, 1)];
        assert_eq!(motion(&day, 1, "camera"), [moving(10, 12), moving(30, 1)]);
    }

    #[test]
    fn a_recording_takes_the_place_of_chance_for_its_sensor_only() {
        use super::super::scenario::Recorded;
        let mut day = Scenario::day();
        let time = Duration::from_secs(3);
        let question = Recorded { sensor: "a".into(), time, what: Arrival::Question { tokens: 5, answer: 9 } };
        day.recorded.push(question);
        assert_eq!(questions(&day, 7, "a"), [Question { time, tokens: 5, answer: 9 }]);
        assert_eq!(questions(&day, 7, "b"), questions(&Scenario::day(), 7, "b"));
    }
}
