//! Results on stdout, and nothing else there; a reader that goes away early (`| head`) is not an error.
use std::{
    fmt::{self, Display},
    io::{self, Write},
};

use serde::Serialize;

use crate::exit::Exit;

/// How a verb prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// One JSON value for programs.
    Json,
}

/// `--format table|json`, for the verbs that flatten it into their arguments.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct FormatArgs {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Table, env = "NANOMIND_FORMAT")]
    pub format: Format,
}

/// Prints `value` and a line end on stdout.
///
/// # Errors
/// Fails when stdout cannot be written, except when its reader is gone.
pub fn line(value: impl Display) -> Result<(), Exit> {
    text(format_args!("{value}\n"))
}

/// Prints `value` as it is on stdout.
///
/// # Errors
/// As [`line`].
pub fn text(value: impl Display) -> Result<(), Exit> {
    let mut stdout = io::stdout().lock();
    ignore_gone_reader(write!(stdout, "{value}").and_then(|()| stdout.flush()))
}

/// Prints `value` as indented JSON and a line end on stdout.
///
/// # Errors
/// As [`line`]; also when `value` cannot be JSON.
pub fn json(value: &impl Serialize) -> Result<(), Exit> {
    line(serde_json::to_string_pretty(value).map_err(Exit::failed)?)
}

fn ignore_gone_reader(result: io::Result<()>) -> Result<(), Exit> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Exit::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Columns of text, each as wide as its widest cell; `Display` ends every row with a line end.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    right: bool,
}

impl Table {
    /// A table with these column titles; a title that starts with `>` (not printed) aligns its column to the right.
    pub fn new<const N: usize>(titles: [&'static str; N]) -> Table {
        let column = |title: &'static str| match title.strip_prefix('>') {
            Some(title) => Column { title, right: true },
            None => Column { title, right: false },
        };
        Table { columns: titles.map(column).into(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty. Control characters, which a file may bring, are made harmless.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| cell.replace(char::is_control, "\u{fffd}")).into());
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, widths: &[usize], cells: &[&str]) -> fmt::Result {
        let mut line = String::new();
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(cells) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let padding = " ".repeat(width - cell.chars().count());
            let (before, after) = if column.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.extend([before, cell, after]);
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<&str> = self.columns.iter().map(|column| column.title).collect();
        let rows: Vec<Vec<&str>> = self.rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        let width = |index: usize| {
            let cells = rows.iter().filter_map(|row| row.get(index)).chain(titles.get(index));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        if titles.iter().any(|title| !title.is_empty()) {
            self.write_row(f, &widths, &titles)?;
        }
        rows.iter().try_for_each(|row| self.write_row(f, &widths, row))
    }
}

/// `bytes` for people, in decimal units as drives and networks count: `98.4 MB`.
pub fn bytes(bytes: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.into_iter().find(|(_, size)| bytes as f64 >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / size),
        None => format!("{bytes} B"),
    }
}

/// A count for people: `134.5 M`.
pub fn count(count: u64) -> String {
    let units = [("G", 1e9), ("M", 1e6), ("k", 1e3)];
    match units.into_iter().find(|(_, size)| count as f64 >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / size),
        None => count.to_string(),
    }
}
