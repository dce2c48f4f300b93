//! `strftime` for templates that tell the model the date.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment in UTC, taken apart.
struct Moment {
    year: i64,
    /// From 0.
    month: usize,
    day: i64,
    /// From 0, which is Sunday.
    weekday: usize,
    /// From 1.
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    fn of(time: SystemTime) -> Moment {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
        };
        let (mut days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let weekday = (days + 4).rem_euclid(7) as usize;
        // The calendar repeats every 400 years, 146,097 days.
        let cycles = days.div_euclid(146_097);
        days -= cycles * 146_097;
        let mut year = 1970 + 400 * cycles;
        while days >= year_len(year) {
            days -= year_len(year);
            year += 1;
        }
        let day_of_year = days + 1;
        let mut month = 0;
        while days >= month_len(year, month) {
            days -= month_len(year, month);
            month += 1;
        }
        Moment {
            year,
            month,
            day: days + 1,
            weekday,
            day_of_year,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_len(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_len(year: i64, month: usize) -> i64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// `time` in UTC, by a format of C's `strftime`. Directives that are not known stay as they are.
pub(super) fn strftime(time: SystemTime, format: &str) -> String {
    let moment = Moment::of(time);
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let Some(directive) = characters.next() else {
            out.push('%');
            break;
        };
        match directive {
            // glibc's way to drop the padding, which Python hands through.
            '-' => {
                let padded = characters.next().map(|directive| directive_text(&moment, directive)).unwrap_or_default();
                let short = padded.trim_start_matches('0');
                out.push_str(if short.is_empty() { "0" } else { short });
            }
            directive => out.push_str(&directive_text(&moment, directive)),
        }
    }
    out
}

fn directive_text(moment: &Moment, directive: char) -> String {
    let month = MONTHS[moment.month];
    let weekday = DAYS[moment.weekday];
    let twelve = (moment.hour + 11) % 12 + 1;
    match directive {
        'a' => weekday[..3].to_owned(),
        'A' => weekday.to_owned(),
        'b' | 'h' => month[..3].to_owned(),
        'B' => month.to_owned(),
        'd' => format!("{:02}", moment.day),
        'e' => format!("{:2}", moment.day),
        'F' => format!("{:04}-{:02}-{:02}", moment.year, moment.month + 1, moment.day),
        'H' => format!("{:02}", moment.hour),
        'I' => format!("{twelve:02}"),
        'j' => format!("{:03}", moment.day_of_year),
        'm' => format!("{:02}", moment.month + 1),
        'M' => format!("{:02}", moment.minute),
        'p' => if moment.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'S' => format!("{:02}", moment.second),
        'T' => format!("{:02}:{:02}:{:02}", moment.hour, moment.minute, moment.second),
        'w' => moment.weekday.to_string(),
        'y' => format!("{:02}", moment.year.rem_euclid(100)),
        'Y' => moment.year.to_string(),
        'Z' => "UTC".to_owned(),
        '%' => "%".to_owned(),
        other => format!("%{other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(seconds: u64, format: &str, expected: &str) {
        assert_eq!(strftime(UNIX_EPOCH + Duration::from_secs(seconds), format), expected, "second {seconds}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        check(0, "%A %d %B %Y %H:%M:%S", "Thursday 01 January 1970 00:00:00");
        check(951_782_400, "%F %j %a", "2000-02-29 060 Tue");
        check(1_709_251_199, "%d %b %Y, %I:%M %p, day %j", "29 Feb 2024, 11:59 PM, day 060");
        check(1_795_503_600, "%-d.%-m.%y %T %% %Q", "24.11.26 07:00:00 % %Q");
        check(4_107_542_400, "%F", "2100-03-01");
        check(253_402_300_799, "%F", "9999-12-31");
        assert_eq!(strftime(UNIX_EPOCH - Duration::from_secs(1), "%F %T"), "1969-12-31 23:59:59");
    }
}
