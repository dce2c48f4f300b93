//! What came of the variants: medians over their runs, and how they compare.
use std::fmt;

use nanomind::hal::Timestamp;
use serde::{Deserialize, Serialize};

use super::{stopwatch::Lap, variant::Variant};
use crate::output::{self, Table};

/// One run of one variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Frames that were answered as they came.
    pub frames: u64,
    /// From the first of them being handed over to the last one's answer.
    pub seconds: f64,
    /// The most memory that the process had resident, in bytes; nothing where the system does not say.
    pub peak_resident: Option<u64>,
    /// The frames that were answered one at a time.
    pub single: Vec<Single>,
    /// File and answer of every frame.
    pub answers: Vec<(String, String)>,
}

/// A frame that had the machine to itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Single {
    /// Its answer.
    pub text: String,
    /// From being handed over to the first text of the answer, in milliseconds.
    pub first_token_ms: f64,
    /// From there to the end of the answer, in milliseconds.
    pub rest_ms: f64,
}

impl Outcome {
    /// Of the laps of a run: `warm_up` frames, then `streamed` as they came, then one at a time.
    pub fn of(laps: &[Lap], warm_up: usize, streamed: usize, peak_resident: Option<u64>) -> Outcome {
        let measured = &laps[warm_up.min(laps.len())..];
        let (stream, single) = measured.split_at(streamed.min(measured.len()));
        let begun = stream.iter().map(|lap| lap.handed_over).min();
        let ended = stream.iter().filter_map(|lap| lap.done).max();
        let ms = |from: Timestamp, to: Option<Timestamp>| to.map_or(0.0, |to| to.since(from).as_secs_f64() * 1e3);
        let single = single.iter().map(|lap| Single {
            text: lap.text.clone(),
            first_token_ms: ms(lap.handed_over, lap.first),
            rest_ms: lap.first.map_or(0.0, |first| ms(first, lap.done)),
        });
        Outcome {
            frames: stream.len() as u64,
            seconds: begun.map_or(0.0, |begun| ms(begun, ended) / 1e3),
            peak_resident,
            single: single.collect(),
            answers: measured.iter().map(|lap| (lap.file.clone(), lap.text.clone())).collect(),
        }
    }

    fn frames_per_second(&self) -> f64 {
        self.frames as f64 / self.seconds
    }
}

/// The figures of one variant.
#[derive(Clone, Debug, Serialize)]
pub struct VariantFigures {
    /// Which one.
    pub variant: Variant,
    /// Median over its runs.
    pub frames_per_second: f64,
    /// The figures behind that median, in the order of the rounds.
    pub frames_per_second_by_round: Vec<f64>,
    /// From handing a frame over to the first text of its answer, the machine being idle, in milliseconds.
    pub first_token_ms: f64,
    /// Tokens a second after the first, for the same frames.
    pub tokens_per_second: f64,
    /// The most memory that a process had resident, in bytes.
    pub peak_resident: Option<u64>,
    /// Share of its answers that are those of the pipelined variant, letter by letter.
    pub same_answers: f64,
}

/// All figures of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Frames of each run that were answered as they came.
    pub frames: u64,
    /// How often each variant ran.
    pub rounds: usize,
    /// Each variant's.
    pub variants: Vec<VariantFigures>,
    /// Pipelined against monolithic, in frames a second.
    pub pipelined_over_monolithic: f64,
    /// Pipelined against llama.cpp, in frames a second; nothing where that was not measured.
    pub pipelined_over_llama_cpp: Option<f64>,
}

