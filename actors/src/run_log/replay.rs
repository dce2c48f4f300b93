//! Replay: the governor's steps over the inputs that a log has, against the decisions that it has.

use nanomind_hal::Timestamp;
use serde::Serialize;

use super::reader::{ReadError, RunLogReader};
use super::record::Record;
use crate::governor::{self, Decision, Memory, step};

/// What came of a replay.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Replay {
    /// Inputs that were stepped over.
    pub inputs: u64,
    /// Decisions that came out as they were recorded.
    pub decisions: u64,
    /// Where the replay went another way first; nothing if it did not.
    pub difference: Option<Difference>,
}

/// Where a replay and its log part.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// The number of the record.
    pub number: u64,
    /// When it was made.
    pub at: Timestamp,
    /// What differs.
    pub what: Parting,
}

/// What differs.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Parting {
    /// A record before this one is missing, so that the governor's memory is not what it was.
    Missing {
        /// The number that was expected.
        expected: u64,
    },
    /// Other decisions.
    Decisions {
        /// What the log has.
        recorded: Vec<Decision>,
        /// What came out.
        replayed: Vec<Decision>,
    },
}

/// Steps over all inputs of a log. Decisions are compared bit for bit: a zero is not a negative zero.
///
/// # Errors
/// The log cannot be read.
pub fn replay(log: &mut RunLogReader) -> Result<Replay, ReadError> {
    let policy = log.header().policy;
    let mut memory = Memory::default();
    let mut done = Replay { inputs: 0, decisions: 0, difference: None };
    for record in log {
        let Record::Governor(record) = record? else { continue };
        let governor::Record { number, input, decisions: recorded } = *record;
        let expected = done.inputs + 1;
        let differs = |what| Some(Difference { number, at: input.at(), what });
        if number != expected {
            done.difference = differs(Parting::Missing { expected });
            return Ok(done);
        }
        let (next, replayed) = step(policy, &memory, &input);
        if !same_bits(&recorded, &replayed) {
            done.difference = differs(Parting::Decisions { recorded, replayed });
            return Ok(done);
        }
        memory = next;
        done.inputs += 1;
        done.decisions += recorded.len() as u64;
    }
    Ok(done)
}

/// Whether two lists of decisions are written alike; what cannot be written is like nothing.
fn same_bits(one: &[Decision], other: &[Decision]) -> bool {
    match (postcard::to_allocvec(one), postcard::to_allocvec(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { number, at, what } = self;
        let list = |f: &mut std::fmt::Formatter<'_>, decisions: &[Decision]| match decisions {
            [] => writeln!(f, "    nothing"),
            some => some.iter().try_for_each(|decision| writeln!(f, "    {decision}")),
        };
        write!(f, "record {number} at {:.3} s: ", at.as_secs_f64())?;
        match what {
            Parting::Missing { expected } => writeln!(f, "expected record {expected}; the ones before it are missing"),
            Parting::Decisions { recorded, replayed } => {
                writeln!(f, "the decisions differ\n  recorded")?;
                list(f, recorded)?;
                writeln!(f, "  replayed")?;
                list(f, replayed)
            }
        }
    }
}
