//! Columns of a report: each as wide as its widest cell, a column of empty cells left out.

use std::fmt;

/// A table; `Display` ends every row with a line end.
pub(crate) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles; the first column is aligned to the left, all others to the right.
    pub(crate) fn new<const N: usize>(titles: [&'static str; N]) -> Table {
        Table { titles: titles.into(), rows: Vec::new() }
    }

    /// Adds a row. An empty cell stands for what was not measured.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The width of a column with its title; 0 where no cell has anything to say.
    fn width(&self, column: usize) -> usize {
        let cells = || self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        match cells().max() {
            Some(widest) if widest > 0 => widest.max(self.titles[column].chars().count()),
            _ => 0,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = self.titles.iter().map(|&title| title.to_owned()).collect();
        let widths: Vec<usize> = (0..self.titles.len()).map(|column| self.width(column)).collect();
        for row in std::iter::once(&titles).chain(&self.rows).filter(|_| !self.rows.is_empty()) {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                line += &if line.is_empty() { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
