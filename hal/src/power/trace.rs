//! Battery traces: recordings in CSV, `seconds,level[,status[,watts]]`, that are played by the clock.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::battery::{BatteryReading, ChargeStatus, StateOfCharge};
use crate::clock::Timestamp;

/// A trace is no larger than this: a row a second for a week is a fifth of it.
const MAX_BYTES: u64 = 64 << 20;

/// A recording of a battery. Between two rows the level moves in a straight line, status and power are those of the
/// earlier row; before the first row and after the last one the battery stays as that row says.
#[derive(Clone, Debug, PartialEq)]
pub struct BatteryTrace {
    /// At least one, their seconds increasing.
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    seconds: f64,
    level: f64,
    status: ChargeStatus,
    watts: Option<f64>,
}

impl BatteryTrace {
    /// Reads the trace at `path`; see [`BatteryTrace::parse`].
    ///
    /// # Errors
    /// It cannot be read, is larger than 64 MiB, or a line is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<BatteryTrace, BatteryTraceError> {
        let path = path.as_ref();
        let failed = |source| BatteryTraceError::Unreadable { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(failed)?;
        if metadata.len() > MAX_BYTES {
            return Err(BatteryTraceError::TooLarge { path: path.to_owned(), bytes: metadata.len() });
        }
        BatteryTrace::parse(path, &fs::read_to_string(path).map_err(failed)?)
    }

    /// Reads the text of a trace; `path` is what errors call it.
    ///
    /// Each line is `seconds,level[,status[,watts]]`: seconds since the start of the clock, increasing; a level from 0
    /// to 1; `charging`, `discharging`, `full` or `unknown`, by default `discharging`; watts, by default not measured.
    /// Empty lines, lines that begin with `#` and a header that begins with `seconds` are skipped.
    ///
    /// # Errors
    /// A line is wrong, or there is none.
    pub fn parse(path: &Path, text: &str) -> Result<BatteryTrace, BatteryTraceError> {
        let mut rows: Vec<Row> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            let is_header = rows.is_empty() && line.starts_with("seconds");
            if line.is_empty() || line.starts_with('#') || is_header {
                continue;
            }
            let wrong = |(column, found): (TraceColumn, &str)| BatteryTraceError::Wrong {
                path: path.to_owned(),
                line: number,
                column,
                found: found.to_owned(),
            };
            let row = Row::parse(line).map_err(wrong)?;
            if rows.last().is_some_and(|last| last.seconds >= row.seconds) {
                return Err(BatteryTraceError::OutOfOrder { path: path.to_owned(), line: number });
            }
            rows.push(row);
        }
        if rows.is_empty() {
            Err(BatteryTraceError::Empty { path: path.to_owned() })
        } else {
            Ok(BatteryTrace { rows })
        }
    }

    /// A battery that was never recorded: full at the start of the clock, and empty after `time`, whatever is taken from it.
    pub fn emptying(time: Duration) -> BatteryTrace {
        let row = |seconds, level| Row { seconds, level, status: ChargeStatus::Discharging, watts: None };
        // At no time at all it is empty from the start.
        let end = row(time.as_secs_f64(), 0.0);
        let rows = if time.is_zero() { vec![end] } else { vec![row(0.0, 1.0), end] };
        BatteryTrace { rows }
    }

    /// The battery at `now`.
    pub fn at(&self, now: Timestamp) -> BatteryReading {
        let seconds = now.as_secs_f64();
        let next = self.rows.partition_point(|row| row.seconds <= seconds);
        let row = self.rows[next.saturating_sub(1)];
        let level = match self.rows.get(next) {
            Some(after) if next > 0 => {
                let passed = (seconds - row.seconds) / (after.seconds - row.seconds);
                row.level + passed * (after.level - row.level)
            }
            _ => row.level,
        };
        BatteryReading {
            at: now,
            level: StateOfCharge::clamped(level),
            status: row.status,
            watts: row.watts,
            volts: None,
            temperature_c: None,
            full_wh: None,
        }
    }
}

impl Row {
    /// Reads a line; or says which column is wrong and what stands there.
    fn parse(line: &str) -> Result<Row, (TraceColumn, &str)> {
        let mut columns = line.split(',').map(str::trim);
        let mut next = || columns.next().unwrap_or_default();
        let seconds = amount(TraceColumn::Seconds, next(), f64::MAX)?;
        let level = amount(TraceColumn::Level, next(), 1.0)?;
        let status = match next() {
            "" | "discharging" => ChargeStatus::Discharging,
            "charging" => ChargeStatus::Charging,
            "full" => ChargeStatus::Full,
            "unknown" => ChargeStatus::Unknown,
            found => return Err((TraceColumn::Status, found)),
        };
        let watts = match next() {
            "" => None,
            text => Some(amount(TraceColumn::Watts, text, f64::MAX)?),
        };
        match columns.next() {
            None => Ok(Row { seconds, level, status, watts }),
            Some(found) => Err((TraceColumn::End, found)),
        }
    }
}