impl Figures {
    /// Of all runs; `tokens` counts the tokens of an answer, in the same way for everybody.
    pub fn of(variants: &[Variant], outcomes: &[(Variant, Outcome)], tokens: impl Fn(&str) -> usize) -> Figures {
        let runs = |variant: Variant| outcomes.iter().filter(move |(of, _)| *of == variant).map(|(_, outcome)| outcome);
        let reference = runs(Variant::Pipelined).next();
        let figures: Vec<VariantFigures> = variants
            .iter()
            .map(|&variant| {
                let runs: Vec<&Outcome> = runs(variant).collect();
                let single = || runs.iter().flat_map(|run| &run.single);
                let rate = |one: &Single| (tokens(&one.text).max(1) - 1) as f64 * 1e3 / one.rest_ms;
                let answers = || runs.iter().flat_map(|run| &run.answers);
                let same = answers().filter(|answer| reference.is_some_and(|run| run.answers.contains(answer))).count();
                let by_round: Vec<f64> = runs.iter().map(|run| run.frames_per_second()).collect();
                VariantFigures {
                    variant,
                    frames_per_second: median(by_round.iter().copied()),
                    frames_per_second_by_round: by_round,
                    first_token_ms: median(single().map(|one| one.first_token_ms)),
                    tokens_per_second: median(single().map(rate).filter(|rate| rate.is_finite())),
                    peak_resident: runs.iter().filter_map(|run| run.peak_resident).max(),
                    same_answers: same as f64 / answers().count().max(1) as f64,
                }
            })
            .collect();
        let speed =
            |variant: Variant| figures.iter().find(|one| one.variant == variant).map(|one| one.frames_per_second);
        let pipelined = speed(Variant::Pipelined).unwrap_or(f64::NAN);
        Figures {
            frames: reference.map_or(0, |run| run.frames),
            rounds: outcomes.len() / variants.len().max(1),
            pipelined_over_monolithic: pipelined / speed(Variant::Monolithic).unwrap_or(f64::NAN),
            pipelined_over_llama_cpp: speed(Variant::LlamaCpp).map(|peer| pipelined / peer),
            variants: figures,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            Table::new(["VARIANT", ">FRAMES/S", ">FIRST TOKEN", ">TOKENS/S", ">PEAK MEMORY", ">SAME ANSWERS"]);
        for one in &self.variants {
            table.row([
                one.variant.to_string(),
                format!("{:.2}", one.frames_per_second),
                format!("{:.1} ms", one.first_token_ms),
                format!("{:.1}", one.tokens_per_second),
                one.peak_resident.map(output::bytes).unwrap_or_default(),
                format!("{:.1} %", one.same_answers * 100.0),
            ]);
        }
        write!(f, "{table}\npipelined is {:.2} times as fast as monolithic", self.pipelined_over_monolithic)?;
        if let Some(ratio) = self.pipelined_over_llama_cpp {
            write!(f, ", and {ratio:.2} times as fast as llama.cpp")?;
        }
        writeln!(f, " ({} frames, medians of {} rounds)", self.frames, self.rounds)
    }
}

/// The median; of an even number, the mean of the middle two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seconds: f64, answer: &str) -> Outcome {
        let single = Single { text: "a b c".to_owned(), first_token_ms: 40.0, rest_ms: 10.0 };
        let answers = vec![("1.png".to_owned(), "a cup".to_owned()), ("2.png".to_owned(), answer.to_owned())];
        Outcome { frames: 10, seconds, peak_resident: Some(1_000_000), single: vec![single], answers }
    }

    #[test]
    fn figures_are_medians_and_ratios_of_the_runs() {
        use Variant::{LlamaCpp, Monolithic, Pipelined};
        let runs = [
            (Monolithic, outcome(1.0, "a cat")),
            (Pipelined, outcome(0.5, "a cat")),
            (LlamaCpp, outcome(2.0, "a dog")),
            (Pipelined, outcome(0.25, "a cat")),
            (LlamaCpp, outcome(2.0, "a cat")),
            (Monolithic, outcome(1.0, "a cat")),
        ];
        let figures = Figures::of(&[Monolithic, Pipelined, LlamaCpp], &runs, |text| text.split(' ').count());
        let speeds: Vec<f64> = figures.variants.iter().map(|one| one.frames_per_second).collect();
        assert_eq!(speeds, [10.0, 30.0, 5.0]);
        assert_eq!((figures.pipelined_over_monolithic, figures.pipelined_over_llama_cpp), (3.0, Some(6.0)));
        assert_eq!(figures.variants[0].tokens_per_second, 200.0, "two tokens after the first, in 10 ms");
        let same: Vec<f64> = figures.variants.iter().map(|one| one.same_answers).collect();
        assert_eq!(same, [1.0, 1.0, 0.75]);
        assert!(figures.to_string().ends_with(
            "\npipelined is 3.00 times as fast as monolithic, and 6.00 times as fast as llama.cpp (10 frames, medians of 2 rounds)\n"
        ));
    }

    #[test]
    fn the_frames_that_warm_up_count_for_nothing() {
        let at = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
        let lap = |begun, first, done| Lap {
            file: String::new(),
            handed_over: at(begun),
            first: Some(at(first)),
            done: Some(at(done)),
            text: String::new(),
        };
        let laps = [lap(0, 90, 100), lap(100, 150, 160), lap(110, 180, 200), lap(300, 340, 350)];
        let outcome = Outcome::of(&laps, 1, 2, None);
        assert_eq!((outcome.frames, outcome.seconds), (2, 0.1));
        assert_eq!((outcome.single[0].first_token_ms, outcome.single[0].rest_ms), (40.0, 10.0));
        assert_eq!(outcome.answers.len(), 3);
    }
}
