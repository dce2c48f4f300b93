//! Results: Markdown tables on standard output, and one JSON file.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::failure::Failure;

/// A Markdown table, its columns padded so that it reads well as plain text too.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub(crate) fn new(titles: Vec<String>) -> Table {
        Table { rows: vec![titles] }
    }

    /// Adds a row of as many cells as there are titles.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn text(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(&format!("| {cell:width$} "));
            }
            text.push_str("|\n");
            if at == 0 {
                widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
                text.push_str("|\n");
            }
        }
        text
    }
}

/// Prints a heading and a table, and writes `figures` to the file at `json` if one is named.
pub(crate) fn print(
    heading: &[String],
    table: &Table,
    figures: &impl Serialize,
    json: Option<&Path>,
) -> Result<(), Failure> {
    let printed = writeln!(io::stdout().lock(), "{}\n\n{}", heading.join("\n"), table.text());
    printed.map_err(|error| Failure::of("standard output", error))?;
    let Some(path) = json else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| Failure::of(path.display(), error);
    let text = serde_json::to_string_pretty(figures).map_err(|error| failed(&error))?;
    fs::write(path, text + "\n").map_err(|error| failed(&error))
}

/// The middle of some figures, the mean of the two in the middle for an even number; nothing of none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(half).copied(),
        _ => Some((sorted.get(half.checked_sub(1)?)? + sorted.get(half)?) / 2.0),
    }
}

/// A ratio for people, or a dash where one of both was not measured.
pub(crate) fn ratio(ours: Option<f64>, theirs: Option<f64>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}×", ours / theirs),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_table_is_markdown_with_even_columns() {
        let mut table = Table::new(vec!["PHASE".into(), "×".into()]);
        table.row(vec!["decode".into(), "1.80".into()]);
        assert_eq!(table.text(), "| PHASE  | ×    |\n|--------|------|\n| decode | 1.80 |\n");
    }

    #[test]
    fn a_ratio_needs_both() {
        assert_eq!(ratio(Some(3.0), Some(2.0)), "1.50×");
        assert_eq!(ratio(Some(3.0), None), "–");
    }
}