/// A number from zero to `most`.
fn amount(column: TraceColumn, text: &str, most: f64) -> Result<f64, (TraceColumn, &str)> {
    text.parse().ok().filter(|value| (0.0..=most).contains(value)).ok_or((column, text))
}

/// The columns of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceColumn {
    /// Seconds since the start of the clock.
    Seconds,
    /// The level.
    Level,
    /// The status.
    Status,
    /// The power.
    Watts,
    /// Where a line should end.
    End,
}

impl fmt::Display for TraceColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TraceColumn::Seconds => "seconds of zero or more",
            TraceColumn::Level => "a level from 0 to 1",
            TraceColumn::Status => "charging, discharging, full or unknown",
            TraceColumn::Watts => "watts of zero or more",
            TraceColumn::End => "the end of the line after seconds,level,status,watts",
        })
    }
}

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BatteryTraceError {
    /// The file cannot be read.
    #[error("cannot read the battery trace {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is too large for a trace.
    #[error("the battery trace {} is too large: expected at most {MAX_BYTES} bytes, found {bytes}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A column holds what it should not.
    #[error("{}:{line}: expected {column}, found {found:?}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column; it displays as what it should hold.
        column: TraceColumn,
        /// What stands there.
        found: String,
    },
    /// A line is not later than the one before it.
    #[error("{}:{line}: expected a later time than on the line before", path.display())]
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There is no line.
    #[error("the battery trace {} has no line seconds,level[,status[,watts]]", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<BatteryTrace, String> {
        BatteryTrace::parse(Path::new("b.csv"), text).map_err(|error| error.to_string())
    }

    fn at(trace: &BatteryTrace, seconds: f64) -> BatteryReading {
        trace.at(Timestamp::from_nanos((seconds * 1e9) as u64))
    }

    #[test]
    fn the_level_moves_in_a_straight_line_and_the_rest_in_steps() {
        let text =
            "seconds,level,status,watts\n# on the train\n10, 0.8, discharging, 6.5\n\n20,0.6,charging\n30,0.9,full,0\n";
        let trace = parse(text).expect("a trace");
        let seen = |seconds| {
            let battery = at(&trace, seconds);
            (format!("{}", battery.level), battery.status, battery.watts)
        };
        assert_eq!(seen(0.0), ("80 %".into(), ChargeStatus::Discharging, Some(6.5)));
        assert_eq!(seen(10.0), ("80 %".into(), ChargeStatus::Discharging, Some(6.5)));
        assert_eq!(seen(15.0), ("70 %".into(), ChargeStatus::Discharging, Some(6.5)));
        assert_eq!(seen(20.0), ("60 %".into(), ChargeStatus::Charging, None));
        assert_eq!(seen(25.0), ("75 %".into(), ChargeStatus::Charging, None));
        assert_eq!(seen(1e6), ("90 %".into(), ChargeStatus::Full, Some(0.0)));
    }

    #[test]
    fn a_wrong_line_says_where_and_what() {
        for (text, message) in [
            ("", "the battery trace b.csv has no line seconds,level[,status[,watts]]"),
            ("seconds,level\n", "the battery trace b.csv has no line seconds,level[,status[,watts]]"),
            ("0,0.5\nx,0.4", "b.csv:2: expected seconds of zero or more, found \"x\""),
            ("nan,0.4", "b.csv:1: expected seconds of zero or more, found \"nan\""),
            ("0", "b.csv:1: expected a level from 0 to 1, found \"\""),
            ("0,80", "b.csv:1: expected a level from 0 to 1, found \"80\""),
            ("0,1,empty", "b.csv:1: expected charging, discharging, full or unknown, found \"empty\""),
            ("0,1,full,-1", "b.csv:1: expected watts of zero or more, found \"-1\""),
            ("0,1,full,1,x", "b.csv:1: expected the end of the line after seconds,level,status,watts, found \"x\""),
            ("5,1\n5,1", "b.csv:2: expected a later time than on the line before"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "for {text:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = BatteryTrace::open("no/such/trace.csv").expect_err("nothing").to_string();
        assert!(error.starts_with("cannot read the battery trace no/such/trace.csv: "), "{error}");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_parses_can_be_played(text in "([0-9.,a-z#-]{0,12}\n){0,6}", seconds in 0.0..1e9) {
            if let Ok(trace) = parse(&text) {
                let level = at(&trace, seconds).level.fraction();
                prop_assert!((0.0..=1.0).contains(&level), "{}", level);
            }
        }
    }

    #[test]
    fn a_battery_that_empties_evenly_is_half_full_at_half_time_and_stays_empty() {
        let battery = BatteryTrace::emptying(Duration::from_secs(60));
        let percent =
            |seconds: u64| battery.at(Timestamp::from_nanos(seconds * 1_000_000_000)).level.fraction() * 100.0;
        assert_eq!([0, 30, 60, 600].map(|seconds| percent(seconds).round()), [100.0, 50.0, 0.0, 0.0]);
        assert_eq!(BatteryTrace::emptying(Duration::ZERO).at(Timestamp::default()).level.fraction(), 0.0);
    }
}
