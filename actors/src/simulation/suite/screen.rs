//! The suite on a screen: paper, ours, ratio; what was fitted and assumed; the study of policies.

use std::fmt;

use super::{Basis, Comparison, PaperSuite, Row, Study};

/// Columns of a line.
const WIDTH: usize = 96;

impl fmt::Display for PaperSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "arXiv 2510.05109 and ours, on {}", self.device)?;
        writeln!(f, "LLaVA-OneVision-Qwen2-0.5B, vision on npu, language on gpu\n")?;
        writeln!(f, "  {:<32}{:>9}{:>9}{:>8}{:>11}", "", "paper", "ours", "ratio", "forecast")?;
        for row in &self.rows {
            write_row(f, row)?;
        }
        paragraph(f, PREDICTED)?;
        for (accelerator, difference) in &self.monolithic {
            let percent = 100.0 * difference;
            paragraph(
                f,
                &format!("against all of the model on {accelerator}, an answer takes {percent:+.1} % energy"),
            )?;
        }
        let explained: Vec<&Row> = self.rows.iter().filter(|row| row.difference.is_some()).collect();
        if !explained.is_empty() {
            writeln!(f, "\nMore than a tenth apart")?;
        }
        for row in explained {
            let why = row.difference.as_deref().unwrap_or_default();
            paragraph(f, &format!("{}, {}: {why}", row.what, row.unit))?;
        }
        writeln!(f, "\nFitted, in the profile of {}", self.device)?;
        for figure in &self.fitted {
            paragraph(f, &format!("{} = {}: {}", figure.place, figure.value, figure.to))?;
        }
        writeln!(f, "\nAssumed, since the paper does not say")?;
        self.assumed.iter().try_for_each(|assumed| paragraph(f, assumed))?;
        writeln!(f)?;
        self.study.fmt(f)
    }
}

const PREDICTED: &str = "predicted: nothing was fitted to this figure. Hours of the parallel mode rest on battery.usable, too, \
    which was fitted to those of the cascade";

/// A text, indented and broken into lines.
fn paragraph(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let (mut column, mut start) = (0, "  ");
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.chars().count() > WIDTH {
            writeln!(f)?;
            (column, start) = (0, "    ");
        }
        let space = if column == 0 { start } else { " " };
        write!(f, "{space}{word}")?;
        column += space.len() + word.chars().count();
    }
    writeln!(f)
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let basis = match row.basis {
        Basis::Predicted => "predicted",
        Basis::Fitted => "fitted",
    };
    let forecast = row.forecast.map_or_else(|| "-".to_owned(), digits);
    let what = format!("{}, {}", row.what, row.unit);
    let (paper, ours) = (digits(row.paper), digits(row.ours));
    writeln!(f, "  {what:<32}{paper:>9}{ours:>9}{:>8.2}{forecast:>11}  {basis}", row.ratio())
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Policies over {} days at home, seeds 1 to {}, the same questions for each", self.days, self.days)?;
        let titles = ["hours", "least", "answers", "of asked", "p50", "p90"];
        write!(f, "  {:<32}", "")?;
        titles.iter().try_for_each(|title| write!(f, "{title:>9}"))?;
        writeln!(f)?;
        for one in &self.policies {
            write!(f, "  {:<32}{:>9.1}{:>9.1}", one.policy, one.mean_hours(), one.least_hours())?;
            write!(f, "{:>9.1}{:>7.0} %", one.answered, 100.0 * one.answered_share)?;
            writeln!(f, "{:>7.1} s{:>7.1} s", one.p50_s, one.p90_s)?;
        }
        writeln!(f, "Battery life of the first")?;
        for other in &self.against {
            let Self { days, .. } = self;
            let Comparison { policy, least, mean, as_much_answered } = other;
            writeln!(f, "  over {policy}: x {mean:.2} in the mean, x {least:.2} on the worst day;")?;
            writeln!(f, "    on {as_much_answered} of {days} days it answers as much or more")?;
        }
        Ok(())
    }
}
