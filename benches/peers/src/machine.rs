//! The machine that everything ran on, and the ceilings that speeds are held against.

use std::fs;

use nanomind_bricks::language::bench::utc;
use nanomind_hal::{Clock, CpuTopology, Lane};
use nanomind_kernels::{Isa, ceiling};
use serde::Serialize;

use crate::failure::Failure;
use crate::model::Model;

/// What a reader must know of the machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name, as it gives it.
    pub(crate) processor: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// The fastest instruction set of it that nanomind has kernels for.
    pub(crate) isa: String,
    /// Processes that wanted to run in the last minute, on average: above the number of cores, others disturb.
    pub(crate) load: Option<f64>,
    /// When, in UTC.
    pub(crate) date: String,
}

impl Machine {
    /// This machine, now.
    pub(crate) fn detect(clock: &Clock) -> Machine {
        let topology = CpuTopology::detect();
        let load = fs::read_to_string("/proc/loadavg").ok();
        Machine {
            processor: topology.model().unwrap_or("a processor that gives no name").to_owned(),
            cores: topology.cores().len(),
            isa: Isa::detect().to_string(),
            load: load.and_then(|text| text.split_whitespace().next()?.parse().ok()),
            date: utc(clock.wall()),
        }
    }

    /// A sentence about it.
    pub(crate) fn line(&self) -> String {
        let load = self.load.map_or_else(String::new, |load| format!(", load {load:.1}"));
        format!("{}, {} cores, {}{load}, {}", self.processor, self.cores, self.isa, self.date)
    }
}

/// What a lane of so many threads can do at most with a model, measured beside its speeds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ceilings {
    /// Threads of the lane.
    pub(crate) threads: usize,
    /// Bytes a second that it reads from a buffer as large as the model's weights.
    pub(crate) bytes_per_second: f64,
    /// Operations a second of the dot product that the model's format takes: of 8-bit integers, or of floats.
    pub(crate) operations_per_second: f64,
}

impl Ceilings {
    /// Measures both; a second or two.
    pub(crate) fn measure(model: &Model, threads: usize, clock: &Clock) -> Result<Ceilings, Failure> {
        let isa = Isa::detect();
        let lane = Lane::spawn(threads, None).map_err(|error| Failure::of("cannot start threads", error))?;
        let bytes = usize::try_from(model.weight_bytes()).unwrap_or(usize::MAX);
        let bytes_per_second = ceiling::read_bandwidth(isa, &lane, clock, bytes)
            .map_err(|error| Failure::of("cannot measure the memory's bandwidth", error))?;
        let operations_per_second = match model.is_of_integers() {
            true => ceiling::dot_rate(isa, &lane, clock),
            false => ceiling::multiply_add_rate(isa, &lane, clock),
        };
        Ok(Ceilings { threads, bytes_per_second, operations_per_second })
    }

    /// The better of two measurements: a ceiling is what was reached once.
    pub(crate) fn or_better(self, other: Ceilings) -> Ceilings {
        Ceilings {
            threads: self.threads,
            bytes_per_second: self.bytes_per_second.max(other.bytes_per_second),
            operations_per_second: self.operations_per_second.max(other.operations_per_second),
        }
    }
}
