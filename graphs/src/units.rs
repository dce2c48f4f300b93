//! Durations and amounts of memory as a graph writes them: `"250ms"`, `"512MiB"`.
use std::time::Duration;

use serde::Serializer;

const DURATIONS: [(&str, f64); 6] =
    [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];
const AMOUNTS: [(&str, f64); 7] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuantityError<'a> {
    /// A number without a unit.
    NoUnit,
    /// A unit that is not known.
    UnknownUnit(&'a str),
    /// No number in front.
    NoNumber,
    /// More than can be counted, or negative.
    OutOfRange,
}

/// The units that [`parse_duration`] knows, in words.
pub(crate) const DURATION_UNITS: &str = "us, ms, s, min, h";
/// The units that [`parse_bytes`] knows, in words.
pub(crate) const AMOUNT_UNITS: &str = "B, KiB, MiB, GiB, kB, MB, GB";

fn parse<'a>(text: &'a str, units: &[(&str, f64)]) -> Result<f64, QuantityError<'a>> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| QuantityError::NoNumber)?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(QuantityError::NoUnit);
    }
    let (_, scale) = units.iter().find(|(name, _)| *name == unit).ok_or(QuantityError::UnknownUnit(unit))?;
    let value = number * scale;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(QuantityError::OutOfRange) }
}

/// Reads `"250ms"`, `"1.5s"`, `"2min"`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, QuantityError<'_>> {
    let seconds = parse(text, &DURATIONS)?;
    // Whole nanoseconds, so that "0.1s" and "100ms" are the same span.
    let nanos = (seconds * 1e9).round();
    if nanos > u64::MAX as f64 { Err(QuantityError::OutOfRange) } else { Ok(Duration::from_nanos(nanos as u64)) }
}

/// Reads `"512MiB"`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, QuantityError<'_>> {
    let bytes = parse(text, &AMOUNTS)?.round();
    if bytes > (1u64 << 53) as f64 { Err(QuantityError::OutOfRange) } else { Ok(bytes as u64) }
}

/// Reads an amount of memory such as `"512MiB"`, in bytes; `None` if it is none.
pub fn parse_memory(text: &str) -> Option<u64> {
    parse_bytes(text).ok()
}

/// Reads a span of time such as `"90s"` or `"1.5h"`; `None` if it is none.
pub fn parse_time(text: &str) -> Option<Duration> {
    parse_duration(text).ok()
}

/// A span in the largest unit that keeps it exact, as a graph would write it.
pub fn show_duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    for (unit, each) in [("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)] {
        if nanos >= each && nanos.is_multiple_of(each) {
            return format!("{}{unit}", nanos / each);
        }
    }
    if nanos >= 1_000_000_000 {
        format!("{}s", span.as_secs_f64())
    } else if nanos == 0 {
        "0s".to_owned()
    } else {
        format!("{}us", nanos as f64 / 1e3)
    }
}

/// An amount in the binary unit that suits it, to three digits.
pub fn show_bytes(bytes: u64) -> String {
    let (unit, each) = match bytes {
        0..1024 => return format!("{bytes}B"),
        1024..1_048_576 => ("KiB", 1024.0),
        1_048_576..1_073_741_824 => ("MiB", 1_048_576.0),
        _ => ("GiB", 1_073_741_824.0),
    };
    let value = bytes as f64 / each;
    let shown = if unit == "GiB" { format!("{value:.2}") } else { format!("{value:.1}") };
    let shown = shown.trim_end_matches('0').trim_end_matches('.');
    format!("{shown}{unit}")
}

pub(crate) fn serialize_duration<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_duration(*span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_round_trip() {
        for text in ["250us", "250ms", "1s", "90s", "2min", "1h"] {
            let span = parse_duration(text).expect(text);
            assert_eq!(parse_duration(&show_duration(span)), Ok(span), "{text}");
        }
        for text in ["17B", "4KiB", "512MiB", "2GiB"] {
            let bytes = parse_bytes(text).expect(text);
            assert_eq!(show_bytes(bytes), text);
        }
        assert_eq!(parse_duration("1.5 s"), Ok(Duration::from_millis(1500)));
    }

    #[test]
    fn bad_quantities_say_what_is_wrong() {
        assert_eq!(parse_duration("250"), Err(QuantityError::NoUnit));
        assert_eq!(parse_duration("250sec"), Err(QuantityError::UnknownUnit("sec")));
        assert_eq!(parse_duration("soon"), Err(QuantityError::NoNumber));
        assert_eq!(parse_duration("-1s"), Err(QuantityError::OutOfRange));
        assert_eq!(parse_bytes("99999999999999GiB"), Err(QuantityError::OutOfRange));
    }
}
