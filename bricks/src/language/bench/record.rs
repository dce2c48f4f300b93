//! A measurement as `llama-bench` writes it, with its field names.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Measurement, Workload};
use crate::language::LanguageModel;

/// One line of results; serialises to an object with the field names of `llama-bench -o json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Version of this program.
    pub build_number: &'static str,
    /// Name of the processor.
    pub cpu_info: String,
    /// Name of the graphics processor that computes; empty where none does.
    pub gpu_info: String,
    /// What computes: `CPU`, `Vulkan` or `Metal`.
    pub backends: String,
    /// Instruction set of the kernels, or what the graphics processor is spoken to through.
    pub isa: String,
    /// The model file, as it was named.
    pub model_filename: String,
    /// Architecture, size and format for people.
    pub model_type: String,
    /// Bytes of all tensors.
    pub model_size: u64,
    /// Number of weights.
    pub model_n_params: u64,
    /// Positions that are computed at once.
    pub n_ubatch: usize,
    /// Threads.
    pub n_threads: usize,
    /// Type of the keys in the cache.
    pub type_k: &'static str,
    /// Type of the values in the cache.
    pub type_v: &'static str,
    /// Tokens of the prompt; 0 when generation was measured.
    pub n_prompt: usize,
    /// Tokens generated; 0 when prefill was measured.
    pub n_gen: usize,
    /// Sequences that are moved on together, each by as many tokens.
    pub n_parallel: usize,
    /// Positions in the cache before the run.
    pub n_depth: usize,
    /// When the measurement ended, in UTC.
    pub test_time: String,
    /// Mean time of a run in nanoseconds.
    pub avg_ns: u64,
    /// Standard deviation of that.
    pub stddev_ns: u64,
    /// Mean speed in tokens a second.
    pub avg_ts: f64,
    /// Standard deviation of that.
    pub stddev_ts: f64,
    /// Time of each run in nanoseconds.
    pub samples_ns: Vec<u64>,
    /// Speed of each run in tokens a second.
    pub samples_ts: Vec<f64>,
}

impl Record {
    /// The record of a measurement that ended at `date` on the processor called `cpu`.
    pub fn new(model: &LanguageModel, measurement: &Measurement, cpu: &str, date: SystemTime) -> Record {
        let (n_prompt, n_gen) = match measurement.workload {
            Workload::Prefill(tokens) => (tokens, 0),
            Workload::Decode(tokens) | Workload::DecodeBatch { tokens, .. } => (0, tokens),
        };
        let (time, speed) = (measurement.nanoseconds(), measurement.tokens_per_second());
        Record {
            build_number: env!("CARGO_PKG_VERSION"),
            cpu_info: cpu.to_owned(),
            gpu_info: model.target().gpu_name().to_owned(),
            backends: model.target().backend(),
            isa: model.target().to_string(),
            model_filename: model.file().to_owned(),
            model_type: model.summary(),
            model_size: model.file_bytes(),
            model_n_params: model.parameters(),
            n_ubatch: measurement.conditions.chunk,
            n_threads: measurement.threads,
            type_k: measurement.conditions.kv_cache.name(),
            type_v: measurement.conditions.kv_cache.name(),
            n_prompt,
            n_gen,
            n_parallel: measurement.workload.sequences(),
            n_depth: measurement.conditions.depth,
            test_time: utc(date),
            avg_ns: time.mean.round() as u64,
            stddev_ns: time.deviation.round() as u64,
            avg_ts: speed.mean,
            stddev_ts: speed.deviation,
            samples_ns: measurement.samples_ns.clone(),
            samples_ts: measurement.samples_ts(),
        }
    }

    /// The short name of the workload: `pp512`, `tg128`, or `4 × tg128` of four sequences; at a depth `tg128 @ d8192`.
    pub fn test(&self) -> String {
        let work = match (self.n_gen, self.n_parallel) {
            (0, _) => format!("pp{}", self.n_prompt),
            (tokens, 0 | 1) => format!("tg{tokens}"),
            (tokens, sequences) => format!("{sequences} × tg{tokens}"),
        };
        if self.n_depth == 0 { work } else { format!("{work} @ d{}", self.n_depth) }
    }
}

/// A date as `2026-11-24T07:30:00Z`; dates before 1970 count as its beginning.
pub fn utc(date: SystemTime) -> String {
    let seconds = date.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years are taken to begin in March, so that the leap day is their last (Hinnant, "chrono-compatible low-level
    // date algorithms"); 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    let year = era * 400 + year_of_era + year;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_written_in_utc_across_leap_years() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_503_600, "2026-11-24T07:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
